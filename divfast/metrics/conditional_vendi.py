"""Vendi Score of samples given their prompts, and what the prompts say of the samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.gram import grams
from divfast.kinds import choice, natural, positive_int, positive_real
from divfast.metrics.vendi import of_products, vendi
from divfast.pairs import PairCorpus
from divfast.registry import metric
from divfast.views.prompted import PromptedVectors

# A matrix of 128 MB.
SAMPLE = 4000


class ConditionalVendiCorpus(PairCorpus):
    """The score of rows drawn from a corpus: of all its rows where it has no more than that."""

    def __init__(self, *, sample: int = SAMPLE, seed: int = 0, **parameters: Any) -> None:
        super().__init__(sample=sample, seed=seed, **parameters)

    def means(
        self, rows: PromptedVectors, groups: NDArray[np.int64], **parameters: Any
    ) -> NDArray[np.float64]:
        """Return the score of every group."""
        return conditional_vendi(rows, groups, **parameters)


@metric(
    "conditional_vendi",
    view="prompted vectors",
    unit="effective samples a prompt",
    higher="more diverse",
    bounds=(0, None),
    corpus=ConditionalVendiCorpus,
    parameters={
        "q": positive_real,
        "part": choice("conditional", "information"),
        "sample": positive_int,
        "seed": natural,
    },
)
def conditional_vendi(
    rows: PromptedVectors,
    groups: NDArray[np.int64],
    *,
    q: float = 1.0,
    part: str = "conditional",
    sample: int = SAMPLE,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Effective number of different samples that the prompts do not account for.

    Parameters
    ----------
    rows : PromptedVectors
        ``float32[n, d]`` twice, unit rows of samples and of their prompts.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    q : float
        Order of the entropies, in (0, inf].
    part : str
        ``conditional``: the diversity that the model adds to that of its prompts. ``information``: the diversity of
        samples that their prompts account for.
    sample : int
        Over a corpus, how many rows to draw where there are more.
    seed : int
        Draws them.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``, at least 1 within rounding (``information`` at q = 1; at other orders it can be less); 1 for a
        group of one sample, NaN for a group of none.

    Notes
    -----
    With the matrices K_X and K_T of cosines of n samples and of their prompts, ``o`` the product entry by entry and
    H the entropy of order q of eigenvalues: ``exp(H(K_X o K_T / n) - H(K_T / n))``, and for ``part=information``
    ``exp(H(K_X / n) + H(K_T / n) - H(K_X o K_T / n))``. At q = 1 the Vendi Score of the samples is the product of
    the two. Samples of one prompt have nothing to tell their prompts apart, so per prompt the score is that of
    `vendi`, and the information 1; it says something new over `first` and `pooled`.

    The features of K_X o K_T are the d^2 products of the numbers of both vectors, so no small matrix has its
    spectrum, and the n x n one is taken: O(n^3) time and 8 n^2 bytes. Over a corpus of more than `sample` rows so
    many are drawn at random, and the three matrices are theirs. On 1,000 samples of 100 prompts of NoveltyBench,
    where all give 5.80, half of the rows gave 4.3 to 4.4; a random sketch with a matrix as large as theirs
    (TensorSketch, or products of random projections) gave 3.6 to 3.7, since it is blurred in H(K_X o K_T) alone,
    and it would cost O(n sample^2) time besides. Both are low: the score grows with the rows until there are many
    of every kind, so compare at equal `n` (``--at-n``).

    Everything in float64; prompts are encoded by the encoder of the samples, each once. Equal to the reference to 1e-6
    relative. The published code works with the Gaussian kernel on images.

    References
    ----------
    Jalali, Ospanov, Gohari and Farnia (2024), "Conditional Vendi Score: An Information-Theoretic Approach to Diversity
    Evaluation of Prompt-based Generative Models", arXiv 2411.02817.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast.views.prompted import PromptedVectors
    >>> axes = np.eye(4, dtype=np.float32)  # two prompts, two different samples of each
    >>> rows = PromptedVectors(outputs=axes[[0, 1, 2, 3]], prompts=axes[[0, 0, 1, 1]])
    >>> conditional_vendi(rows, np.array([0, 4])).round(4).tolist()  # two a prompt
    [2.0]
    >>> conditional_vendi(rows, np.array([0, 4]), part="information").round(4).tolist()  # and that for each of two
    [2.0]
    """
    sizes = np.diff(groups)
    joint = np.full(len(sizes), np.nan)
    given = vendi(rows.prompts, groups, q=q)
    some = np.flatnonzero(sizes > 0)
    of_outputs, of_prompts = grams(rows.outputs, groups, some), grams(rows.prompts, groups, some)
    for (index, outputs), (_, prompts) in zip(of_outputs, of_prompts, strict=True):
        joint[index] = of_products(outputs * prompts, q, "default")
    scores: NDArray[np.float64] = (
        joint / given if part == "conditional" else vendi(rows.outputs, groups, q=q) * given / joint
    )
    return scores
