"""Named families of tolerance: how far a fast version may be from its reference."""

EXACT = {"rtol": 0.0, "atol": 0.0}
REDUCTION = {"rtol": 1e-9, "atol": 1e-12}
SPECTRAL = {"rtol": 1e-5, "atol": 1e-9}
MODEL = {"rtol": 1e-3, "atol": 1e-6}
