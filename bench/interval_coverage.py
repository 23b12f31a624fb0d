"""How often 95% intervals hold the truth, and how often tests find what is not there, by simulation.

``python bench/interval_coverage.py`` writes ``bench/results/coverage.json``; ``--table`` prints the tables of
``docs/statistics.md`` from it. Seeded: the same rows on every machine, however many cores it has.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from divfast import _core, engine
from divfast.decomposition import take_apart
from divfast.stats import REPLICATES, bootstrap_intervals, effect_size, holm, sign_flip_p, student_quantile

FILE = Path(__file__).parent / "results" / "coverage.json"
SIZES = (10, 30, 100, 500)
LEVEL, ALPHA = 0.95, 0.05
SIMULATIONS = 3000
# Tests are run on so many simulations at a time; they share their flips.
TOGETHER = 100
NORMAL = NormalDist()

Floats = np.ndarray[Any, np.dtype[np.float64]]
Random = np.random.Generator
Row = dict[str, Any]


def binary(p: float) -> Callable[[Random, int], Floats]:
    """Return verdicts on one sample a prompt, right with probability p."""
    return lambda random, n: (random.random(n) < p).astype(float)


def ties(random: Random, n: int) -> Floats:
    """Return 0 half the time, else sixteenths."""
    return random.binomial(16, 0.1, n) / 16 * (random.random(n) < 0.5)


# What values of prompts are like: how to draw them, and their mean.
VALUES: dict[str, tuple[Callable[[Random, int], Floats], float]] = {
    "normal": (lambda random, n: random.normal(size=n), 0.0),
    "skewed (exponential)": (lambda random, n: random.exponential(size=n), 1.0),
    "very skewed (lognormal)": (lambda random, n: random.lognormal(size=n), math.exp(0.5)),
    "in 0 to 1, near 0 (beta 0.5, 8)": (lambda random, n: random.beta(0.5, 8, n), 0.5 / 8.5),
    "ties (half are 0, the others sixteenths)": (ties, 0.05),
}


def accuracy(random: Random, n: int) -> Floats:
    """Return the share of right samples among 16 of each prompt, which are easy or hard."""
    return random.binomial(16, random.beta(0.5, 0.5, n)) / 16


def pass_at_5(random: Random, n: int) -> Floats:
    """Return the unbiased estimate of pass@5 from 10 samples of each prompt."""
    right = random.binomial(10, random.beta(0.4, 1.2, n))
    return np.array([1 - math.comb(10 - int(c), 5) / math.comb(10, 5) for c in right])


ESTIMATORS: dict[str, tuple[Callable[[Random, int], Floats], float]] = {
    "accuracy over 16 samples": (accuracy, 0.5),
    "accuracy@1, mean 0.5": (binary(0.5), 0.5),
    "accuracy@1, mean 0.9": (binary(0.9), 0.9),
    "pass@5 of 10 samples": (pass_at_5, 1 - math.prod((1.2 + j) / (1.6 + j) for j in range(5))),
}


def of_mean(values: Floats, seed: int) -> dict[str, tuple[float, float]]:
    """Return the interval that divfast gives, and those of three other bootstraps, from the same draws."""
    means, squares = _core.bootstrap_means(np.stack([values, values**2]), REPLICATES, seed, threads=1)
    n, mean, std = len(values), values.mean(), values.std()
    tail = (1 - LEVEL) / 2
    found = {"divfast": bootstrap_intervals([values], seed=seed)[0]}
    found["percentile"] = tuple(np.quantile(means, [tail, 1 - tail]))
    below = ((means < mean).sum() + (means == mean).sum() / 2) / REPLICATES
    bias = NORMAL.inv_cdf(min(max(below, 1 / REPLICATES), 1 - 1 / REPLICATES))
    skew = ((values - mean) ** 3).sum() / (6 * (n * std**2) ** 1.5) if std else 0.0
    z = -NORMAL.inv_cdf(tail)
    for name, far in (
        ("BCa", z),
        ("BCa, expanded", math.sqrt(n / (n - 1)) * student_quantile(1 - tail, n - 1)),
    ):
        ends = [bias + (bias + end) / (1 - skew * (bias + end)) for end in (-far, far)]
        found[name] = tuple(np.quantile(means, [NORMAL.cdf(end) for end in ends]))
    spread = np.sqrt(np.maximum(squares - means**2, 0.0))
    t = np.divide(means - mean, spread, out=np.zeros_like(means), where=spread > 1e-9)
    low, high = np.quantile(t, [tail, 1 - tail])
    found["bootstrap-t"] = (mean - high * std, mean - low * std)
    return found


def of_means(draw: Callable[[Random, int], Floats], truth: float) -> Simulation:
    """Return the simulation of a mean."""
    return lambda random, n, seed: [
        (name, ends, truth) for name, ends in of_mean(draw(random, n), seed).items()
    ]


def paired(random: Random, n: int, seed: int) -> list[Held]:
    """Simulate the difference of two skewed metrics of the same prompts, a tenth undefined in either."""
    prompt = random.lognormal(0.0, 0.5, n)
    a, b = (prompt * random.gamma(8.0, scale / 8.0, n) for scale in (1.0, 0.8))
    for values in (a, b):
        values[random.random(n) < 0.1] = np.nan
    return [("divfast", bootstrap_intervals([b - a], seed=seed)[0], -0.2 * math.exp(0.125))]


def decomposition(noise: float) -> Simulation:
    """Return the simulation of what `divfast decompose` gives, with so much chance in the loss of every prompt.

    Two fifths of the loss are among right samples, which a fifth of the prompts do not have.
    """

    def simulate(random: Random, n: int, seed: int) -> list[Held]:
        base = np.clip(random.normal(0.6, 0.15, n), 0.2, 1.0)
        loss = base * random.beta(2, 6, n)
        right = base - random.normal(0.05, 0.05, n)
        residual = 0.4 * loss + random.normal(0.0, 0.05, n)
        columns = [base, base - loss - random.normal(0.0, noise, n), right, right - residual]
        for column in columns[2:]:
            column[random.random(n) < 0.2] = np.nan
        found = []
        for over in ("own", "paired"):
            parts = take_apart("", over, columns, (n, n), {}, seed=seed)
            found.append((f"{over} prompts", parts.intervals["share"], 0.4))
        return found

    return simulate


def stage(random: Random, n: int, seed: int) -> list[Held]:
    """Simulate the share of a stage: 100 (after - before) / base, the same prompts at every stage."""
    base = random.gamma(6.0, 0.1, n)
    before = base * random.beta(14, 6, n)
    after = before * random.beta(18, 2, n)

    def share(means: Floats) -> Floats:
        return 100 * (means[2:] - means[1:2]) / means[:1]

    (ends,) = bootstrap_intervals([base, before, after], of=share, seed=seed)
    return [("divfast", ends, -7.0)]


def effect(mean: float) -> Simulation:
    """Return the simulation of the effect size of normal differences of variance 1."""

    def simulate(random: Random, n: int, seed: int) -> list[Held]:
        found = effect_size(random.normal(mean, 1.0, n), seed=seed)
        return [
            ("d_z", found.d_interval, mean),
            ("share that went up", found.superiority_interval, NORMAL.cdf(mean)),
        ]

    return simulate


Held = tuple[str, tuple[float, float], float]
Simulation = Callable[[Random, int, int], list[Held]]

INTERVALS: dict[tuple[str, str], Simulation] = {
    **{("mean", name): of_means(*made) for name, made in VALUES.items()},
    **{("estimator", name): of_means(*made) for name, made in ESTIMATORS.items()},
    ("paired difference", "skewed, a tenth undefined"): paired,
    ("share of a decomposition", "clear loss"): decomposition(0.0),
    ("share of a decomposition", "uncertain loss"): decomposition(0.3),
    ("stage share", "-7% of the base"): stage,
    ("effect size", "d_z of 0.3"): effect(0.3),
    ("effect size", "d_z of 1"): effect(1.0),
}


def covered(what: str, name: str, n: int, simulations: int) -> list[Row]:
    """Return how often the intervals of a simulation held the truth, a row for each kind of interval."""
    random = _random(what, name, n)
    simulate = INTERVALS[what, name]
    held: dict[str, list[bool]] = {}
    width: dict[str, float] = {}
    with engine.use_threads(1):
        for seed in range(simulations):
            for method, (low, high), truth in simulate(random, n, seed):
                hits = held.setdefault(method, [])
                # Undefined, as a share is where the loss may be none, is neither right nor wrong.
                if not math.isnan(low):
                    hits.append(low - 1e-9 <= truth <= high + 1e-9)
                    width[method] = width.get(method, 0.0) + high - low
    return [
        _row(what, name, n, method, LEVEL, sum(hits), len(hits))
        | {
            "undefined": simulations - len(hits),
            "width": round(width.get(method, 0.0) / max(len(hits), 1), 6),
        }
        for method, hits in held.items()
    ]


def correlated(random: Random, n: int, many: int) -> Floats:
    """Return differences without a tendency in many metrics, which agree in part, as metrics do."""
    return random.normal(size=(n, 1)) + random.normal(size=(n, many))


DIFFERENCES: dict[str, Callable[[Random, int], Floats]] = {
    "normal": lambda random, n: random.normal(size=n),
    "heavy tails (t, 3 degrees of freedom)": lambda random, n: random.standard_t(3, n),
    "ties (two thirds are 0, the others -1 or 1)": lambda random, n: random.choice(
        [-1.0, 0, 0, 0, 0, 1.0], n
    ),
    "skewed, of mean 0 (exponential)": lambda random, n: random.exponential(size=n) - 1,
}


def found(what: str, name: str, n: int, simulations: int) -> list[Row]:
    """Return how often a test found a difference where there is none."""
    random = _random(what, name, n)
    hits = 0
    for seed in range(simulations // TOGETHER):
        if what == "sign-flip test":
            p = np.array(sign_flip_p([DIFFERENCES[name](random, n) for _ in range(TOGETHER)], seed=seed))
            hits += int((p <= ALPHA).sum())
        else:
            many = int(name.split()[0])
            for i in range(TOGETHER):
                columns = list(correlated(random, n, many).T)
                corrected = holm(sign_flip_p(columns, seed=seed * TOGETHER + i, flips=999))
                hits += min(corrected) <= ALPHA
    return [_row(what, name, n, "divfast", ALPHA, hits, simulations)]


TESTS = [("sign-flip test", name) for name in DIFFERENCES] + [
    ("any of Holm's", "20 correlated metrics, normal")
]


def _random(*key: Any) -> Random:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def _row(what: str, name: str, n: int, method: str, nominal: float, hits: int, of: int) -> Row:
    rate = float(hits / of) if of else math.nan
    return {
        "what": what,
        "values": name,
        "prompts": n,
        "method": method,
        "nominal": nominal,
        "simulations": of,
        "rate": round(rate, 5),
        "within": within(rate, nominal, of),
    }


def within(rate: float, nominal: float, simulations: int) -> bool:
    """Return whether a rate is within three binomial standard errors of the nominal one."""
    return bool(abs(rate - nominal) <= 3 * math.sqrt(nominal * (1 - nominal) / max(simulations, 1)))


def simulate(simulations: int = SIMULATIONS) -> list[Row]:
    """Return all rows."""
    cells = [(covered, *key, n, simulations) for n in reversed(SIZES) for key in INTERVALS]
    cells += [(found, *key, n, simulations) for n in reversed(SIZES) for key in TESTS]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = [row for part in pool.map(_cell, cells) for row in part]
    order = {key: i for i, key in enumerate([*INTERVALS, *TESTS])}
    return sorted(rows, key=lambda row: (order[row["what"], row["values"]], row["method"], row["prompts"]))


def _cell(cell: tuple[Any, ...]) -> list[Row]:
    function, *arguments = cell
    return function(*arguments)


def tables(rows: Sequence[Row]) -> str:
    """Return the tables of the documentation: percent, with a star where it is not within binomial error."""

    def table(title: str, chosen: dict[str, list[Row]]) -> list[str]:
        lines = [
            f"| {title} | {' | '.join(f'{n} prompts' for n in SIZES)} |",
            "| --- |" + " ---: |" * len(SIZES),
        ]
        for name, some in chosen.items():
            cells = {
                row["prompts"]: f"{100 * row['rate']:.1f}{'' if row['within'] else ' *'}" for row in some
            }
            lines.append(f"| {name} | {' | '.join(cells[n] for n in SIZES)} |")
        return [*lines, ""]

    ours: dict[str, list[Row]] = {}
    others: dict[str, list[Row]] = {}
    wrong: dict[str, list[Row]] = {}
    for row in rows:
        if row["nominal"] == ALPHA:
            wrong.setdefault(f"{row['what']}: {row['values']}", []).append(row)
            continue
        # Where one simulation gives several intervals, they have names of their own.
        several = row["what"] in ("share of a decomposition", "effect size")
        name = f"{row['what']}: {row['values']}" + (f", {row['method']}" if several else "")
        if several or row["method"] == "divfast":
            ours.setdefault(name, []).append(row)
        if row["what"] == "mean":
            others.setdefault(f"{row['values']}: {row['method']}", []).append(row)
    return "\n".join(
        [
            *table("truth in the interval, % (95)", ours),
            *table("of a mean, by bootstrap", others),
            *table("found where there is nothing, % (5)", wrong),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="print the tables, from the file")
    if parser.parse_args().table:
        print(tables(json.loads(FILE.read_text(encoding="utf-8"))["rows"]), end="")
    else:
        started = time.perf_counter()
        rows = simulate()
        FILE.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
        print(tables(rows), f"\n{time.perf_counter() - started:.0f} s", sep="")
