"""Semantic clusters of samples, per prompt or over a corpus, and what they say of diversity."""

from divfast.clusters.clustering import cluster
from divfast.clusters.found import SemanticClusters

__all__ = ["SemanticClusters", "cluster"]
