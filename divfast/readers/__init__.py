"""Readers: one file per on-disk format, chosen by content, all yielding `Samples` in blocks.

A format is a module with ``NAME``, ``SUMMARY``, ``sniff(source) -> bool`` and
``records(source, reading) -> Iterator[Records]``. To add one, write the module and name it in `_FORMATS`, before the
formats that would also take its files.
"""

from __future__ import annotations

import glob
import importlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from divfast import engine
from divfast.errors import DataError, nearest
from divfast.readers.grouping import group
from divfast.readers.prompts import load_prompts
from divfast.readers.records import Reading, ReadOptions, Records
from divfast.readers.source import Source
from divfast.samples import Samples

# The particular before the general: the first that recognises a file reads it.
_FORMATS = (
    "lighteval",
    "parquet",
    "inspect_eval",
    "evalplus",
    "batch",
    "request_output",
    "lm_eval",
    "every_eval_ever",
    "olmo",
    "alpaca_eval",
    "tevet",
    "csv_table",
    "document",
    "jsonl",
    "lines",
)
# Of files that may be dumps, the last part.
_SUFFIXES = (".jsonl", ".json", ".parquet", ".arrow", ".eval", ".csv", ".tsv", ".gz", ".zst", ".xz")
# What many a program can read, and no reader here.
_PACKED = {b"BZh": "bzip2", b"PK\x03\x04": "zip", b"7z\xbc\xaf\x27\x1c": "7-Zip"}


def formats() -> dict[str, Any]:
    """Return the modules of all formats by name, in the order in which they are tried."""
    modules = (importlib.import_module(f"divfast.readers.{name}") for name in _FORMATS)
    return {module.NAME: module for module in modules}


def find_dumps(patterns: Iterable[str | Path]) -> list[Path]:
    """Return the files that paths and patterns (``*``, ``?``, ``[...]``, ``**``) name, each once, in order.

    Raises
    ------
    DataError
        Where a pattern matches nothing.
    """
    found: dict[Path, None] = {}
    for pattern in map(str, patterns):
        if pattern == "-" or Path(pattern).exists() or not glob.has_magic(pattern):
            found[Path(pattern)] = None
            continue
        matches = sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise DataError("matches no file.", where=pattern, remedy="Check the pattern and the folder.")
        found.update(dict.fromkeys(map(Path, matches)))
    return list(found)


class Blocks:
    """The samples of one dump, block by block; iterating reads it from the beginning.

    Attributes
    ----------
    counts, skipped, meta
        What the last pass met; see `divfast.readers.records.Reading`.
    """

    def __init__(self, parts: Sequence[tuple[Source, str]], options: ReadOptions) -> None:
        self._parts = parts
        self._options = options
        self._reading = Reading(parts[0][0].name, options)

    @property
    def name(self) -> str:
        """Path of the dump, or ``stdin``; the first one where several files are joined."""
        return self._parts[0][0].name

    @property
    def reader(self) -> str:
        """Name of the format."""
        return self._parts[0][1]

    @property
    def position(self) -> tuple[int, int | None]:
        """Bytes of the files consumed in this pass, and how many there are (None for standard input)."""
        sizes = [source.size for source, _ in self._parts]
        total = sum(size for size in sizes if size) if all(size is not None for size in sizes) else None
        return sum(source.consumed for source, _ in self._parts), total

    @property
    def counts(self) -> dict[str, int]:
        """What was changed or left out, as counts."""
        return self._reading.counts

    @property
    def skipped(self) -> list[str]:
        """Where records were left out and why."""
        return self._reading.skipped

    @property
    def meta(self) -> dict[str, Any]:
        """``model`` and ``task`` where the dump tells."""
        return self._reading.meta

    def __iter__(self) -> Iterator[Samples]:
        reading = self._reading = Reading(self.name, self._options)
        if self._options.prompts is not None:
            reading.prompts = load_prompts(Source(self._options.prompts), self._options)
        known = formats()

        def again(current: Reading) -> Iterator[Records]:
            for source, reader in self._parts:
                current.name = source.name
                source.consumed = 0
                yield from known[reader].records(source, current)

        empty = True
        for block in group(again, reading):
            empty = False
            yield block
        if empty and not reading.counts.get("skipped"):
            left_out = ", ".join(f"{many} {what.replace('_', ' ')}" for what, many in reading.counts.items())
            reading.fail(
                f"holds no samples{f' ({left_out})' if left_out else ''}.",
                "Check the path, or force a format with --reader.",
            )


def read(
    path: str | Path | Sequence[str | Path],
    *,
    reader: str | None = None,
    outputs_field: str | None = None,
    id_field: str | None = None,
    prompt_field: str | None = None,
    columns: Sequence[str] | None = None,
    sample_columns: Sequence[str] = (),
    as_json: bool = False,
    all_but: Sequence[str] | None = None,
    prompts: str | Path | None = None,
    on_error: str = "fail",
    keep_reasoning: bool = False,
    threads: int | None = None,
    block_bytes: int = 4 << 20,
    block_rows: int = 1 << 16,
) -> Blocks:
    """Read a dump that a sampler or a harness left on disk.

    Parameters
    ----------
    path : str, Path, or a sequence of these
        A file, compressed with gzip, zstd or xz or not; ``-`` is standard input; a folder where a format has one.
        Several files are parts of one dump: samples with the same id are one group.
    reader : str, optional
        Name of the format; by default it is recognised by content.
    outputs_field, id_field, prompt_field : str, optional
        Names of these fields where they are unusual.
    columns : sequence of str, optional
        Which further fields to carry along; by default those that are known (``correct``, ``scores``, ``gold``, ...).
    sample_columns : sequence of str
        Fields of other names to carry along that have a value for every sample.
    as_json : bool
        Carry values as JSON text, all of them: then ``42``, ``42.0`` and ``"42"`` differ.
    all_but : sequence of str, optional
        Carry all further fields of JSON, JSON Lines, Parquet and Arrow, but those of these names and the one with the
        samples, as ``*``: text of JSON as it stands within the braces of an object, at the first sample of each record
        (of a record without samples: at its prompt). Of other formats it has what `columns` may name.
    prompts : str or Path, optional
        A second file with an id and a prompt in each record, for dumps that have no prompts: the input of a batch,
        the problems of a benchmark, the requests of a run.
    on_error : {"fail", "skip"}
        Stop at a bad record, or leave it out and list it in ``skipped``.
    keep_reasoning : bool
        Keep what stands before the last ``</think>`` of an output.
    threads : int, optional
        Threads for parsing.
    block_bytes, block_rows : int
        About how much text, and how many samples, one block may hold. A single larger group is one block.

    Returns
    -------
    Blocks
        Iterable of `Samples`, cut at group boundaries. Lines or rows that share an id are one group, in order of
        first appearance, however far apart they stand.

    Raises
    ------
    DataError
        Where the dump cannot be read, here or while iterating.

    Examples
    --------
    >>> import divfast
    >>> blocks = divfast.read("examples/demo/base.jsonl")      # doctest: +SKIP
    >>> sum(len(block) for block in blocks)                    # doctest: +SKIP
    24
    """
    if on_error not in ("fail", "skip"):
        raise DataError(f"must be 'fail' or 'skip', got {on_error!r}.", where="on_error")
    sources = [Source(part) for part in ([path] if isinstance(path, (str, Path)) else path)]
    known = formats()
    if reader is not None and reader not in known:
        raise DataError(f"unknown reader {reader!r}.", remedy=nearest(reader, known))
    options = ReadOptions(
        outputs_field=outputs_field,
        id_field=id_field,
        prompt_field=prompt_field,
        columns=None if columns is None else tuple(columns),
        sample_columns=tuple(sample_columns),
        as_json=as_json,
        all_but=None if all_but is None else tuple(all_but),
        prompts=None if prompts is None else str(prompts),
        on_error=on_error,
        keep_reasoning=keep_reasoning,
        threads=engine.threads() if threads is None else threads,
        block_bytes=block_bytes,
        block_rows=block_rows,
    )
    return Blocks([(source, reader or _recognise(source, known)) for source in sources], options)


def _recognise(source: Source, known: dict[str, Any]) -> str:
    if not source.is_directory and not source.head:
        raise DataError("is empty.", where=source.name, remedy="Check that the sampler finished writing it.")
    for name, module in known.items():
        if module.sniff(source):
            return name
    if source.is_directory:
        pattern = source.path / f"*{_commonest_suffix(source.path)}"
        raise DataError(
            "is a folder.",
            where=source.name,
            remedy=f"Name the dumps in it, for example with a pattern like '{pattern}'.",
        )
    for magic, packed in _PACKED.items():
        if source.head.startswith(magic):
            raise DataError(
                f"is packed by {packed}.",
                where=source.name,
                remedy="Unpack it, or pack it with gzip, zstd or xz.",
            )
    remedy = f'Force one with --reader ({", ".join(known)}), or write JSON Lines with a field "outputs".'
    if source.path.suffix in (".csv", ".tsv"):
        remedy = "Of a table, name the column with the samples with --outputs-field, and force --reader csv."
    raise DataError("is in no format that is known.", where=source.name, remedy=remedy)


def _commonest_suffix(folder: Path) -> str:
    """Return what most files of a folder end with that may be dumps, ``.jsonl`` where there are none."""
    suffixes = Counter(file.suffix for file in folder.iterdir() if file.suffix in _SUFFIXES)
    # Beside dumps, JSON is mostly what is told of them.
    return max(suffixes, key=lambda suffix: (suffix != ".json", suffixes[suffix]), default=".jsonl")
