"""Cases of selecting a diverse subset, from vectors in memory to picks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.greedy import Picks, Recipe, covering_radius, pick
from divfast.metrics.vendi import vendi
from divfast.scope import one_group
from divfast.throughput.case import Absent, Case, Implementation, Place, Prepared, Tolerance

_SEED = 20260
_BLOCK = 1 << 16
# Of candidates times picks squared: what a loop over all candidates does in some minutes.
_PATIENCE = 10_000_000


def _vectors(samples: int, dimensions: int) -> NDArray[np.float32]:
    """Return unit rows as samples of prompts lie: something common to all, 16 together around a centre of their own."""
    rng = np.random.default_rng(_SEED)
    scale = (1 / np.sqrt(np.arange(1, dimensions + 1))).astype(np.float32)
    common = rng.standard_normal(dimensions, np.float32)
    rows = np.empty((samples, dimensions), np.float32)
    for start in range(0, samples, _BLOCK):
        part = rows[start : start + _BLOCK]
        rng.standard_normal(part.shape, np.float32, part)
        part *= np.float32(0.6)
        part += np.repeat(rng.standard_normal((len(part) // 16 + 1, dimensions), np.float32), 16, 0)[
            : len(part)
        ]
        part += common
        part *= scale
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def _picked(rows: NDArray[np.float32], k: int, method: str) -> Picks:
    return pick(rows, one_group(len(rows)), Recipe(k, method, 1.0, "pooled", 0, 0), "cpu")


def _k_centre(place: Place, *, samples: int, dimensions: int, k: int) -> Prepared:
    rows = _vectors(samples, dimensions)
    return Prepared(
        lambda: _picked(rows, k, "k_centre").rows, lambda found: _radius(rows, found), {"samples": samples}
    )


def _radius(rows: NDArray[np.float32], found: Any) -> dict[str, NDArray[np.float64]]:
    chosen = np.asarray(found, np.int64)
    bounds = one_group(len(chosen))
    return {"coverage radius": covering_radius(rows, one_group(len(rows)), chosen, bounds)}


def _k_centre_numpy(place: Place, *, samples: int, dimensions: int, k: int) -> Prepared:
    rows = _vectors(samples, dimensions)
    first = int(_picked(rows, 1, "k_centre").rows[0])

    def run() -> list[int]:
        # As it is usually written: one product and one minimum a pick.
        found = [first]
        nearest = 1 - rows @ rows[first]
        while len(found) < k:
            found.append(int(np.argmax(nearest)))
            np.minimum(nearest, 1 - rows @ rows[found[-1]], out=nearest)
        return found

    return Prepared(run, lambda found: _radius(rows, found), {"samples": samples})


def _fpsample(place: Place, *, samples: int, dimensions: int, k: int) -> Prepared:
    if samples > 100_000:
        raise Absent("takes minutes at this size")
    try:
        from fpsample import fps_sampling
    except ImportError:
        raise Absent(
            "fpsample is not installed; it needs no more than pip install --no-deps fpsample"
        ) from None
    rows = _vectors(samples, dimensions)
    first = int(_picked(rows, 1, "k_centre").rows[0])
    return Prepared(
        lambda: fps_sampling(rows, k, first), lambda found: _radius(rows, found), {"samples": samples}
    )


def _vendi(place: Place, *, samples: int, dimensions: int, k: int) -> Prepared:
    rows = _vectors(samples, dimensions)
    return Prepared(
        lambda: _picked(rows, k, "vendi").rows, lambda found: _score(rows, found), {"samples": samples}
    )


def _score(rows: NDArray[np.float32], found: Any) -> dict[str, NDArray[np.float64]]:
    chosen = np.sort(np.asarray(found, np.int64))
    return {"Vendi Score of the subset": vendi(rows[chosen], one_group(len(chosen)))}


def _patient(samples: int, k: int) -> None:
    if samples * k**2 > _PATIENCE:
        raise Absent("trying every candidate takes too long at this size")


def _vendi_package(place: Place, *, samples: int, dimensions: int, k: int) -> Prepared:
    _patient(samples, k)
    try:
        from vendi_score import vendi as package
    except ImportError:
        raise Absent("vendi-score is not installed") from None
    rows = _vectors(samples, dimensions)
    first = int(_picked(rows, 1, "vendi").rows[0])
    cosines = rows.astype(np.float64) @ rows.T

    def run() -> list[int]:
        found = [first]
        while len(found) < k:
            scores = np.full(samples, -np.inf)
            for i in range(samples):
                if i not in found:
                    some = [*found, i]
                    scores[i] = package.score_K(cosines[np.ix_(some, some)])
            found.append(int(np.argmax(scores)))
        return found

    return Prepared(run, lambda found: _score(rows, found), {"samples": samples})


def _vendi_numpy(place: Place, *, samples: int, dimensions: int, k: int) -> Prepared:
    _patient(samples, k)
    rows = _vectors(samples, dimensions)
    first = int(_picked(rows, 1, "vendi").rows[0])
    cosines = rows.astype(np.float64) @ rows.T

    def run() -> list[int]:
        # All candidates of a pick at once.
        found = [first]
        while len(found) < k:
            m = len(found) + 1
            some = np.concatenate([np.tile(found, (samples, 1)), np.arange(samples)[:, None]], axis=1)
            values = np.linalg.eigvalsh(cosines[some[:, :, None], some[:, None, :]] / m)
            logs = np.log(np.where(values > 1e-12, values, 1.0))
            scores = np.exp(-(values * logs).sum(axis=1))
            scores[found] = -np.inf
            found.append(int(np.argmax(scores)))
        return found

    return Prepared(run, lambda found: _score(rows, found), {"samples": samples})


_SIZES = tuple({"samples": n, "dimensions": 384, "k": 100} for n in (10**4, 10**5, 10**6))

CASES = (
    Case(
        "select-k-centre",
        "greedy k-centre: 100 samples that are near all others, from vectors in memory",
        _SIZES,
        {"samples": 2000, "dimensions": 64, "k": 20},
        (
            Implementation("divfast", _k_centre, ("numpy",)),
            Implementation("numpy", _k_centre_numpy, ("numpy",)),
            Implementation("fpsample", _fpsample, ("fpsample", "numpy")),
        ),
        # The peers' distances are of float32, and a pick that is as far but for that may be another one.
        Tolerance(relative=2e-2),
    ),
    Case(
        "select-vendi",
        "greedy Vendi of order 1, from vectors in memory",
        ({"samples": 1000, "dimensions": 384, "k": 30}, *_SIZES),
        {"samples": 200, "dimensions": 64, "k": 8},
        (
            Implementation("divfast", _vendi, ("numpy",)),
            Implementation("numpy", _vendi_numpy, ("numpy",)),
            Implementation("vendi-score", _vendi_package, ("vendi-score", "numpy")),
        ),
        Tolerance(relative=1e-5),
    ),
)
