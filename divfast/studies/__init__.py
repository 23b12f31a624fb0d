"""Studies: lineages of checkpoints, where diversity is lost along them, and how sure that is."""

from divfast.studies.conducting import Findings, study
from divfast.studies.plan import Study, read_study

__all__ = ["Findings", "Study", "read_study", "study"]
