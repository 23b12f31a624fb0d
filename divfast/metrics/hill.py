"""Hill numbers of the classes of a partition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import nonnegative_real
from divfast.metrics.cluster_entropy import entropies
from divfast.partitions import ClassCorpus, Classes, count_classes
from divfast.registry import metric


def hill_numbers(classes: Classes, q: float) -> NDArray[np.float64]:
    """Return the Hill number of order q of every group, ``float64[g]``."""
    if q == 1:
        return np.exp(entropies(classes))
    greatest = np.zeros(len(classes.sizes))
    shares = classes.shares
    np.maximum.at(greatest, classes.group, shares)
    with np.errstate(divide="ignore", invalid="ignore"):
        if np.isinf(q):
            return np.where(classes.defined, 1.0 / greatest, np.nan)
        # The greatest share is taken out: powers of all of them may vanish.
        rest = classes.sums((shares / greatest[classes.group]) ** q)
        numbers: NDArray[np.float64] = np.exp((q * np.log(greatest) + np.log(rest)) / (1.0 - q))
    return numbers


class HillCorpus(ClassCorpus):
    """Hill number of the classes of all rows together."""

    def __init__(self, *, q: float) -> None:
        super().__init__()
        self.q = q

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return float(hill_numbers(self.classes(), self.q)[0])


@metric(
    "hill",
    view="partition",
    unit="effective classes",
    higher="more diverse",
    bounds=(1, None),
    corpus=HillCorpus,
    parameters={"q": nonnegative_real},
)
def hill(rows: NDArray[np.int64], groups: NDArray[np.int64], *, q: float = 1.0) -> NDArray[np.float64]:
    """Effective number of classes of a group: the Hill number of order q.

    Parameters
    ----------
    rows : numpy.ndarray
        ``int64[n]``, the class of each sample, -1 where there is none.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    q : float
        Order, 0 or more; inf is allowed. 0 counts every class alike; the higher it is, the less rare ones count.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [1, K]; NaN for a group without a sample, or with one that has no class.

    Notes
    -----
    ``(sum p^q)^(1 / (1 - q))``, p the share of each class: the number of equally common classes that would be as
    diverse. q = 0 is the number of classes, q = 1 the exponential of `cluster_entropy`, q = 2 one over the odds that
    two samples drawn with replacement are of one class, q = inf one over the greatest share. It is the Vendi Score of
    order q where samples of one class are the same and others have nothing in common. O(n log n) time; over a corpus 16
    bytes a class. Sums in float64; equal to the reference to 1e-9.

    References
    ----------
    Hill (1973), "Diversity and Evenness: A Unifying Notation and Its Consequences", Ecology 54(2). Its kin over
    similarities: Friedman and Dieng (2023), arXiv 2210.02410.

    Examples
    --------
    >>> import numpy as np
    >>> labels, groups = np.array([0, 0, 0, 1]), np.array([0, 4])
    >>> [round(hill(labels, groups, q=q).item(), 4) for q in (0, 2, np.inf)]  # 2, 16 / 10, 4 / 3
    [2.0, 1.6, 1.3333]
    """
    return hill_numbers(count_classes(rows, groups), q)
