"""From n-grams that occur to tokens that are covered: per document, on average, and as passages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast import _core
from divfast.errors import MetricError, nearest
from divfast.output import save_report
from divfast.result import Signature, json_number
from divfast.samples import Offsets, Ragged

UNIT = "share of tokens"
# Tokens of these stand in the text as they are, so that a passage can be pointed at.
SPANNED = ("whitespace", "words", "chars")


@dataclass(frozen=True, eq=False)
class Coverage:
    """How much of one evaluation occurs in the training text.

    Attributes
    ----------
    evaluation : str
        Its file, as short as tells it apart.
    metric : str
        ``overlap:n=13``.
    value, std : float
        Mean and standard deviation over its documents of the share of tokens that are covered; NaN where undefined.
    interval : (float, float)
        95% bootstrap interval of the mean over documents.
    documents, undefined : int
        How many there are, and how many are shorter than one n-gram; these are not in the mean.
    tokens, covered : int
        Of all its documents together.
    signature : Signature
        The recipe.
    values : numpy.ndarray
        ``float64[documents]``.
    """

    evaluation: str
    metric: str
    value: float
    std: float
    interval: tuple[float, float]
    documents: int
    undefined: int
    tokens: int
    covered: int
    signature: Signature
    values: NDArray[np.float64] = field(repr=False)

    @property
    def mean(self) -> float:
        """The value, by its usual name."""
        return self.value

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of ``report.json``: JSON types, null for what is undefined."""
        return {
            "evaluation": self.evaluation,
            "metric": self.metric,
            "value": json_number(self.value),
            "std": json_number(self.std),
            "interval": [json_number(end) for end in self.interval],
            "documents": self.documents,
            "undefined": self.undefined,
            "tokens": self.tokens,
            "covered": self.covered,
            "unit": UNIT,
            "signature": str(self.signature),
        }


@dataclass(frozen=True, eq=False)
class Overlap:
    """What `divfast.overlap.overlap` found.

    Attributes
    ----------
    results : sequence of Coverage
        One for each evaluation.
    documents : pyarrow.Table
        A row a document: ``evaluation``, ``document`` (its id, or null), ``line``, ``tokens``, ``covered`` and
        ``coverage``, their quotient; NaN where the document is shorter than one n-gram.
    passages : pyarrow.Table or None
        A row for each run of covered tokens: ``evaluation``, ``document``, ``line``, ``token_start``, ``token_stop``,
        ``char_start``, ``char_stop``, ``text``, ``train``, ``train_line`` (the first place in the training text where
        the first n-gram of the passage stands). Null where it is not known.
    run : Mapping
        What changes only the time, or tells what happened.
    """

    results: Sequence[Coverage]
    documents: pa.Table
    passages: pa.Table | None
    run: Mapping[str, Any]

    def __iter__(self) -> Iterator[Coverage]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, key: int | str) -> Coverage:
        """Return the result of an evaluation, by number or name."""
        if isinstance(key, int):
            return self.results[key]
        for result in self.results:
            if result.evaluation == key:
                return result
        raise MetricError(
            f"there is no evaluation {key!r}.",
            remedy=nearest(key, [result.evaluation for result in self.results]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``report.json`` as Python objects."""
        return {"results": [result.to_dict() for result in self.results], "run": dict(self.run)}

    def save(self, folder: str | Path) -> None:
        """Write ``report.json``, ``documents.parquet`` and, where asked for, ``passages.parquet`` into `folder`.

        Raises
        ------
        OutputError
            Where one cannot be written; then none is.
        """
        tables = {"documents.parquet": self.documents}
        if self.passages is not None:
            tables["passages.parquet"] = self.passages
        save_report(folder, self.to_dict(), tables)


DOCUMENTS = pa.schema(
    [
        ("evaluation", pa.large_string()),
        ("document", pa.large_string()),
        ("line", pa.int64()),
        ("tokens", pa.int64()),
        ("covered", pa.int64()),
        ("coverage", pa.float64()),
    ]
)
PASSAGES = pa.schema(
    [
        ("evaluation", pa.large_string()),
        ("document", pa.large_string()),
        ("line", pa.int64()),
        ("token_start", pa.int64()),
        ("token_stop", pa.int64()),
        ("char_start", pa.int64()),
        ("char_stop", pa.int64()),
        ("text", pa.large_string()),
        ("train", pa.large_string()),
        ("train_line", pa.int64()),
    ]
)


@dataclass(frozen=True, eq=False)
class Portion:
    """Documents of evaluations that are searched for together.

    Attributes
    ----------
    n : int
        Order of the n-grams.
    tokens : numpy.ndarray
        ``int64[d + 1]``: where the tokens of each document begin.
    grams : Ragged
        The fingerprint of every n-gram of every document.
    evaluation, line : numpy.ndarray
        ``int64[d]``: which evaluation each is of, and where it stands there.
    ids : sequence of str or None
        Their ids.
    text : Ragged or None
        The documents themselves, where passages are asked for.
    """

    n: int
    tokens: Offsets
    grams: Ragged
    evaluation: NDArray[np.int64]
    line: NDArray[np.int64]
    ids: Sequence[str | None]
    text: Ragged | None = None

    def starts(self) -> NDArray[np.int64]:
        """Return at which token each n-gram begins."""
        first = self.grams.offsets
        shift = np.repeat(self.tokens[:-1] - first[:-1], np.diff(first))
        starts: NDArray[np.int64] = shift + np.arange(len(self.grams.values))
        return starts

    def covered(self, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which tokens lie in at least one n-gram that was found."""
        starts = self.starts()[found]
        change = np.zeros(self.tokens[-1] + 1, np.int32)
        # No two n-grams begin at the same token.
        change[starts] += 1
        change[starts + self.n] -= 1
        covered: NDArray[np.bool_] = np.cumsum(change[:-1], dtype=np.int32) > 0
        return covered


def document_rows(portion: Portion, covered: NDArray[np.bool_], names: Sequence[str]) -> pa.Table:
    """Return the rows of `DOCUMENTS` for a portion."""
    total = np.concatenate([[0], np.cumsum(covered)])
    tokens = np.diff(portion.tokens)
    many = total[portion.tokens[1:]] - total[portion.tokens[:-1]]
    share = np.full(len(tokens), np.nan)
    np.divide(many, tokens, out=share, where=tokens >= portion.n)
    evaluation = pa.array(names, pa.large_string()).take(pa.array(portion.evaluation))
    ids = pa.array(portion.ids, pa.large_string())
    return pa.table([evaluation, ids, portion.line, tokens, many, share], schema=DOCUMENTS)


def passage_rows(
    portion: Portion,
    covered: NDArray[np.bool_],
    names: Sequence[str],
    tokenizer: str,
    place: Callable[[NDArray[np.int64]], tuple[list[str | None], list[int | None]]],
    places: NDArray[np.int64],
) -> pa.Table:
    """Return the rows of `PASSAGES` for a portion.

    Parameters
    ----------
    portion, covered, names, tokenizer
        The documents, which tokens are covered, names of the evaluations, and how the tokens were made.
    place : callable
        From places in the training text to names of files and to lines.
    places : numpy.ndarray
        ``int64[grams]``: where each n-gram stands in the training text, -1 where that is not known.
    """
    first = np.zeros(len(covered), np.bool_)
    first[portion.tokens[:-1][np.diff(portion.tokens) > 0]] = True
    before = np.concatenate([[False], covered[:-1]]) & ~first
    after = np.concatenate([covered[1:] & ~first[1:], [False]])
    starts, stops = np.flatnonzero(covered & ~before), np.flatnonzero(covered & ~after) + 1
    rows = np.searchsorted(portion.tokens, starts, side="right") - 1
    begin = portion.tokens[rows]
    # The first covered token begins an n-gram that was found.
    grams = portion.grams.offsets[rows] + starts - begin
    files, lines = place(places[grams])
    spans = [
        _span(portion.text, row, a, b, tokenizer)
        for row, a, b in zip(rows.tolist(), (starts - begin).tolist(), (stops - begin).tolist(), strict=True)
    ]
    columns = [
        [names[i] for i in portion.evaluation[rows]],
        [portion.ids[i] for i in rows],
        portion.line[rows],
        starts - begin,
        stops - begin,
        *([span[at] for span in spans] for at in range(3)),
        files,
        lines,
    ]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, PASSAGES.types, strict=True)]
    return pa.table(arrays, schema=PASSAGES)


def _span(
    text: Ragged | None, row: int, start: int, stop: int, tokenizer: str
) -> tuple[int | None, int | None, str | None]:
    """Return which characters tokens `start` to `stop` of a document are, and the characters."""
    if text is None or tokenizer not in SPANNED:
        return None, None, None
    data = text.row(row).tobytes()
    spans = _core.token_spans(data, tokenizer)
    begin, end = int(spans[2 * start]), int(spans[2 * stop - 1])
    before = len(data[:begin].decode("utf-8", "replace"))
    passage = data[begin:end].decode("utf-8", "replace")
    return before, before + len(passage), passage
