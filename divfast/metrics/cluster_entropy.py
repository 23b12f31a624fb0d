"""Entropy of the classes of a partition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.partitions import ClassCorpus, Classes, count_classes
from divfast.registry import metric


def entropies(classes: Classes) -> NDArray[np.float64]:
    """Return the Shannon entropy of every group in nats, ``float64[g]``."""
    shares = classes.shares
    # Adding 0 takes the sign off the zero of a group of one class.
    return classes.sums(shares * -np.log(shares)) + 0.0


class ClusterEntropyCorpus(ClassCorpus):
    """Entropy of the classes of all rows together."""

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return float(entropies(self.classes())[0])


@metric(
    "cluster_entropy",
    view="partition",
    unit="nats",
    higher="more diverse",
    bounds=(0, None),
    corpus=ClusterEntropyCorpus,
)
def cluster_entropy(rows: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shannon entropy of the classes that the samples of a group fall into, in nats.

    Parameters
    ----------
    rows : numpy.ndarray
        ``int64[n]``, the class of each sample, -1 where there is none.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, ln K]; NaN for a group without a sample, or with one that has no class.

    Notes
    -----
    ``-sum p ln p``, p the share of each class. Where classes are meanings, told apart by an NLI model, this is the
    discrete semantic entropy. It is too low on few samples and grows with K: compare groups of like size. O(n log n)
    time; over a corpus 16 bytes a class. Sums in float64; equal to the reference to 1e-12.

    References
    ----------
    Shannon (1948), "A Mathematical Theory of Communication", Bell System Technical Journal 27. As discrete semantic
    entropy: Farquhar, Kossen, Kuhn and Gal (2024), "Detecting hallucinations in large language models using semantic
    entropy", Nature 630; Kuhn, Gal and Farquhar (2023), arXiv 2302.09664.

    Examples
    --------
    >>> import numpy as np
    >>> round(cluster_entropy(np.array([0, 0, 1, 1]), np.array([0, 4])).item(), 4)  # ln 2
    0.6931
    """
    return entropies(count_classes(rows, groups))
