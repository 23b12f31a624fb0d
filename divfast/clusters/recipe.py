"""What decides which samples are one cluster."""

from __future__ import annotations

import math
from dataclasses import dataclass

from divfast.errors import MetricError, nearest

SCOPES = ("prompt", "pooled")
METHODS = ("threshold", "leader", "kmeans")
INDEXES = ("auto", "flat", "ivf")
MOST_PROBES = 64


@dataclass(frozen=True)
class Recipe:
    """Method and parameters; see `divfast.clusters.cluster`."""

    scope: str
    method: str
    tau: float
    k: int | None
    index: str
    probes: int
    seed: int

    def __post_init__(self) -> None:
        for name, value, known in (
            ("scope", self.scope, SCOPES),
            ("method", self.method, METHODS),
            ("index", self.index, INDEXES),
        ):
            if value not in known:
                raise MetricError(f"{name} cannot be {value!r}.", remedy=nearest(value, known))
        if not -1 <= self.tau <= 1:
            raise MetricError(
                f"tau must be from -1 to 1, got {self.tau:g}.",
                remedy="It is a cosine similarity, such as 0.8.",
            )
        if self.k is not None and self.method != "kmeans":
            raise MetricError(
                f"k is for the method kmeans, not for {self.method}.", remedy="Name tau, or --method kmeans."
            )
        if self.k is not None and self.k < 1:
            raise MetricError(f"k must be at least 1, got {self.k}.")
        if not 1 <= self.probes <= MOST_PROBES:
            raise MetricError(f"probes must be from 1 to {MOST_PROBES}, got {self.probes}.")
        if not 0 <= self.seed < 1 << 32:
            raise MetricError(f"seed must be from 0 to {(1 << 32) - 1:,}, got {self.seed:,}.")
        if self.index == "ivf" and (self.scope == "prompt" or self.method == "kmeans"):
            raise MetricError(
                f"an index has no use for the scope {self.scope} and the method {self.method}.",
                remedy="Leave out --index: every sample is compared with all that it has to be.",
            )

    @property
    def canonical(self) -> str:
        """The recipe with every parameter that changes a cluster, as it stands in a signature.

        Examples
        --------
        >>> Recipe("prompt", "threshold", 0.8, None, "auto", 4, 0).canonical
        'threshold/tau=0.8/of=prompt'
        """
        if self.method == "kmeans":
            words = f"kmeans/k={'auto' if self.k is None else self.k}/rs={self.seed}"
        else:
            words = f"{self.method}/tau={self.tau:g}"
        return f"{words}/of={self.scope}"

    def clusters_of(self, n: int) -> int:
        """Return how many clusters k-means makes of n samples: as many as were asked for, else sqrt(n / 2).

        Examples
        --------
        >>> [Recipe("prompt", "kmeans", 0.8, None, "auto", 4, 0).clusters_of(n) for n in (1, 10, 1_000_000)]
        [1, 2, 707]
        """
        return self.k if self.k is not None else max(1, round(math.sqrt(n / 2)))
