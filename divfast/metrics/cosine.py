"""Mean pairwise cosine distance."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import device, engine
from divfast.device import OnCuda
from divfast.registry import Preset, metric

# Below this a thread costs more than it saves: one core reads vectors about as fast as memory gives them.
_PART_BYTES = 32 << 20


@cache
def _compiled() -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Compile ``moments(rows, start, stop, total)``, ``distances(rows, groups, undefined, out)`` and
    ``distances_to_others(rows, groups, undefined, out)``.
    """
    import numba

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        # Not prange: numba's portable threading layer aborts the process when two Python threads enter it,
        # and callers do. Reassociation lets the sums use vector registers; NaN and infinity keep their
        # meaning.
        options = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz"}}
        try:
            jitted: Callable[..., Any] = numba.njit(cache=True, **options)(function)
        except RuntimeError:
            # Neither the package nor the home folder can be written: compile in every process.
            jitted = numba.njit(**options)(function)
        return jitted

    @compiled
    def moments(rows: Any, start: int, stop: int, total: Any) -> float:
        squares = 0.0
        for i in range(start, stop):
            for j in range(rows.shape[1]):
                x = np.float64(rows[i, j])
                total[j] += x
                squares += x * x
        return squares

    @compiled
    def distances(rows: Any, groups: Any, undefined: float, out: Any) -> None:
        total = np.empty(rows.shape[1], np.float64)
        for g in range(len(out)):
            k = groups[g + 1] - groups[g]
            if k < 2:
                out[g] = undefined
                continue
            total[:] = 0.0
            squares = moments(rows, groups[g], groups[g + 1], total)
            out[g] = 1.0 - (np.sum(total * total) / squares - 1.0) / (k - 1)

    @compiled
    def distances_to_others(rows: Any, groups: Any, undefined: float, out: Any) -> None:
        total = np.empty(rows.shape[1], np.float64)
        for g in range(len(groups) - 1):
            k = groups[g + 1] - groups[g]
            total[:] = 0.0
            squares = moments(rows, groups[g], groups[g + 1], total)
            for i in range(groups[g], groups[g + 1]):
                if k < 2:
                    out[i - groups[0]] = undefined
                    continue
                others = 0.0
                for j in range(rows.shape[1]):
                    x = np.float64(rows[i, j])
                    others += x * (total[j] - x)
                out[i - groups[0]] = 1.0 - others / (squares / k) / (k - 1)

    return moments, distances, distances_to_others


def _undefined(preset: Preset) -> float:
    return 0.0 if preset == "paper" else np.nan


class CosineCorpus:
    """Mean pairwise cosine distance of all rows together; holds their sum, d float64 numbers."""

    def __init__(self, *, preset: Preset = "default") -> None:
        self.preset = preset
        self.count = 0
        self.squares = 0.0
        self.total: NDArray[np.float64] = np.zeros(0)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take one block of vectors."""
        if not len(rows):
            return
        if not self.count:
            self.total = np.zeros(rows.shape[1])
        moments, _, _ = _compiled()
        self.squares += moments(rows, 0, len(rows), self.total)
        self.count += len(rows)

    def merge(self, other: CosineCorpus) -> None:
        """Take what another accumulator has seen."""
        if not other.count:
            return
        self.total = self.total + other.total if self.count else other.total.copy()
        self.squares += other.squares
        self.count += other.count

    def result(self) -> float:
        """Return the score of everything seen so far."""
        if self.count < 2:
            return _undefined(self.preset)
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(1.0 - (self.total @ self.total / np.float64(self.squares) - 1.0) / (self.count - 1))


class CosineCorpusOnCuda(CosineCorpus):
    """The same with sums on the GPU."""

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take one block of vectors."""
        if len(rows):
            squares, total = device.moments(rows)
            self.squares += squares
            self.total = self.total + total if self.count else total
            self.count += len(rows)


def cosine_on_cuda(
    rows: NDArray[np.float32], groups: NDArray[np.int64], *, preset: Preset = "default"
) -> NDArray[np.float64]:
    """Return `cosine` from the Triton kernel, with sums in float64."""

    def similarities(on_device: Any, offsets: Any) -> Any:
        import torch

        from divfast.kernels import cosine as kernel
        from divfast.kernels import padded

        if on_device.shape[1] > kernel.WIDEST:
            return padded.cosine(on_device.double(), offsets, int(np.diff(groups).max()))[0]
        return kernel.cosine(on_device, offsets, accumulator=torch.float64).mean

    out = 1.0 - device.over_groups(similarities, rows, groups)
    out[np.diff(groups) < 2] = _undefined(preset)
    return out


def _over_groups(
    compiled: Callable[..., Any],
    rows: NDArray[np.float32],
    groups: NDArray[np.int64],
    preset: Preset,
    bounds: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Run compiled code on threads, each with some groups; those of group i go to bounds[i] up to bounds[i + 1]."""
    out = np.empty(bounds[-1] - bounds[0])
    undefined = _undefined(preset)

    def part(cut: tuple[int, int]) -> None:
        start, stop = cut
        values = out[bounds[start] - bounds[0] : bounds[stop] - bounds[0]]
        compiled(rows, groups[start : stop + 1], undefined, values)

    wanted = int(min(engine.threads(), 1 + rows.nbytes // _PART_BYTES))
    cuts = np.searchsorted(groups, np.linspace(groups[0], groups[-1], wanted + 1)[1:-1])
    edges = [0, *cuts.tolist(), len(groups) - 1]
    for _ in engine.map_ordered(part, pairwise(edges)):
        pass
    return out


def distance_to_others(
    rows: NDArray[np.float32], groups: NDArray[np.int64], *, preset: Preset = "default"
) -> NDArray[np.float64]:
    """Return the mean cosine distance of every sample to the others of its group; their mean is `cosine`."""
    _, _, distances_to_others = _compiled()
    return _over_groups(distances_to_others, rows, groups, preset, groups)


@metric(
    "cosine",
    view="vectors",
    unit="mean pairwise cosine distance",
    higher="more diverse",
    bounds=(0, 2),
    corpus=CosineCorpus,
    aliases=("sbert",),
    expectation="pairs_mean",
    per_sample=distance_to_others,
    cuda=OnCuda(cosine_on_cuda, CosineCorpusOnCuda),
)
def cosine(
    rows: NDArray[np.float32], groups: NDArray[np.int64], *, preset: Preset = "default"
) -> NDArray[np.float64]:
    """One minus the mean cosine over all pairs of samples of a group.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows, C order.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    preset : str
        ``paper`` gives 0 to a group of fewer than two samples, as the published code does.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, K / (K - 1)], within rounding; NaN for a group of fewer than two samples.

    Notes
    -----
    Over all pairs, with no sampling and no matrix of similarities: with K rows e_i,

    ``1 - (|sum e|^2 / sum |e|^2 - 1) / (K - 1)``

    which is ``1 - (|sum e|^2 - sum |e|^2) / (K (K - 1))`` for unit rows; dividing by ``sum |e|^2`` takes out
    the rounding of float32 norms, so that identical rows are at distance 0 to 1e-15. O(n d) time, one pass
    over the rows, O(d) memory. Sums in float64. Equal to the reference, which forms every pair, to 1e-6.

    The value of a sample (``--per-sample``) is its mean distance to the others of its group; their mean is the value
    of the group.

    References
    ----------
    Karouzos, Tan and Aletras (2026), "Where does output diversity collapse in post-training?", arXiv
    2604.16027, where it is called SBERT. Tevet and Berant (2021), "Evaluating the Evaluation of Diversity in
    Natural Language Generation", arXiv 2004.02990.

    Examples
    --------
    >>> import numpy as np, divfast
    >>> rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)  # three pairs, at distance 0, 1 and 1
    >>> report = divfast.score(embeddings=rows, groups=np.array([0, 3]), metrics=["cosine"])
    >>> round(report["cosine"].mean, 4)
    0.6667
    """
    _, distances, _ = _compiled()
    return _over_groups(distances, rows, groups, preset, np.arange(len(groups)))
