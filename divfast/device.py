"""The CUDA device: whether there is one, and what metrics do on it. Torch is imported by what needs it.

Where Triton interprets its kernels (``TRITON_INTERPRET=1``) the CPU stands for the device.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.errors import DataError

# Rows that are sent to the device at a time for sums over a corpus.
_ROWS = 1 << 16


@dataclass(frozen=True)
class OnCuda:
    """What a metric runs on a CUDA device; both take NumPy arrays and give the numbers of the CPU.

    Attributes
    ----------
    function : callable
        ``function(rows, groups, **parameters) -> float64[g]``.
    corpus : type, optional
        Accumulator; that of the CPU where there is none.
    """

    function: Callable[..., NDArray[np.float64]]
    corpus: type[Any] | None = None


@cache
def driver() -> bool:
    """Return whether a CUDA driver finds a device; asks neither torch nor Triton, so takes no time."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int()
        return (
            library.cuInit(0) == 0 and library.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
        )
    except (OSError, AttributeError):
        return False


def missing() -> tuple[str, str] | None:
    """Return why no kernel can run here and what to do about it, a sentence each; None where they can."""
    for package, extra in (("torch", "embed"), ("triton", "gpu")):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed.", f"pip install 'divfast[{extra}]', or use --backend auto."
    try:
        import torch

        from divfast.kernels import launching

        if launching.interpreted() or torch.cuda.is_available():
            return None
    except Exception as error:  # noqa: BLE001 - a broken installation fails in any way, and that is the finding
        return f"torch or triton cannot be used: {error}.", "Install them anew, or use --backend auto."
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return f"torch ({built}) finds no CUDA device.", "Use --backend auto; an encoder takes the GPU by itself."


def place() -> Any:
    """Return the device, as torch names it."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def upload(rows: NDArray[np.floating[Any]]) -> Any:
    """Return vectors as a tensor on the device."""
    import torch

    if rows.ndim != 2:
        raise DataError(
            f"vectors must be [n, d], got {list(rows.shape)}.", remedy="Stack vectors of one dimension."
        )
    return torch.from_numpy(np.ascontiguousarray(rows)).to(place())


def over_groups(
    run: Callable[[Any, Any], Any], rows: NDArray[np.floating[Any]], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return ``run(rows, groups)`` of tensors on the device, one number a group; in parts where memory is short.

    Raises
    ------
    BackendError
        Where the device has no memory for a single group.
    """
    import torch

    from divfast.kernels.launching import in_parts

    def part(start: int, stop: int) -> NDArray[np.float64]:
        offsets = groups[start : stop + 1] - groups[start]
        found = run(upload(rows[groups[start] : groups[stop]]), torch.from_numpy(offsets).to(place()))
        values: NDArray[np.float64] = found.double().cpu().numpy()
        return values

    g = len(groups) - 1
    out = np.full(g, np.nan)
    most = int(np.diff(groups).max(initial=0))
    size = 2 * most * rows.shape[1] * rows.itemsize
    for start, stop, values in in_parts(part, g, max(1, g), f"a group of {most:,} rows", size):
        out[start:stop] = values
    return out


def moments(rows: NDArray[np.floating[Any]]) -> tuple[float, NDArray[np.float64]]:
    """Return the sum of squares of vectors and their sum, ``float64[d]``."""
    squares, total = 0.0, np.zeros(rows.shape[1])
    for part in _parts(lambda wide: (float((wide * wide).sum()), wide.sum(0).cpu().numpy()), rows):
        squares += part[0]
        total += part[1]
    return squares, total


def outer_products(rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the sum of the outer products of vectors, ``float64[d, d]``."""
    from divfast.kernels.padded import outer_products as of_tensor

    out = np.zeros((rows.shape[1], rows.shape[1]))
    for part in _parts(lambda wide: of_tensor(wide).cpu().numpy(), rows):
        out += part
    return out


def eigenvalues(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvalues of symmetric matrices, ``float64[b, m, m]`` to ``float64[b, m]``."""
    import torch

    from divfast.kernels.launching import in_parts

    b, m = products.shape[:2]
    out = np.empty((b, m))

    def part(start: int, stop: int) -> Any:
        return torch.linalg.eigvalsh(torch.from_numpy(products[start:stop]).to(place())).cpu().numpy()

    for start, stop, values in in_parts(part, b, b, f"the eigenvalues of {m:,} rows", 24 * m * m):
        out[start:stop] = values
    return out


def _parts(run: Callable[[Any], Any], rows: NDArray[np.floating[Any]]) -> list[Any]:
    """Return what `run` makes of the rows, as float64 on the device, some at a time."""
    from divfast.kernels.launching import in_parts

    def part(start: int, stop: int) -> Any:
        return run(upload(rows[start:stop]).double())

    d = rows.shape[1]
    found = in_parts(part, len(rows), _ROWS, f"a row of {d:,} dimensions and their products", 8 * d * (d + 2))
    return [values for _, _, values in found]
