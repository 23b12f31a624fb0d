"""The table of speed in the README, made of the rows in bench/results."""

from pathlib import Path

from divfast.throughput import results

HEADERS = ("what", "on", "peer", "times as fast", "peak MB", "peer's")


def lines():
    """Return a line for each row with a peer; what it is, instead of the name of the case."""
    from divfast.throughput.cases import find_case

    # What metrics are worth and what intervals hold have tables of their own.
    for path in sorted((Path(__file__).parent / "results").glob("[cg]pu*.json")):
        rows = results.load(path)
        # The cases of the GPU are in a script of their own, and say what they are.
        summaries = {row["case"]: row["summary"] for row in rows if "summary" in row}
        for case, size, peer, speed, _, mine, theirs in results.beside(rows):
            # A peer that was absent has no figure.
            if peer and speed[0].isdigit():
                yield summaries.get(case) or find_case(case).summary, size, peer, speed, mine, theirs


def main():
    """Print it."""
    print(results.markdown(HEADERS, lines()))


if __name__ == "__main__":
    main()
