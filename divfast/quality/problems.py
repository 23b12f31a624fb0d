"""Problems of a benchmark in a file of their own: what a dump of answers does not say again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from divfast.errors import DataError
from divfast.quality.verifiers import Question
from divfast.readers.fields import Malformed, scalar
from divfast.readers.objects import each_object
from divfast.readers.parquet import opened
from divfast.readers.parquet import sniff as is_table
from divfast.readers.records import ID_FIELDS, PROMPT_FIELDS, Reading, ReadOptions, first_of
from divfast.readers.source import Source


class Problems:
    """Problems by id, and by prompt where the id of a question is none of theirs.

    Parameters
    ----------
    path : str or Path
        JSON Lines, a JSON list or Parquet, compressed or not, with an id or a prompt in each
        record.
    columns : sequence of str
        Which fields to take, beside the prompt.
    id_field, prompt_field : str, optional
        Names of these fields where they are unusual.

    Raises
    ------
    DataError
        Where it cannot be read, or no record has either.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str],
        *,
        id_field: str | None = None,
        prompt_field: str | None = None,
    ) -> None:
        self.name = str(path)
        self._columns = columns
        self._ids = tuple(dict.fromkeys([*([id_field] if id_field else []), *ID_FIELDS]))
        self._prompts = (prompt_field,) if prompt_field else PROMPT_FIELDS
        self.matched = 0
        source = Source(path)
        reading = Reading(source.name, ReadOptions())
        records = self._rows(source, reading) if is_table(source) else each_object(source, reading)
        self._known: dict[str, Mapping[str, Any]] = {}
        self._asked: dict[str, Mapping[str, Any]] = {}
        for line, record in records:
            try:
                id = scalar(first_of(record, self._ids))
                taken = {name: record[name] for name in columns if name in record}
                prompt = scalar(first_of(record, self._prompts))
            except Malformed as bad:
                reading.bad(line, bad.what, bad.remedy)
            if id is not None:
                self._known[id] = {"": prompt, **taken}
            if prompt is not None:
                self._asked[prompt] = taken
        if not self._known and not self._asked:
            reading.fail("holds no problems.", "Give a file of records with an id or a prompt each.")

    def _rows(self, source: Source, reading: Reading) -> Iterator[tuple[int, Mapping[str, Any]]]:
        line = 0
        with opened(source, reading) as table:
            wanted = {*self._columns, *self._ids, *self._prompts}
            names = [name for name in table.schema.names if name in wanted]
            for batch in table.batches(names, reading):
                for record in batch.to_pylist():
                    line += 1
                    yield line, record

    def completed(self, question: Question) -> Question:
        """Return a question with what it lacks."""
        found = self._known.get(question.id) or self._asked.get(question.prompt or "")
        if found is None:
            return question
        self.matched += 1
        lacking = {
            name: found[name]
            for name in self._columns
            if question.columns.get(name) is None and name in found
        }
        prompt = found.get("") if question.prompt is None else question.prompt
        return replace(question, columns={**question.columns, **lacking}, prompt=prompt)

    def check(self, dump: str) -> None:
        """Raise `DataError` where no question of a dump was among them."""
        if not self.matched:
            some = next(iter(self._known or self._asked))
            raise DataError(
                f"has none of the ids and prompts of {dump}; its first is {some[:40]!r}.",
                where=self.name,
                remedy="They are compared as they stand: name their fields with --id-field and --prompt-field.",
            )
