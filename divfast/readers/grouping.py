"""Records to samples: equal ids become one group, in order of first appearance, whatever the size of the dump."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from divfast import _core
from divfast.errors import DataError, os_reason
from divfast.readers.columns import join
from divfast.readers.records import Reading, Records
from divfast.samples import Ragged, Samples

Codes = NDArray[np.int64]
Coded = tuple[Codes, NDArray[np.bool_]]


def group(again: Callable[[Reading], Iterator[Records]], reading: Reading) -> Iterator[Samples]:
    """Yield blocks of samples cut at group boundaries.

    Parameters
    ----------
    again : callable
        Starts reading the dump from its beginning, and counts in the `Reading` that it is given; called once for a
        dump of one block, twice for a longer one, the first time only for its ids.
    reading : Reading
        Takes the counts, all of them once the last block is out.

    Notes
    -----
    Holds one block, the ids, and 9 bytes a record. Where the records of one id are scattered, what is not text is
    held too, once a group of a block, and the texts go through a temporary file.
    """
    survey = reading.fresh()
    stream = again(survey)
    first = next(stream, None)
    index = _core.KeyIndex()
    coded = [] if first is None else [_codes(index, first, survey, reading)]
    survey.survey = True
    second = next(stream, None)
    reading.meta = survey.meta
    if second is None:
        reading.absorb(survey)
        if first is not None:
            yield _finish(_merge(first, *coded[0], 0), reading)
        return
    del first
    rest = chain((second,), stream)
    del second, stream
    coded.extend(_codes(index, records, survey, reading) for records in rest)
    groups = len(index)
    del index, rest

    codes = np.concatenate([codes[kept] for codes, kept in coded])
    steps = np.diff(codes, prepend=-1)
    current = reading.fresh()
    blocks = _paired(again(current), coded, reading)
    if np.all((steps == 0) | (steps == 1)):
        yield from _stream(blocks, reading)
    else:
        yield from _gather(blocks, groups, reading)
    reading.absorb(current)


def _codes(index: _core.KeyIndex, records: Records, current: Reading, reading: Reading) -> Coded:
    """Return the group number of every record, and which records are kept."""
    codes, conflicts = index.add(
        records.keys.values,
        records.keys.offsets,
        records.has_id,
        records.prompts.values,
        records.prompts.offsets,
        records.has_prompt,
    )
    kept = np.ones(len(records), bool)
    reading.name = current.name
    for record in conflicts.tolist():
        name = records.ids.slice(record, record + 1).strings()[0]
        reading.bad(
            records.lines[record],
            f"id {name!r} was given another prompt before.",
            "Give every prompt an id of its own, name another field with --id-field.",
        )
        kept[record] = False
    return codes, kept


def _paired(
    blocks: Iterator[Records], coded: Sequence[Coded], reading: Reading
) -> Iterator[tuple[Records, Codes, NDArray[np.bool_], int | None]]:
    """Yield the records of the second pass with what the first found, and the group that comes after them."""
    following: list[int | None] = [None]
    for codes, kept in reversed(coded):
        following.append(int(codes[kept][0]) if kept.any() else following[-1])
    following.reverse()
    for records, known, after in zip_longest(blocks, coded, following[1:]):
        if records is None or known is None or len(records) != len(known[0]):
            reading.fail("changed while it was read.", "Wait until the sampler has finished writing it.")
        yield records, *known, after


def _merge(records: Records, codes: Codes, kept: NDArray[np.bool_], before: int) -> Samples:
    """Bring the records of each code together, codes in increasing order; `before` samples came earlier."""
    counts = np.diff(records.bounds)
    positions = np.arange(before, before + records.bounds[-1])
    if kept.all() and np.all(np.diff(codes) == 1):
        return Samples(
            text=records.text,
            groups=records.bounds,
            ids=_ids(records, None),
            prompts=records.prompts.to_arrow(records.has_prompt),
            positions=positions,
            per_sample=records.per_sample,
            per_prompt=records.per_prompt,
        )
    order = np.argsort(codes, kind="stable")
    order = order[kept[order]]
    lengths = counts[order]
    ends = np.cumsum(lengths)
    rows = np.repeat(records.bounds[:-1][order] - (ends - lengths), lengths) + np.arange(lengths.sum())
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    prompts = records.prompts.to_arrow(records.has_prompt)
    return Samples(
        text=records.text.take(rows),
        groups=np.append(0, ends)[np.append(starts, len(order))],
        ids=_ids(records, order[starts]),
        prompts=_first_present(prompts, order, starts),
        positions=positions[rows],
        per_sample={name: column.take(pa.array(rows)) for name, column in records.per_sample.items()},
        per_prompt={
            name: _first_present(column, order, starts) for name, column in records.per_prompt.items()
        },
    )


def _first_present(column: pa.Array, order: Codes, starts: Codes) -> pa.Array:
    """Return a value a group: that of its first record which has one."""
    if len(starts) == 0:
        return column.slice(0, 0)
    present = column.is_valid().to_numpy(zero_copy_only=False)[order]
    candidates = np.minimum.reduceat(np.where(present, np.arange(len(order)), len(order)), starts)
    found = candidates < np.append(starts[1:], len(order))
    return column.take(pa.array(order[np.where(found, candidates, starts)]))


def _ids(records: Records, which: Codes | None) -> pa.LargeStringArray:
    """Return the ids of some records or of all; a record without one is named by where it stands."""
    if records.has_id.all():
        ids = records.ids.to_arrow()
        return ids if which is None else ids.take(pa.array(which))
    rows = range(len(records)) if which is None else which.tolist()
    names = records.ids.strings()
    return pa.array(
        [names[i] if records.has_id[i] else str(records.lines[i]) for i in rows], pa.large_string()
    )


def _finish(samples: Samples, reading: Reading) -> Samples:
    """Strip reasoning, fill in prompts from a second file, attach what is known of the dump."""
    text = samples.text
    if not reading.options.keep_reasoning:
        stripped = _core.strip_reasoning(text.values, text.offsets)
        if stripped is not None:
            rows, many, emptied = stripped
            text = Ragged(*rows)
            reading.count("reasoning_stripped", many)
            reading.count("reasoning_emptied", emptied)
    prompts = samples.prompts
    if reading.prompts is not None and prompts.null_count:
        known = [reading.prompts.get(id) for id in samples.ids.to_pylist()]
        prompts = pc.if_else(prompts.is_null(), pa.array(known, pa.large_string()), prompts)
    return replace(samples, text=text, prompts=prompts, meta=dict(reading.meta))


def _stream(
    blocks: Iterator[tuple[Records, Codes, NDArray[np.bool_], int | None]], reading: Reading
) -> Iterator[Samples]:
    """Yield block by block; a group that goes on in the next block is kept apart until it is whole."""
    before = 0
    open_group: list[Samples] = []
    open_code = -1
    for records, codes, kept, following in blocks:
        block = _merge(records, codes, kept, before)
        before += int(records.bounds[-1])
        if len(block) == 0:
            continue
        first, last = int(codes[kept][0]), int(codes[kept][-1])
        if open_group and first == open_code:
            head, block = _part(block, 0, 1), _part(block, 1, len(block))
            open_group.append(head)
        if open_group and (len(block) or following != open_code):
            yield _finish(_one_group(open_group), reading)
            open_group = []
        if len(block) and following == last:
            open_group = [_copied(_part(block, len(block) - 1, len(block)))]
            open_code = last
            block = _part(block, 0, len(block) - 1)
        if len(block):
            yield _finish(block, reading)


def _one_group(parts: list[Samples]) -> Samples:
    """Return parts of one group as that group."""
    rows = sum(part.rows for part in parts)
    start = np.zeros(1, np.int64)
    return Samples(
        text=Ragged.concat([part.text for part in parts]),
        groups=np.array([0, rows]),
        ids=parts[0].ids,
        prompts=_first_present(
            pa.concat_arrays([part.prompts for part in parts]), np.arange(len(parts)), start
        ),
        positions=np.concatenate([part.positions for part in parts]),
        per_sample=join([part.per_sample for part in parts], [part.rows for part in parts]),
        per_prompt={
            name: _first_present(column, np.arange(len(parts)), start)
            for name, column in join([part.per_prompt for part in parts], [1] * len(parts)).items()
        },
    )


def _part(block: Samples, start: int, stop: int) -> Samples:
    """Return some groups, a view."""
    first, last = int(block.groups[start]), int(block.groups[stop])
    return Samples(
        block.text.slice(first, last),
        block.groups[start : stop + 1] - first,
        block.ids.slice(start, stop - start),
        block.prompts.slice(start, stop - start),
        block.positions[first:last],
        {name: column.slice(first, last - first) for name, column in block.per_sample.items()},
        {name: column.slice(start, stop - start) for name, column in block.per_prompt.items()},
        block.meta,
    )


def _copied(block: Samples) -> Samples:
    """Return the same with a tape of its own, so that the block it was cut from can go."""
    return replace(block, text=block.text.take(np.arange(block.rows)))


def _gather(
    blocks: Iterator[tuple[Records, Codes, NDArray[np.bool_], int | None]], groups: int, reading: Reading
) -> Iterator[Samples]:
    """Yield the groups of a scattered dump: texts go to a temporary file and come back group by group."""
    with tempfile.TemporaryFile(prefix="divfast-") as spool:
        parts: list[tuple[Samples, Codes]] = []
        lengths = []
        before = 0
        for records, codes, kept, _ in blocks:
            merged = _merge(records, codes, kept, before)
            before += int(records.bounds[-1])
            try:
                spool.write(merged.text.values[merged.text.offsets[0] : merged.text.offsets[-1]].data)
            except OSError as error:
                raise DataError(
                    f"its groups are scattered and cannot be kept in a temporary file: {os_reason(error)}.",
                    where=reading.name,
                    remedy="Set TMPDIR to a folder with room, or sort the dump by id.",
                ) from None
            lengths.append(merged.text.lengths)
            parts.append((_without_text(merged), np.unique(codes[kept])))
        spool.flush()
        sizes = np.concatenate(lengths)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        tape = np.memmap(spool, np.uint8, "r") if offsets[-1] else np.zeros(0, np.uint8)
        skeleton, rows = _assemble(parts, groups)
        reach = np.concatenate([[0], np.cumsum(sizes[rows])])
        start = 0
        while start < len(skeleton):
            stop = _block_end(skeleton.groups, reach, start, reading)
            part = _part(skeleton, start, stop)
            at = rows[int(skeleton.groups[start]) : int(skeleton.groups[stop])]
            yield _finish(replace(part, text=Ragged(tape, offsets).take(at)), reading)
            start = stop


def _assemble(parts: list[tuple[Samples, Codes]], groups: int) -> tuple[Samples, Codes]:
    """Join groups that stand in several parts; return them without texts, and where each row stands in the parts."""
    codes = np.concatenate([codes for _, codes in parts])
    counts = np.concatenate([np.diff(part.groups) for part, _ in parts])
    first_rows = np.cumsum(counts) - counts
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    lengths = counts[order]
    ends = np.cumsum(lengths)
    rows = np.repeat(first_rows[order] - (ends - lengths), lengths) + np.arange(lengths.sum())
    samples = join([part.per_sample for part, _ in parts], [part.rows for part, _ in parts])
    prompts = join([part.per_prompt for part, _ in parts], [len(part) for part, _ in parts])
    ids = pa.concat_arrays([part.ids for part, _ in parts])
    assert len(starts) == groups
    skeleton = Samples(
        text=_no_text(len(rows)),
        groups=np.append(0, ends)[np.append(starts, len(order))],
        ids=ids.take(pa.array(order[starts])),
        prompts=_first_present(pa.concat_arrays([part.prompts for part, _ in parts]), order, starts),
        positions=np.concatenate([part.positions for part, _ in parts])[rows],
        per_sample={name: column.take(pa.array(rows)) for name, column in samples.items()},
        per_prompt={name: _first_present(column, order, starts) for name, column in prompts.items()},
    )
    return skeleton, rows


def _block_end(groups: Codes, reach: Codes, start: int, reading: Reading) -> int:
    """Return the first group that no longer fits a block that begins at `start`; at least one does."""
    options = reading.options
    by_bytes = np.searchsorted(reach[groups], reach[groups[start]] + options.block_bytes, "right") - 1
    by_rows = np.searchsorted(groups, groups[start] + options.block_rows, "right") - 1
    return int(max(start + 1, min(by_bytes, by_rows)))


def _without_text(samples: Samples) -> Samples:
    return replace(samples, text=_no_text(samples.rows))


def _no_text(rows: int) -> Ragged:
    return Ragged(np.zeros(0, np.uint8), np.zeros(rows + 1, np.int64))
