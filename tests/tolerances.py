"""Named families of tolerance: how far a fast version may be from its reference."""

from divfast.testing import REDUCTION, SPECTRAL

__all__ = ["EXACT", "MODEL", "REDUCTION", "SPECTRAL"]

EXACT = {"rtol": 0.0, "atol": 0.0}
MODEL = {"rtol": 1e-3, "atol": 1e-6}
