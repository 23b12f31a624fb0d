"""Vendi Score."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import _core, device, engine
from divfast.device import OnCuda
from divfast.errors import DivfastWarning
from divfast.fourier import FourierProducts
from divfast.gram import OuterProducts, grams, to_rbf
from divfast.kinds import choice, natural, positive_int, positive_real
from divfast.registry import Preset, metric

SCALE = 1.0
RANK = 1000
# Eigenvalues up to this are rounding of zero.
_ZERO = 1e-12


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


def spectra(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvalues of symmetric matrices, ``float64[b, m, m]`` to ``float64[b, m]``."""
    # Not by LAPACK: BLAS's threads go on spinning for a while, and take the processor from what comes next.
    return _core.eigenvalues(products, threads=engine.threads())


def of_products(
    products: NDArray[np.float64],
    q: float,
    preset: Preset,
    zeros: int = 0,
    eigenvalues: Callable[[NDArray[np.float64]], NDArray[np.float64]] = spectra,
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
    """Vendi Score of all rows together; holds the sum of the outer products of their vectors or features."""

    def __init__(
        self,
        *,
        q: float,
        kernel: str = "cosine",
        scale: float = SCALE,
        rank: int = RANK,
        seed: int = 0,
        preset: Preset = "default",
    ) -> None:
        self.q = q
        self.preset = preset
        self.sums = OuterProducts() if kernel == "cosine" else FourierProducts(scale, rank, seed)

    def add(self, rows: NDArray[np.floating[Any]]) -> None:
        """Take one block of vectors."""
        self.sums.add(rows)

    def merge(self, other: VendiCorpus) -> None:
        """Take what another accumulator has seen."""
        self.sums.merge(other.sums)

    def result(self) -> float:
        """Return the score of everything seen so far."""
        count = self.sums.count
        if count < 2 and self.preset == "paper":
            return 1.0
        matrix = self.sums.matrix()
        if matrix is None:
            return np.nan
        if self.q < 2 and isinstance(self.sums, FourierProducts) and self.sums.products is not None:
            warnings.warn(
                f"vendi with kernel=rbf and q={self.q:g} over {count:,} rows is low, since it can see no more than "
                f"{len(matrix):,} features; a larger rank= is closer, and q=2 converges sooner.",
                DivfastWarning,
                stacklevel=2,
            )
        return float(of_products(matrix[None], self.q, self.preset, count - len(matrix))[0])


def _applies(*, kernel: str, **_: Any) -> Sequence[str]:
    # The cosine kernel came first and has no parameters; its signatures stay as they were.
    return ("q",) if kernel == "cosine" else ("q", "kernel", "scale", "rank", "seed")


class _SumsOnCuda(OuterProducts):
    def _add_products(self, rows: Any) -> None:
        assert self.products is not None
        for some in self.features(rows):
            self.products += device.outer_products(some)


class _FourierSumsOnCuda(_SumsOnCuda, FourierProducts):
    pass


class VendiCorpusOnCuda(VendiCorpus):
    """The same with outer products on the GPU, by ``torch.matmul`` in float64."""

    def __init__(
        self,
        *,
        q: float,
        kernel: str = "cosine",
        scale: float = SCALE,
        rank: int = RANK,
        seed: int = 0,
        preset: Preset = "default",
    ) -> None:
        super().__init__(q=q, preset=preset)
        self.sums = _SumsOnCuda() if kernel == "cosine" else _FourierSumsOnCuda(scale, rank, seed)


def vendi_on_cuda(
    rows: NDArray[np.float32],
    groups: NDArray[np.int64],
    *,
    q: float = 1.0,
    kernel: str = "cosine",
    scale: float = SCALE,
    rank: int = RANK,
    seed: int = 0,
    preset: Preset = "default",
) -> NDArray[np.float64]:
    """Return `vendi` from the Triton kernel in float64; what that does not know, matrices on the device by torch.

    These are larger groups, the RBF kernel, and the zeros that the paper preset raises.
    """
    import torch

    from divfast.kernels import vendi as launcher

    sizes = np.diff(groups)
    fits = (sizes <= launcher.LARGEST) & (preset == "default") & (kernel == "cosine")

    def score(on_device: Any, offsets: Any) -> Any:
        return launcher.vendi(on_device, offsets, q=q, accumulator=torch.float64)

    out = device.over_groups(score, rows, groups) if fits.any() else np.full(len(sizes), np.nan)
    if preset == "paper":
        out[sizes == 0] = 1.0
    for g in np.flatnonzero(~fits & (sizes > 0)):
        group = rows[groups[g] : groups[g + 1]]
        if len(group) > (rows.shape[1] if kernel == "cosine" else 2 * rank):
            corpus = VendiCorpusOnCuda(q=q, kernel=kernel, scale=scale, rank=rank, seed=seed, preset=preset)
            corpus.add(group)
            out[g] = corpus.result()
        else:
            products = device.outer_products(np.ascontiguousarray(group.T))[None]
            if kernel == "rbf":
                to_rbf(products, scale)
            out[g] = of_products(products, q, preset, 0, device.eigenvalues)[0]
    return out


@metric(
    "vendi",
    view="vectors",
    unit="effective samples",
    higher="more diverse",
    bounds=(1, None),
    corpus=VendiCorpus,
    parameters={
        "q": positive_real,
        "kernel": choice("cosine", "rbf"),
        "scale": positive_real,
        "rank": positive_int,
        "seed": natural,
    },
    applies=_applies,
    cuda=OnCuda(vendi_on_cuda, VendiCorpusOnCuda),
)
def vendi(
    rows: NDArray[np.float32],
    groups: NDArray[np.int64],
    *,
    q: float = 1.0,
    kernel: str = "cosine",
    scale: float = SCALE,
    rank: int = RANK,
    seed: int = 0,
    preset: Preset = "default",
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
    kernel : str
        What similarity is: ``cosine``, or ``rbf``, which is ``exp(-|x - y|^2 / (2 scale^2))``.
    scale : float
        Of the RBF kernel: at which distance vectors begin to count as different. Unit rows are at most 2 apart.
    rank : int
        Of the RBF kernel, where there are more than 2 rank samples: how many random frequencies stand in for it.
    seed : int
        Draws them.
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

    With ``kernel=rbf`` the matrix is ``K / n`` of the kernel, up to 2 rank samples: exact, O(K^2 d + K^3). Beyond,
    it is that of random Fourier features, ``[cos w.x, sin w.x] / sqrt(rank)`` for `rank` frequencies w drawn from a
    normal distribution of deviation 1 / scale: O(K rank (d + rank)) time, (2 rank)^2 numbers. A kernel of features
    is off by about ``1 / sqrt(2 rank)`` at each entry, which spreads over small eigenvalues: the score can be no
    more than 2 rank and is low where it comes near. At q = 1 it converges slowly, and a warning says so; at q = 2 and
    above soon. `rke` with ``kernel=rbf`` is q = 2 with no features.

    References
    ----------
    Friedman and Dieng (2023), "The Vendi Score: A Diversity Evaluation Metric for Machine Learning", arXiv
    2210.02410. Pasarkar and Dieng (2023), "Cousins of the Vendi Score", arXiv 2310.12952, for the orders. Ospanov et
    al. (2024), "Towards a Scalable Reference-Free Evaluation of Generative Models", arXiv 2407.02961, for the features.

    Examples
    --------
    >>> import numpy as np, divfast
    >>> rows = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)  # two kinds, equally often
    >>> report = divfast.score(embeddings=rows, groups=np.array([0, 4]), metrics=["vendi", "vendi:q=2"])
    >>> round(report["vendi"].mean, 4), round(report["vendi:q=2"].mean, 4)
    (2.0, 2.0)
    """
    sizes = np.diff(groups)
    out = np.full(len(sizes), np.nan)
    if preset == "paper":
        out[sizes == 0] = 1.0
    largest = rows.shape[1] if kernel == "cosine" else 2 * rank
    for g in np.flatnonzero(sizes > largest):
        corpus = VendiCorpus(q=q, kernel=kernel, scale=scale, rank=rank, seed=seed, preset=preset)
        corpus.add(rows[groups[g] : groups[g + 1]])
        out[g] = corpus.result()
    for index, products in grams(rows, groups, np.flatnonzero((sizes > 0) & (sizes <= largest))):
        if kernel == "rbf":
            to_rbf(products, scale)
        out[index] = of_products(products, q, preset)
    return out
