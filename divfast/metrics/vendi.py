"""Vendi Score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import _core, device, engine
from divfast.kinds import positive_real
from divfast.registry import OnCuda, Preset, metric

# Eigenvalues up to this are rounding of zero.
_ZERO = 1e-12
# Rows of a group up to which the compiled core finds eigenvalues faster than LAPACK does.
_SMALL = 64
# Groups of one size are taken together, few enough that their rows stay in a core's cache.
_BATCH_BYTES = 2 << 20


def effective_number(
    spectrum: NDArray[np.float64], q: float, preset: Preset, zeros: int = 0
) -> NDArray[np.float64]:
    """Return the Hill number of order q of eigenvalues that sum to 1, ``float64[..., m]``.

    `zeros` is how many more eigenvalues are zero, which matters to the paper preset alone.
    """
    if preset == "paper":
        p = np.maximum(spectrum, _ZERO)
    else:
        p = np.where(spectrum > _ZERO, spectrum, 0.0)
        zeros = 0
    top = p.max(axis=-1)
    if q == np.inf:
        entropy = -np.log(top)
    elif abs(q - 1.0) < 0.01:
        # (sum p^q)^(1 / (1 - q)) loses its digits near q = 1; this form keeps them, and is Shannon's at 1.
        logs = np.log(np.where(p > 0, p, 1.0))
        if q == 1.0:
            entropy = -(p * logs).sum(axis=-1) - zeros * _ZERO * np.log(_ZERO)
        else:
            excess = (p * np.expm1((q - 1.0) * logs)).sum(axis=-1)
            excess += zeros * _ZERO * np.expm1((q - 1.0) * np.log(_ZERO))
            entropy = np.log1p(excess) / (1.0 - q)
    else:
        # The largest is taken out because p^q of a large q is nothing but underflow.
        scaled = ((p / top[..., None]) ** q).sum(axis=-1) + zeros * (_ZERO / top) ** q
        entropy = (q * np.log(top) + np.log(scaled)) / (1.0 - q)
    result: NDArray[np.float64] = np.exp(entropy)
    return result


def _of_products(
    products: NDArray[np.float64],
    q: float,
    preset: Preset,
    zeros: int = 0,
    eigenvalues: Callable[..., NDArray[np.float64]] = np.linalg.eigvalsh,
) -> NDArray[np.float64]:
    """Return the score of Gram matrices or sums of outer products, ``float64[b, m, m]``."""
    out = np.full(len(products), np.nan)
    trace = np.trace(products, axis1=1, axis2=2)
    # A row that is NaN, infinite or zero throughout has no direction.
    defined = np.isfinite(trace) & (trace > 0)
    products, trace = (products, trace) if defined.all() else (products[defined], trace[defined])
    if q == 2 and preset == "default":
        out[defined] = trace**2 / np.einsum("bij,bij->b", products, products)
    elif len(products):
        out[defined] = effective_number(eigenvalues(products) / trace[:, None], q, preset, zeros)
    return out


class VendiCorpus:
    """Vendi Score of all rows together; holds the d x d sum of their outer products, upper triangle, in float64."""

    def __init__(self, *, q: float, preset: Preset = "default") -> None:
        self.q = q
        self.preset = preset
        self.count = 0
        self.products: NDArray[np.float64] | None = None
        # Up to d rows are kept as they are: their Gram matrix is the smaller one.
        self.rows: list[NDArray[np.float64]] = []

    def add(self, rows: NDArray[np.floating[Any]]) -> None:
        """Take one block of vectors."""
        if not len(rows):
            return
        d = rows.shape[1]
        self.count += len(rows)
        if self.products is None:
            if self.count <= d:
                self.rows.append(rows.astype(np.float64))
                return
            self.products = np.zeros((d, d))
            for kept in self.rows:
                self._add_products(kept)
            self.rows = []
        self._add_products(rows)

    def _add_products(self, rows: NDArray[np.floating[Any]]) -> None:
        assert self.products is not None
        # In float64: products of float32 turn zero eigenvalues into 1e-9, which low orders q would count.
        _core.add_outer_products(self.products, rows, threads=engine.threads())

    def merge(self, other: VendiCorpus) -> None:
        """Take what another accumulator has seen."""
        if other.products is None:
            for kept in other.rows:
                self.add(kept)
            return
        mine, self.rows = self.rows, []
        self.products = other.products.copy() if self.products is None else self.products + other.products
        for kept in mine:
            self._add_products(kept)
        self.count += other.count

    def result(self) -> float:
        """Return the score of everything seen so far."""
        if self.count < 2 and self.preset == "paper":
            return 1.0
        if not self.count:
            return np.nan
        if self.products is None:
            kept = np.concatenate(self.rows)
            products = kept @ kept.T
        else:
            upper = np.triu(self.products)
            products = upper + np.triu(upper, 1).T
        return float(_of_products(products[None], self.q, self.preset, self.count - len(products))[0])


class VendiCorpusOnCuda(VendiCorpus):
    """The same with outer products on the GPU, by ``torch.matmul`` in float64."""

    def _add_products(self, rows: NDArray[np.floating[Any]]) -> None:
        assert self.products is not None
        self.products += device.outer_products(rows)


def vendi_on_cuda(
    rows: NDArray[np.float32], groups: NDArray[np.int64], *, q: float = 1.0, preset: Preset = "default"
) -> NDArray[np.float64]:
    """Return `vendi` from the Triton kernel in float64; larger groups, and the paper's raised zeros, from torch."""
    import torch

    from divfast.kernels import vendi as kernel

    d = rows.shape[1]
    sizes = np.diff(groups)
    fits = (sizes <= kernel.LARGEST) if preset == "default" else np.zeros(len(sizes), bool)

    def score(on_device: Any, offsets: Any) -> Any:
        return kernel.vendi(on_device, offsets, q=q, accumulator=torch.float64)

    out = device.over_groups(score, rows, groups) if fits.any() else np.full(len(sizes), np.nan)
    if preset == "paper":
        out[sizes == 0] = 1.0
    for g in np.flatnonzero(~fits & (sizes > 0)):
        group = rows[groups[g] : groups[g + 1]]
        # The smaller of the two matrices with these eigenvalues.
        products = device.outer_products(group if sizes[g] > d else np.ascontiguousarray(group.T))
        out[g] = _of_products(products[None], q, preset, int(sizes[g]) - len(products), device.eigenvalues)[0]
    return out


@metric(
    "vendi",
    view="vectors",
    unit="effective samples",
    higher="more diverse",
    bounds=(1, None),
    corpus=VendiCorpus,
    parameters={"q": positive_real},
    cuda=OnCuda(vendi_on_cuda, VendiCorpusOnCuda),
)
def vendi(
    rows: NDArray[np.float32], groups: NDArray[np.int64], *, q: float = 1.0, preset: Preset = "default"
) -> NDArray[np.float64]:
    """Effective number of different samples of a group: the exponential of the entropy of their similarities.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows, C order.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    q : float
        Order, in (0, inf]: small ones count rare kinds of samples fully, ``inf`` sees the commonest kind
        alone.
    preset : str
        ``paper`` raises eigenvalues below 1e-12 to it instead of dropping them, and gives 1 to a group
        without a sample, as the published code does.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [1, min(K, d)], within rounding; 1 for a group of one sample, NaN for a group of
        none.

    Notes
    -----
    With eigenvalues l of ``E E^T / K``, where the rows of E are the K samples: ``exp(-sum l log l)`` for q =
    1, ``(sum l^q)^(1 / (1 - q))`` otherwise, ``1 / max l`` for q = inf. The d x d matrix ``E^T E / K`` has
    the same eigenvalues besides zeros, so each group takes the smaller of the two, O(K d min(K, d)) time;
    memory never grows with K^2 beyond d^2. For q = 2 the value is ``1 / |E E^T / K|_F^2``, with no eigenvalue
    at all. Products, eigenvalues and sums in float64; the eigenvalues are divided by their sum, which is 1
    but for the rounding of float32 norms, and those up to 1e-12 are dropped. Equal to the reference to 1e-6
    relative.

    References
    ----------
    Friedman and Dieng (2023), "The Vendi Score: A Diversity Evaluation Metric for Machine Learning", arXiv
    2210.02410. Pasarkar and Dieng (2023), "Cousins of the Vendi Score", arXiv 2310.12952, for the orders.

    Examples
    --------
    >>> import numpy as np, divfast
    >>> rows = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)  # two kinds, equally often
    >>> report = divfast.score(embeddings=rows, groups=np.array([0, 4]), metrics=["vendi", "vendi:q=2"])
    >>> round(report["vendi"].mean, 4), round(report["vendi:q=2"].mean, 4)
    (2.0, 2.0)
    """
    d = rows.shape[1]
    sizes = np.diff(groups)
    out = np.full(len(sizes), np.nan)
    if preset == "paper":
        out[sizes == 0] = 1.0

    for g in np.flatnonzero(sizes > d):
        corpus = VendiCorpus(q=q, preset=preset)
        corpus.add(rows[groups[g] : groups[g + 1]])
        out[g] = corpus.result()
    small = (
        (sizes > 0) & (sizes <= min(d, _SMALL)) if q != 2 or preset == "paper" else np.zeros(len(sizes), bool)
    )
    for k in np.unique(sizes[small]):
        index = np.flatnonzero(small & (sizes == k))
        spectra = _core.gram_spectra(rows, groups[index], int(k), threads=engine.threads())
        defined = ~np.isnan(spectra[:, 0])
        out[index[defined]] = effective_number(spectra[defined], q, preset)
    # On one thread: BLAS has its own, and two callers of it slow each other down by far more than a half.
    for index in _equal_sizes(sizes, np.flatnonzero(~small & (sizes > 0) & (sizes <= d)), d):
        k = int(sizes[index[0]])
        block = rows[groups[index][:, None] + np.arange(k)].astype(np.float64)  # [b, K, d]
        out[index] = _of_products(block @ block.transpose(0, 2, 1), q, preset)
    return out


def _equal_sizes(sizes: NDArray[np.int64], index: NDArray[np.int64], d: int) -> Iterator[NDArray[np.int64]]:
    """Yield the groups of `index` in batches of one size, each small enough to be copied."""
    order = index[np.argsort(sizes[index], kind="stable")]
    for same in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        if len(same):
            step = max(1, _BATCH_BYTES // (8 * int(sizes[same[0]]) * d))
            for start in range(0, len(same), step):
                yield same[start : start + step]
