"""Throughput of the kernels on a GPU, in one call: ``python bench/gpu.py``.

Measures what the card can do (copy bandwidth, bfloat16 products), then every case with its peers: right first, then
fast. Needs torch and triton, no network, and no compiled core. Without a GPU it writes rows that say so.
"""

import argparse
import contextlib
import json
import platform
import statistics
import sys
import time
from datetime import date
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "gpu.json"

COSINE = {"groups": 62_500, "samples": 16, "dimensions": 768, "dtype": "bfloat16"}
PAIRS = {"samples": 1_000_000, "dimensions": 768, "dtype": "bfloat16"}
# What is measured, on which size, beside which peers, and what is to be reached.
CASES = {
    "cosine-gpu": (
        "mean pairwise cosine distance of every prompt, vectors on the GPU",
        COSINE,
        ["torch, padded"],
    ),
    "vendi-gpu": (
        "Vendi Score of every prompt, vectors on the GPU",
        COSINE,
        ["torch.linalg.eigvalsh", "torch, padded"],
    ),
    "pairs-gpu": ("histogram of all pairs and nearest neighbours, vectors on the GPU", PAIRS, []),
    "vendi-pooled-gpu": ("Vendi Score of all samples together, vectors on the GPU", PAIRS, []),
}
GOALS = {
    ("cosine-gpu", "divfast"): {"share": 0.8},
    ("cosine-gpu", "torch, padded"): {"ratio": 20},
    ("vendi-gpu", "torch.linalg.eigvalsh"): {"ratio": 10},
    ("pairs-gpu", "divfast"): {"share": 0.6},
    ("vendi-pooled-gpu", "divfast"): {"seconds": 1.0},
}


def kernels():
    """Make ``divfast.kernels`` importable, also from a checkout that is not installed."""
    try:
        import divfast.kernels
    except ImportError:
        sys.path.insert(0, str(ROOT))
        import divfast

        divfast.__path__.append(str(ROOT))
    import divfast.kernels


def why_not():
    """Return why nothing can be measured here, or None."""
    try:
        import torch
        import triton  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed"
    return None if torch.cuda.is_available() else "torch finds no CUDA device"


def versions():
    """Return the versions that belong to a row."""
    found = {"python": platform.python_version()}
    for name in ("divfast", "torch", "triton"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def row(case, implementation, machine, **more):
    """Return a row as those of the CPU are."""
    summary, size, _ = CASES[case]
    base = {
        "case": case,
        "summary": summary,
        "implementation": implementation,
        "backend": "cuda",
        "size": size,
    }
    goal = GOALS.get((case, implementation))
    rest = {"goal": goal} if goal else {}
    return {
        **base,
        **more,
        **rest,
        "versions": versions(),
        "machine": machine,
        "date": date.today().isoformat(),
    }


def not_run(reason):
    """Return a row for everything that there is to measure."""
    words = {"status": "not run", "reason": reason}
    return [
        row(case, name, {}, **words) for case, (_, _, peers) in CASES.items() for name in ("divfast", *peers)
    ]


def seconds(run, repeats=20, most=20.0):
    """Return times of a call in seconds, by the clock of the GPU; at least one, after one that does not count."""
    import torch

    run()
    torch.cuda.synchronize()
    found, started = [], time.perf_counter()
    while len(found) < repeats and (not found or time.perf_counter() - started < most):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        stop.synchronize()
        found.append(start.elapsed_time(stop) / 1e3)
    return found


def told(found):
    """Return times as they stand in a row."""
    return {
        "seconds": {
            "median": statistics.median(found),
            "low": min(found),
            "high": max(found),
            "best": min(found),
        },
        "repeats": len(found),
    }


def limits():
    """Return what the card can do here and now: bytes copied and bfloat16 operations a second."""
    import torch

    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copied = 2 * len(source) / statistics.median(seconds(lambda: target.copy_(source)))
    a = torch.randn(8192, 8192, device="cuda").bfloat16()
    products = 2 * 8192**3 / statistics.median(seconds(lambda: a @ a))
    return {"copy_bytes": copied, "bfloat16_operations": products}


def differs(got, truth, relative):
    """Return the largest relative difference, and whether it is too large."""
    worst = float(((got.double() - truth.double()).abs() / truth.double().abs()).max())
    return worst, not worst <= relative


def vectors(n, d):
    """Return n random rows with something in common, as embeddings have."""
    import torch

    torch.manual_seed(0)
    common = torch.randn(d, device="cuda") / 2
    parts = [torch.randn(min(1 << 17, n - i), d, device="cuda") + common for i in range(0, n, 1 << 17)]
    return torch.cat([torch.nn.functional.normalize(part, dim=1).bfloat16() for part in parts])


def per_group(case, card):
    """Yield rows of the cases of groups: kernel and peers."""
    import torch

    from divfast.kernels import cosine, padded, vendi

    g, k, d = (COSINE[name] for name in ("groups", "samples", "dimensions"))
    rows = vectors(g * k, d)
    groups = torch.arange(0, g * k + 1, k, device="cuda")
    few = 512
    some, bounds = rows[: few * k].double(), groups[: few + 1]
    if case == "cosine-gpu":
        truth = 1 - padded.cosine(some, bounds, k)[0]
        ways = {
            "divfast": (lambda: 1 - cosine.cosine(rows, groups).mean, 1e-6),
            "torch, padded": (lambda: 1 - padded.cosine(rows, groups, k)[0], 2e-2),
        }
    else:
        truth = padded.vendi(some, bounds, k, 1.0)
        block = torch.nn.functional.normalize(rows.view(g, k, d), dim=-1)
        gram = (block @ block.mT).float()
        del block
        ways = {
            "divfast": (lambda: vendi.vendi(rows, groups, max_k=k), 1e-5),
            "torch.linalg.eigvalsh": (
                lambda: padded.effective_number(torch.linalg.eigvalsh(gram / k), 1.0),
                2e-2,
            ),
            "torch, padded": (lambda: padded.vendi(rows, groups, k, 1.0), 2e-2),
        }
    mine = None
    for name, (run, tolerance) in ways.items():
        worst, wrong = differs(run()[:few], truth, tolerance)
        if wrong:
            yield row(case, name, card, status="differs", reason=f"{worst:g} relative", difference=worst)
            continue
        found = told(seconds(run))
        median = found["seconds"]["median"]
        more = {"work": {"samples": g * k, "bytes": rows.nbytes}, "difference": worst, **found}
        if name == "divfast":
            mine = median
            more["share"] = rows.nbytes / median / card["copy_bytes"]
        elif mine:
            more["ratio"] = median / mine
        yield row(case, name, card, status="ok", **more)


def pairs(case, card):
    """Yield the row of all pairs."""
    import torch

    from divfast.kernels.pairs import pairs as kernel

    n, d = PAIRS["samples"], PAIRS["dimensions"]
    rows = vectors(n, d)
    some = rows[:4096]
    similar = (some.double() @ some.double().mT).fill_diagonal_(-2)
    got = kernel(some, nearest=1, bins=64, mode="bf16")
    worst, wrong = differs(got.similarity[:, 0], similar.amax(1), 1e-5)
    if wrong or int(got.histogram.sum()) != 4096 * 4095 // 2:
        yield row(case, "divfast", card, status="differs", reason=f"{worst:g} relative", difference=worst)
        return
    found = told(seconds(lambda: kernel(rows, nearest=1, bins=64, mode="bf16"), repeats=3, most=60.0))
    operations = n * n * d  # those of the upper triangle, a multiplication and an addition each
    share = operations / found["seconds"]["median"] / card["bfloat16_operations"]
    work = {"samples": n, "operations": operations}
    torch.cuda.empty_cache()
    yield row(case, "divfast", card, status="ok", work=work, difference=worst, share=share, **found)


def pooled(case, card):
    """Yield the row of the Vendi Score of a corpus."""
    from divfast.kernels import padded

    rows = vectors(PAIRS["samples"], PAIRS["dimensions"])

    def run(of):
        return padded.spectrum(padded.outer_products(of)[None], 1.0)

    some = rows[: 1 << 15].cpu().double()
    worst, wrong = differs(run(rows[: 1 << 15]).cpu(), padded.spectrum((some.mT @ some)[None], 1.0), 1e-9)
    if wrong:
        yield row(case, "divfast", card, status="differs", reason=f"{worst:g} relative", difference=worst)
        return
    work = {"samples": len(rows), "operations": 2 * len(rows) * rows.shape[1] ** 2}
    yield row(
        case, "divfast", card, status="ok", work=work, difference=worst, **told(seconds(lambda: run(rows)))
    )


def measure():
    """Yield a row for everything; what fails is told and stops nothing."""
    import torch

    kernels()
    properties = torch.cuda.get_device_properties(0)
    card = {"gpu": properties.name, "memory_gb": round(properties.total_memory / 1e9), **limits()}
    ways = {"cosine-gpu": per_group, "vendi-gpu": per_group, "pairs-gpu": pairs, "vendi-pooled-gpu": pooled}
    for case, run in ways.items():
        try:
            yield from run(case, card)
        except Exception as error:  # noqa: BLE001 - the other cases are still worth measuring
            yield row(case, "divfast", card, status="failed", reason=f"{type(error).__name__}: {error}"[:300])
        torch.cuda.empty_cache()


def reached(one):
    """Return a row that also says whether it reached its goal."""
    goal = one.get("goal")
    if goal is None or one["status"] != "ok":
        return one
    have = {"share": one.get("share", 0), "ratio": one.get("ratio", 0), "seconds": -one["seconds"]["median"]}
    least = {key: -value if key == "seconds" else value for key, value in goal.items()}
    return {**one, "reached": all(have[key] >= value for key, value in least.items())}


def main():
    """Measure what can be, print it, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where rows are written")
    path = parser.parse_args().json
    reason = why_not()
    rows = []
    for one in not_run(reason) if reason else map(reached, measure()):
        rows.append(one)
        figures = {
            key: one[key] for key in ("seconds", "share", "ratio", "difference", "reason") if key in one
        }
        print(one["case"], one["implementation"], one["status"], json.dumps(figures), flush=True)
    if reason and path.exists() and any(one["status"] == "ok" for one in json.loads(path.read_text("utf-8"))):
        print(f"{path.name} has been measured and is left as it is: here {reason}.")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    aside.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    aside.replace(path)


if __name__ == "__main__":
    main()
