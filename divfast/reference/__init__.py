"""Every metric in plain float64 NumPy and Python: slow, obvious, the truth for the tests. Imports numpy only."""
