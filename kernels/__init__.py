"""Triton kernels of divfast, imported as ``divfast.kernels``: one file per operation."""
