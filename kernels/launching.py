"""What all launchers share: where a kernel can run, what it is given, and what to do when memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import triton

from divfast.errors import BackendError, DataError

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
# Compute capability from which tensor cores multiply bfloat16.
_BFLOAT16_SINCE = (8, 0)


def interpreted() -> bool:
    """Return whether kernels run in Triton's interpreter, on tensors of the CPU (``TRITON_INTERPRET=1``)."""
    return bool(triton.knobs.runtime.interpret)


def runs_on(rows: torch.Tensor) -> bool:
    """Return whether a kernel can read these rows where they are."""
    return rows.is_cuda or (interpreted() and rows.device.type == "cpu")


def check_place(rows: torch.Tensor, name: str = "rows") -> None:
    """Raise `BackendError` where no kernel can read these rows."""
    if not runs_on(rows):
        raise BackendError(
            f"a Triton kernel cannot read {name} on the device {rows.device}.",
            remedy="Move them to a CUDA device, or set TRITON_INTERPRET=1 before the import.",
        )


def check_bfloat16(rows: torch.Tensor, remedy: str) -> None:
    """Raise `BackendError` where the device of rows has no bfloat16."""
    if rows.is_cuda and torch.cuda.get_device_capability(rows.device) < _BFLOAT16_SINCE:
        raise BackendError(f"{torch.cuda.get_device_name(rows.device)} has no bfloat16.", remedy=remedy)


def check(rows: torch.Tensor, groups: torch.Tensor) -> None:
    """Raise where a kernel cannot take these rows and groups; reads no value, so waits for no device.

    Raises
    ------
    DataError
        For other shapes or types.
    BackendError
        Where the rows are where no kernel runs, or the device has no bfloat16.
    """
    if rows.dim() != 2 or rows.dtype not in FLOATS:
        raise DataError(
            f"rows must be [n, d] of float32, bfloat16, float16 or float64, got {list(rows.shape)} of {rows.dtype}.",
            remedy="Stack vectors of one dimension, and convert them with .float().",
        )
    if groups.dim() != 1 or groups.dtype != torch.int64 or not len(groups):
        raise DataError(
            f"groups must be int64[g + 1], got {list(groups.shape)} of {groups.dtype}.",
            remedy="Give where the rows of each group begin, and where the last ones end.",
        )
    if len(groups) - 1 > 2**31 - 1:
        raise DataError(
            f"{len(groups) - 1:,} groups are more than one launch can name, 2,147,483,647.",
            remedy="Score them in parts.",
        )
    check_place(rows)
    if rows.dtype == torch.bfloat16:
        check_bfloat16(rows, "Convert the rows with .half() or .float().")


def operand(rows: torch.Tensor, accumulator: torch.dtype) -> Any:
    """Return the type in which rows are multiplied: their own where the sums are float32, since that is exact."""
    import triton.language as tl

    if accumulator == torch.float64:
        return tl.float64
    # The interpreter keeps bfloat16 as bits, and would multiply these.
    if rows.dtype == torch.float32 or interpreted():
        return tl.float32
    return tl.bfloat16 if rows.dtype == torch.bfloat16 else tl.float16


def language(dtype: torch.dtype) -> Any:
    """Return Triton's name of float32 or float64."""
    import triton.language as tl

    return {torch.float32: tl.float32, torch.float64: tl.float64}[dtype]


def in_parts(
    run: Callable[[int, int], Any], count: int, step: int, what: str, size: int
) -> Iterator[tuple[int, int, Any]]:
    """Yield ``start, stop, run(start, stop)`` over `count` items; half as many at a time whenever memory is short.

    Parameters
    ----------
    run : callable
        Does the items from the first up to the second number.
    count, step : int
        How many there are, and how many to try at first.
    what, size : str, int
        What an item is, and about how many bytes one takes, for the error.

    Raises
    ------
    BackendError
        Where there is no memory for a single one.
    """
    start = 0
    while start < count:
        stop = min(count, start + step)
        try:
            found = run(start, stop)
        except torch.OutOfMemoryError:
            found = None
        if found is not None:
            yield start, stop, found
            start = stop
        elif stop - start == 1:
            raise BackendError(
                f"the device has no memory for {what}, about {size / 1e6:,.0f} MB.",
                remedy=f"Free {size / 1e6:,.0f} MB on it, or use --backend cpu.",
            )
        else:
            # What the failed try held is only given back outside its except clause.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            step = (stop - start) // 2
