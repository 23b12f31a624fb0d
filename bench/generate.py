"""Tokens a second of `divfast generate` under vLLM, beside a bare loop over `LLM.generate` with the same engine.

    python bench/generate.py MODEL [--prompts N] [-k K] [--max-tokens N] [--repeats N] [--json FILE]

Runs where vLLM is installed (.venv-vllm after make test-vllm). One engine serves both, in turns; every turn draws the
same number of samples of the same prompts. What divfast does beside is in its time: it applies the format, checks the
lengths, gives every sample its seed, takes thinking apart, and appends to a dump.
"""

import argparse
import datetime
import statistics
import tempfile
import time
from pathlib import Path

GOAL = 0.95
SAMPLING = {"temperature": 0.6, "top_p": 0.95}


def write_prompts(path, many):
    """Write prompts of different lengths, a line each."""
    lines = [f"Tell me a story about the number {i}{' and the sea' * (i % 17)}." for i in range(many)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return lines


def bare(llm, texts, k, max_tokens, logprobs):
    """Return the tokens that a plain call draws, and its seconds."""
    from vllm import SamplingParams

    parameters = SamplingParams(n=k, seed=1, max_tokens=max_tokens, logprobs=logprobs, **SAMPLING)
    started = time.perf_counter()
    outputs = llm.generate(texts, parameters, use_tqdm=False)
    seconds = time.perf_counter() - started
    return sum(len(sample.token_ids) for output in outputs for sample in output.outputs), seconds


def check(engine, texts, k, max_tokens):
    """Raise where vLLM itself does not draw what the engine draws with the same seeds."""
    from vllm import SamplingParams

    from divfast.generation.engines import Request

    parameters = SamplingParams(n=k, seed=1, max_tokens=max_tokens, **SAMPLING)
    outputs = engine._llm.generate(texts, parameters, use_tqdm=False)
    drawn = dict(engine(Request(at, text, range(1, 1 + k)) for at, text in enumerate(texts)))
    for at, output in enumerate(outputs):
        if [one.text for one in drawn[at]] != [sample.text for sample in output.outputs]:
            raise SystemExit(f"The samples of {texts[at]!r} differ from those of vLLM.")


def row(implementation, size, found, extra):
    """Return a row of a report from (tokens, seconds) of every turn."""
    from divfast.throughput.machine import machine, versions

    seconds = [one for _, one in found]
    return {
        "case": "generate",
        "implementation": implementation,
        "backend": "cpu",
        "size": size,
        "status": "ok",
        "seconds": {
            "median": statistics.median(seconds),
            "low": min(seconds),
            "high": max(seconds),
            "best": min(seconds),
        },
        "repeats": len(seconds),
        "work": {"tokens": round(statistics.mean(tokens for tokens, _ in found))},
        "tokens_per_second": round(statistics.median(tokens / one for tokens, one in found), 1),
        **extra,
        "versions": versions(("torch", "transformers")) | {"vllm": __import__("vllm").__version__},
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }


def main():
    """Measure, print, and write rows where a file is named."""
    from divfast.generation.generating import generate
    from divfast.generation.opening import Engines
    from divfast.throughput import results

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("-k", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    size = {"prompts": asked.prompts, "k": asked.k, "max_tokens": asked.max_tokens}
    found = {}
    with tempfile.TemporaryDirectory() as folder, Engines() as engines:
        path = Path(folder) / "prompts.txt"
        texts = write_prompts(path, asked.prompts)

        def ours(name, k):
            settings = {"engine": "vllm", "dtype": asked.dtype, "enforce_eager": True, "chat": False}
            done = generate(
                asked.model,
                path,
                output=Path(folder) / name,
                k=k,
                sampling={**SAMPLING, "max_tokens": asked.max_tokens},
                engines=engines,
                **settings,
            )
            return done.tokens, done.seconds

        ours("warm.jsonl", 2)
        engine = engines._engine
        check(engine, texts, 4, asked.max_tokens)
        for turn in range(asked.repeats):
            turns = {
                "vllm": lambda: bare(engine._llm, texts, asked.k, asked.max_tokens, 0),
                "divfast": lambda turn=turn: ours(f"{turn}.jsonl", asked.k),
            }
            # Whoever comes second finds the machine warmer.
            for name in sorted(turns, reverse=turn % 2 == 0):
                busy = time.process_time()
                found.setdefault(name, []).append(turns[name]())
                busy = time.process_time() - busy
                print(turn, name, *found[name][-1], f"{busy:.2f} s of this process", flush=True)
    # Medians: on a machine that is shared, the best of several says more of the others than of the two.
    speed = {name: statistics.median(tokens / one for tokens, one in turns) for name, turns in found.items()}
    ratio = speed["divfast"] / speed["vllm"]
    rows = [
        row("divfast", size, found["divfast"], {}),
        row("vllm", size, found["vllm"], {"ratio": ratio, "goal": {"ratio": GOAL}, "reached": ratio >= GOAL}),
    ]
    print(f"divfast {speed['divfast']:,.0f} tokens/s, bare vLLM {speed['vllm']:,.0f}: {ratio:.3f}")
    if asked.json:
        results.save(rows, asked.json)


if __name__ == "__main__":
    main()
