"""Studies: lineages of checkpoints, where diversity is lost along them, and how sure that is."""
