"""What a format yields: records as they stand in the file, before equal ids are brought together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast.errors import DataError
from divfast.readers.fields import scalar
from divfast.readers.others import OTHERS, SURROGATE, by_record, inside, json_text
from divfast.samples import Ragged

OUTPUT_FIELDS = (
    # plural names hold a list; under the others one string is one sample
    ("outputs", False),
    ("generations", False),
    ("responses", False),
    ("completions", False),
    ("samples", False),
    ("output", True),
    ("generation", True),
    ("response", True),
    ("completion", True),
    ("solution", True),
)
ID_FIELDS = ("input_id", "id", "key", "prompt_id", "custom_id", "task_id", "doc_id")
PROMPT_FIELDS = ("prompt", "instruction", "input", "question", "query")
# Of these two the second is what the first is about, as in the data of Alpaca: together they are the prompt.
JOINED_FIELDS = ("instruction", "input")
PER_SAMPLE_FIELDS = ("correct", "scores", "logprobs", "finish_reasons", "partition")
PER_PROMPT_FIELDS = ("gold", "references", "tests", "entry_point")
META_FIELDS = ("model", "task")
# Part of what makes an id: the same id under another task or model is another prompt's.
QUALIFIERS = (*META_FIELDS, "generator", "model_name")
# The names that other tools give to columns.
ALIASES = {"correct": ("passed",), "scores": ("generation_scores",), "finish_reasons": ("finish_reason",)}

_LISTED = 1000
_SHOWN = 20


@dataclass(frozen=True)
class ReadOptions:
    """How to read; see `divfast.read`."""

    outputs_field: str | None = None
    id_field: str | None = None
    prompt_field: str | None = None
    columns: tuple[str, ...] | None = None
    sample_columns: tuple[str, ...] = ()
    as_json: bool = False
    all_but: tuple[str, ...] | None = None
    on_error: str = "fail"
    keep_reasoning: bool = False
    prompts: str | None = None
    threads: int = 1
    block_bytes: int = 4 << 20
    block_rows: int = 1 << 16

    @property
    def output_fields(self) -> tuple[tuple[str, bool], ...]:
        """Names under which to look for the samples, and whether one string will do."""
        return ((self.outputs_field, True),) if self.outputs_field else OUTPUT_FIELDS

    @property
    def id_fields(self) -> tuple[str, ...]:
        """Names under which to look for the id."""
        return (self.id_field,) if self.id_field else ID_FIELDS

    @property
    def prompt_fields(self) -> tuple[str, ...]:
        """Names under which to look for the prompt."""
        return (self.prompt_field,) if self.prompt_field else PROMPT_FIELDS

    @property
    def joined_fields(self) -> tuple[str, str]:
        """Names of a field that holds a prompt, and of one whose text it goes on with."""
        return ("", "") if self.prompt_field else JOINED_FIELDS

    @property
    def wanted(self) -> tuple[str, ...]:
        """Columns to carry along."""
        named = (*PER_SAMPLE_FIELDS, *PER_PROMPT_FIELDS) if self.columns is None else self.columns
        return tuple(dict.fromkeys((*named, *self.sample_columns)))

    def is_per_sample(self, name: str) -> bool:
        """Whether a column has one value a sample."""
        return name in PER_SAMPLE_FIELDS or name in self.sample_columns

    def column(self, values: Sequence[Any]) -> pa.Array:
        """Return an Arrow column: booleans, numbers and strings as they are, anything else or mixed as JSON text.

        With `as_json` every value is JSON text, from which it can be told what it was.
        """
        return _as_json(values) if self.as_json else _as_they_are(values)


class Reading:
    """One pass over one dump: where it is, how to read, what was met on the way.

    Attributes
    ----------
    counts : dict of str to int
        What was changed or left out: ``reasoning_stripped``, ``reasoning_emptied``, ``null_outputs``,
        ``lone_surrogates``, ``skipped``.
    skipped : list of str
        Where and why, the first 1,000 of them.
    meta : dict
        ``model`` and ``task``, where the dump has one.
    prompts : dict of str to str, optional
        Prompts by id from a second file.
    survey : bool
        Whether only ids and prompts matter just now: a format may then leave texts empty and unchecked, and columns
        out; another pass follows.
    """

    def __init__(self, name: str, options: ReadOptions) -> None:
        self.name = name
        self.options = options
        self.counts: dict[str, int] = {}
        self.skipped: list[str] = []
        self.meta: dict[str, Any] = {}
        self.prompts: dict[str, str] | None = None
        self.survey = False

    def fresh(self) -> Reading:
        """Return a pass that has met nothing yet."""
        return Reading(self.name, self.options)

    def absorb(self, other: Reading) -> None:
        """Add what another pass has met."""
        for what, many in other.counts.items():
            self.count(what, many)
        self.skipped = [*self.skipped, *other.skipped][:_LISTED]

    def count(self, what: str, many: int) -> None:
        """Add to a count."""
        if many:
            self.counts[what] = self.counts.get(what, 0) + int(many)

    def where(self, line: int | str | None) -> str:
        """Return ``file:line``."""
        return self.name if line is None else f"{self.name}:{line}"

    def bad(self, line: int | str | None, what: str, remedy: str | None = None) -> None:
        """Raise `DataError` for a bad record, or list it where bad ones are to be skipped."""
        if self.options.on_error != "skip":
            skip = f"kip bad {'lines' if isinstance(line, int) else 'records'} with --on-error skip."
            remedy = f"{remedy.removesuffix('.')}, or s{skip}" if remedy else f"S{skip}"
            raise DataError(what, where=self.where(line), remedy=remedy)
        self.count("skipped", 1)
        if len(self.skipped) < _LISTED:
            self.skipped.append(f"{self.where(line)}: {what}")

    def fail(self, what: str, remedy: str | None = None, line: int | str | None = None) -> NoReturn:
        """Raise `DataError`: nothing more can be read."""
        raise DataError(what, where=self.where(line), remedy=remedy)


@dataclass(frozen=True, eq=False)
class Records:
    """A run of records: each has an id or none, a prompt or none, and any number of samples.

    Attributes
    ----------
    text : Ragged
        All samples, a row each.
    bounds : numpy.ndarray
        ``int64[r + 1]``: record i holds samples ``bounds[i]`` to ``bounds[i + 1]``.
    ids, prompts, keys : Ragged
        A row a record; records of equal keys are one group. `has_id` and `has_prompt` tell where there is one.
    lines : sequence of int or str
        Where each record stands.
    per_sample, per_prompt : Mapping
        Columns, a list of n values and of r values.
    """

    text: Ragged
    bounds: NDArray[np.int64]
    ids: Ragged
    has_id: NDArray[np.uint8]
    prompts: Ragged
    has_prompt: NDArray[np.uint8]
    keys: Ragged
    lines: Sequence[int | str]
    per_sample: Mapping[str, pa.Array] = field(default_factory=dict)
    per_prompt: Mapping[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.bounds) - 1


class RecordBuilder:
    """Collects records one by one, for formats that Python parses, and cuts them into runs of block size.

    Examples
    --------
    >>> builder = RecordBuilder(Reading("dump", ReadOptions()))
    >>> builder.add("a", "Say hi.", ["hi", "hello"], line=1)
    >>> [len(records) for records in builder.flush()]
    [1]
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._clear()

    def _clear(self) -> None:
        self._texts: list[bytes] = []
        self._bounds = [0]
        self._ids: list[str | None] = []
        self._prompts: list[str | None] = []
        self._keys: list[str] = []
        self._lines: list[int | str] = []
        self._columns: dict[str, list[Any]] = {}
        self._others: list[str] = []
        self._bytes = 0

    def add(
        self,
        id: str | None,
        prompt: str | None,
        outputs: Sequence[str | None],
        *,
        line: int | str,
        columns: Mapping[str, Any] | None = None,
        others: str | None = None,
        key: str | None = None,
    ) -> None:
        """Take one record.

        Parameters
        ----------
        id, prompt
            None where the dump has none.
        outputs
            The samples; None is an output that the harness failed to get, kept as an empty text and counted.
        line
            Where it stands: a line number, or a name inside an archive.
        columns
            Fields to carry along, of any name; only those that were asked for are kept.
        others
            With `ReadOptions.all_but`, the text of the fields besides; by default that of `columns`.
        key
            What makes records one group, where that is more than the id.
        """
        columns = columns or {}
        for name in self._reading.options.wanted:
            value = first_of(columns, (name, *ALIASES.get(name, ())))
            if self._reading.options.is_per_sample(name) and value is not None:
                value = self._aligned(name, value, len(outputs), line)
            if value is not None and name not in self._columns:
                self._columns[name] = [None] * len(self._ids)
            if name in self._columns:
                self._columns[name].append(value)
        all_but = self._reading.options.all_but
        if all_but is not None:
            self._others.append(inside(columns, all_but) if others is None else others)
        for text in outputs:
            encoded = self._encode(text)
            self._texts.append(encoded)
            self._bytes += len(encoded)
        self._reading.count("null_outputs", sum(text is None for text in outputs))
        self._bounds.append(len(self._texts))
        self._ids.append(id)
        self._prompts.append(prompt)
        self._keys.append((id or "") if key is None else key)
        self._lines.append(line)
        self._note_meta(columns)

    def _aligned(self, name: str, value: Any, many: int, line: int | str) -> list[Any] | None:
        values = value if isinstance(value, list) else [value]
        if len(values) != many:
            # The texts are fine, only this column is not: the samples stay.
            self._reading.bad(line, f'"{name}" has {len(values)} values for {many} outputs.')
            return None
        return values if any(item is not None for item in values) else None

    def _encode(self, text: str | None) -> bytes:
        try:
            return (text or "").encode()
        except UnicodeEncodeError:
            clean, many = SURROGATE.subn("\ufffd", text or "")
            self._reading.count("lone_surrogates", many)
            return clean.encode()

    def _note_meta(self, columns: Mapping[str, Any]) -> None:
        for name in META_FIELDS:
            if isinstance(columns.get(name), str):
                note_meta(self._reading, name, columns[name])

    @property
    def full(self) -> bool:
        """Whether a block's worth has been collected."""
        options = self._reading.options
        return self._bytes >= options.block_bytes or len(self._texts) >= options.block_rows

    def flush(self) -> Iterator[Records]:
        """Yield what has been collected, if anything, and start anew."""
        if not self._ids:
            return
        bounds = np.array(self._bounds, np.int64)
        counts = np.diff(bounds)
        options = self._reading.options
        per_sample, per_prompt = {}, {}
        for name, values in self._columns.items():
            if options.is_per_sample(name):
                flat: list[Any] = []
                for value, many in zip(values, counts, strict=True):
                    flat.extend(value if isinstance(value, list) else [value] * int(many))
                per_sample[name] = options.column(flat)
            else:
                per_prompt[name] = options.column(values)
        if options.all_but is not None:
            per_sample[OTHERS], per_prompt[OTHERS] = by_record(
                pa.array(self._others, pa.large_string()), bounds
            )
        yield Records(
            text=Ragged.from_strings(self._texts),
            bounds=bounds,
            ids=Ragged.from_strings([value or "" for value in self._ids]),
            has_id=np.array([value is not None for value in self._ids], np.uint8),
            prompts=Ragged.from_strings([value or "" for value in self._prompts]),
            has_prompt=np.array([value is not None for value in self._prompts], np.uint8),
            keys=Ragged.from_strings(self._keys),
            lines=self._lines,
            per_sample=per_sample,
            per_prompt=per_prompt,
        )
        self._clear()


def note_meta(reading: Reading, name: str, value: str) -> None:
    """Remember the model or task of a dump; one that holds several has none of its own."""
    if reading.meta.setdefault(name, value) not in (value, None):
        reading.meta[name] = None


def first_of(columns: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first value that is there and not null."""
    return next((value for name in names if (value := columns.get(name)) is not None), None)


def no_samples(kind: str, there: Iterable[str], options: ReadOptions) -> str:
    """Return a sentence that no field or column is known to hold the samples, and which there are."""
    looked_for = ", ".join(f'"{name}"' for name, _ in options.output_fields)
    names = [json.dumps(name, ensure_ascii=False) for name in there]
    shown = ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])
    has = f"; it has {shown}." if shown else "."
    return f"no {kind} with the samples (looked for {looked_for}){has}"


def prompt_of(fields: Mapping[str, Any], options: ReadOptions) -> str | None:
    """Return the prompt of a record.

    Examples
    --------
    >>> prompt_of({"instruction": "Translate.", "input": "Ja."}, ReadOptions())
    'Translate.\\n\\nJa.'
    """
    name = next((name for name in options.prompt_fields if fields.get(name) is not None), None)
    if name is None:
        return None
    prompt = scalar(fields[name])
    first, second = options.joined_fields
    more = scalar(fields.get(second)) if name == first else None
    return f"{prompt}\n\n{more}" if more else prompt


def _as_they_are(values: Sequence[Any]) -> pa.Array:
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    try:
        if kinds == {bool}:
            return pa.array(values, pa.bool_())
        if kinds <= {int, float}:
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        if kinds == {str}:
            return pa.array(values, pa.large_string())
    except (OverflowError, UnicodeEncodeError):
        # A number beyond any float, or a lone surrogate: as JSON text nothing is lost.
        pass
    return _as_json(values)


def _as_json(values: Sequence[Any]) -> pa.Array:
    return pa.array([None if value is None else json_text(value) for value in values], pa.large_string())
