"""Parquet and Arrow IPC files and streams: a list of texts a row, or a row a sample."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from divfast.errors import DataError
from divfast.readers.arrow import check, layout_of, records_of
from divfast.readers.grouping import group
from divfast.readers.records import Reading, ReadOptions, Records
from divfast.readers.source import Source
from divfast.samples import Samples

NAME = "parquet"
SUMMARY = "Parquet, or Arrow IPC (file or stream), with a list of texts a row or a row a sample"

_STREAM = b"\xff\xff\xff\xff"
_PROBE_ROWS = 256
_BUFFER_BYTES = 1 << 20


def sniff(source: Source) -> bool:
    """Whether it is a Parquet or an Arrow file, by the first bytes."""
    return source.head.startswith((b"PAR1", b"ARROW1", _STREAM))


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the rows."""
    first_row = 1
    with opened(source, reading) as table:
        layout = layout_of(table.schema, reading)
        for batch in table.batches(layout.columns, reading):
            yield records_of(batch, layout, first_row, reading)
            first_row += len(batch)


def samples_of(
    table: pa.Table,
    *,
    outputs_field: str | None = None,
    id_field: str | None = None,
    prompt_field: str | None = None,
) -> Samples:
    """Return the samples of a table in memory.

    Parameters
    ----------
    table : pyarrow.Table
        A list of texts a row, or a row a sample.
    outputs_field, id_field, prompt_field : str, optional
        Names of these columns where they are unusual.

    Raises
    ------
    DataError
        Where no column holds texts.

    Examples
    --------
    >>> import pyarrow as pa
    >>> samples_of(pa.table({"id": [1, 1, 2], "output": ["a", "b", "c"]})).outputs(0)
    ['a', 'b']
    """
    options = ReadOptions(outputs_field=outputs_field, id_field=id_field, prompt_field=prompt_field)
    reading = Reading("table", options)
    layout = layout_of(table.schema, reading)

    def again(current: Reading) -> Iterator[Records]:
        first_row = 1
        for batch in table.select(layout.columns).combine_chunks().to_batches():
            if len(batch):
                yield records_of(batch, layout, first_row, current)
            first_row += len(batch)

    return Samples.concat(group(again, reading))


class _Table:
    """Rows on disk, a few at a time."""

    def __init__(self, source: Source, opened: Any) -> None:
        self._source = source
        self._opened = opened
        self._is_parquet = isinstance(opened, pq.ParquetFile)
        self.schema: pa.Schema = opened.schema_arrow if self._is_parquet else opened.schema

    def batches(self, columns: Sequence[str], reading: Reading) -> Iterator[pa.RecordBatch]:
        """Yield batches of about block size, with the named columns alone; ``a.b`` names a member of a struct."""
        return self._parquet(columns, reading) if self._is_parquet else self._ipc(columns, reading)

    def _parquet(self, columns: Sequence[str], reading: Reading) -> Iterator[pa.RecordBatch]:
        rows = self._opened.metadata.num_rows
        first = next(self._opened.iter_batches(_PROBE_ROWS, columns=list(columns)), None)
        size = _rows_of_block(first, reading.options)
        done = 0
        for batch in self._opened.iter_batches(size, columns=list(columns)):
            if len(batch) == 0:
                continue
            done += len(batch)
            self._source.consumed = (self._source.size or 0) * done // rows
            yield batch

    def _ipc(self, columns: Sequence[str], reading: Reading) -> Iterator[pa.RecordBatch]:
        names = list(dict.fromkeys(name.partition(".")[0] for name in columns))
        for whole in _ipc_batches(self._opened):
            batch = whole.select(names)
            for column in batch.columns:
                check(column)
            size = _rows_of_block(batch, reading.options)
            for start in range(0, len(batch), size):
                yield batch.slice(start, size)


@contextlib.contextmanager
def opened(source: Source, reading: Reading) -> Iterator[_Table]:
    """Give the rows of a Parquet or Arrow file."""
    with contextlib.ExitStack() as stack:
        file: Any
        if source.size and source.compression is None:
            file = stack.enter_context(pa.OSFile(str(source.path)))
        else:
            file = stack.enter_context(source.seekable())
        # Whatever Arrow finds wrong, also later on, is wrong with the file.
        with _damage_reported(source):
            if source.head.startswith(b"PAR1"):
                table = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES)
            elif source.head.startswith(b"ARROW1"):
                table = pa.ipc.open_file(file)
            else:
                table = pa.ipc.open_stream(file)
            yield _Table(source, table)


@contextlib.contextmanager
def _damage_reported(source: Source) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"cannot be read as Parquet or Arrow: {words.rstrip('.')}.",
            where=source.name,
            remedy="Copy or write the file again.",
        ) from None


def _ipc_batches(reader: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pa.RecordBatchFileReader):
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)
    else:
        yield from reader


def _rows_of_block(batch: pa.RecordBatch | None, options: ReadOptions) -> int:
    """Return how many rows make a block, if all are like those of `batch`."""
    if batch is None or len(batch) == 0:
        return 1
    by_bytes = options.block_bytes * len(batch) // max(batch.nbytes, 1)
    by_rows = options.block_rows * len(batch) // max(len(batch), _values(batch))
    return int(max(1, min(by_bytes, by_rows)))


def _values(batch: pa.RecordBatch) -> int:
    """Return how many values the longest list column has."""
    return max(
        (len(column.flatten()) for column in batch.columns if pa.types.is_list(column.type)), default=0
    )
