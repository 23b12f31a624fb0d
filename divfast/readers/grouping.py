"""Records to samples: equal ids become one group, in order of first appearance, whatever the size of the dump."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast import _core
from divfast.errors import DataError, os_reason
from divfast.readers.records import Reading, Records
from divfast.samples import Ragged, Samples

Codes = NDArray[np.int64]


def group(again: Callable[[], Iterator[Records]], reading: Reading) -> Iterator[Samples]:
    """Yield blocks of samples cut at group boundaries.

    Parameters
    ----------
    again : callable
        Starts reading the dump from its beginning; called once for a dump of one block, twice for a longer one
        (the first time only for its ids), three times where the records of one id are scattered over it.
    reading : Reading
        Takes the counts.

    Notes
    -----
    Holds one block, the ids, and 8 bytes a record. Scattered groups are put together through a temporary file.
    """
    stream = again()
    first = next(stream, None)
    if first is None:
        return
    second = next(stream, None)
    if second is None:
        codes, kept = _codes(_core.KeyIndex(), first, reading)
        yield _finish(_merge(first, codes, kept), 0, reading)
        return

    index = _core.KeyIndex()
    parts = [_codes(index, records, reading) for records in chain((first, second), stream)]
    del first, second
    codes = np.concatenate([part for part, _ in parts])
    kept_codes = codes[np.concatenate([kept for _, kept in parts])]
    steps = np.diff(kept_codes, prepend=-1)
    if np.all((steps == 0) | (steps == 1)):
        yield from _stream(again(), parts, reading)
    else:
        yield from _gather(again(), parts, len(index), reading)


def _codes(index: _core.KeyIndex, records: Records, reading: Reading) -> tuple[Codes, NDArray[np.bool_]]:
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
    for record in conflicts.tolist():
        name = records.ids.slice(record, record + 1).strings()[0]
        reading.bad(
            records.lines[record],
            f"id {name!r} was given another prompt before.",
            "Give every prompt an id of its own, or name another field with --id-field.",
        )
        kept[record] = False
    return codes, kept


def _merge(records: Records, codes: Codes, kept: NDArray[np.bool_]) -> Samples:
    """Bring the records of each code together, codes in increasing order."""
    counts = np.diff(records.bounds)
    g = len(codes)
    positions = np.arange(records.bounds[-1] - records.bounds[0])
    if kept.all() and np.array_equal(codes, np.arange(codes[0] if g else 0, (codes[0] if g else 0) + g)):
        return Samples(
            text=records.text,
            groups=records.bounds,
            ids=_ids(records, np.arange(g)),
            prompts=records.prompts.to_arrow(records.has_prompt),
            positions=positions,
            per_sample=records.per_sample,
            per_prompt=records.per_prompt,
        )
    order = np.argsort(codes, kind="stable")
    order = order[kept[order]]
    sorted_codes = codes[order]
    starts = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
    lengths = counts[order]
    rows = np.repeat(records.bounds[:-1][order] - (np.cumsum(lengths) - lengths), lengths) + np.arange(
        lengths.sum()
    )
    ends = np.concatenate([[0], np.cumsum(lengths)])
    leaders = order[starts]
    # The prompt of a group stands on any of its records.
    with_prompt = np.where(records.has_prompt[order], np.arange(len(order)), len(order))
    nearest = np.minimum.reduceat(with_prompt, starts) if len(starts) else starts
    stop = np.append(starts[1:], len(order))
    prompt_of = np.where(nearest < stop, order[np.minimum(nearest, len(order) - 1)], leaders)
    return Samples(
        text=records.text.take(rows),
        groups=np.append(ends[starts], ends[-1]).astype(np.int64),
        ids=_ids(records, leaders),
        prompts=records.prompts.to_arrow(records.has_prompt).take(pa.array(prompt_of)),
        positions=positions[rows],
        per_sample={name: column.take(pa.array(rows)) for name, column in records.per_sample.items()},
        per_prompt={name: column.take(pa.array(leaders)) for name, column in records.per_prompt.items()},
    )


def _ids(records: Records, which: Codes) -> pa.LargeStringArray:
    """Return the ids of some records; a record without one is named by where it stands."""
    if records.has_id.all():
        ids = records.ids.to_arrow()
        return ids if len(which) == len(ids) else ids.take(pa.array(which))
    names = records.ids.strings()
    return pa.array(
        [names[i] if records.has_id[i] else str(records.lines[i]) for i in which.tolist()], pa.large_string()
    )


def _finish(samples: Samples, before: int, reading: Reading) -> Samples:
    """Strip reasoning, number the rows over the whole dump, attach what is known of it."""
    text = samples.text
    if not reading.options.keep_reasoning:
        stripped = _core.strip_reasoning(text.values, text.offsets)
        if stripped is not None:
            rows, many, emptied = stripped
            text = Ragged(*rows)
            reading.count("reasoning_stripped", many)
            reading.count("reasoning_emptied", emptied)
    return Samples(
        text,
        samples.groups,
        samples.ids,
        samples.prompts,
        samples.positions + before,
        samples.per_sample,
        samples.per_prompt,
        dict(reading.meta),
    )


def _stream(
    blocks: Iterator[Records], parts: list[tuple[Codes, NDArray[np.bool_]]], reading: Reading
) -> Iterator[Samples]:
    """Yield block by block; only the last group of a block may go on in the next."""
    before = 0
    waiting: Samples | None = None
    last_code = -1
    index = _core.KeyIndex()
    for records in blocks:
        codes, kept = _codes(index, records, reading)
        block = _finish(_merge(records, codes, kept), before, reading)
        before += int(records.bounds[-1] - records.bounds[0])
        if waiting is not None and len(block):
            first = codes[kept][0]
            block = Samples.concat([waiting, block])
            if first == last_code:
                block = _join_groups(block, len(waiting))
            waiting = None
        if len(block) == 0:
            continue
        last_code = codes[kept][-1] if kept.any() else last_code
        done, waiting = _cut(block, len(block) - 1)
        if len(done):
            yield done
    if waiting is not None:
        yield waiting


def _join_groups(block: Samples, at: int) -> Samples:
    """Make group `at` part of the group before it."""
    keep = np.delete(np.arange(len(block)), at)
    return Samples(
        block.text,
        np.delete(block.groups, at),
        block.ids.take(pa.array(keep)),
        block.prompts.take(pa.array(keep)),
        block.positions,
        block.per_sample,
        {name: column.take(pa.array(keep)) for name, column in block.per_prompt.items()},
        block.meta,
    )


def _cut(block: Samples, group: int) -> tuple[Samples, Samples]:
    """Return the groups before `group` and the rest, both as views."""
    return _part(block, 0, group), _part(block, group, len(block))


def _part(block: Samples, start: int, stop: int) -> Samples:
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


def _gather(
    blocks: Iterator[Records], parts: list[tuple[Codes, NDArray[np.bool_]]], groups: int, reading: Reading
) -> Iterator[Samples]:
    """Yield the groups of a scattered dump: texts go to a temporary file and come back group by group."""
    with tempfile.TemporaryFile(prefix="divfast-") as spool:
        thin = []
        lengths = []
        index = _core.KeyIndex()
        try:
            for records in blocks:
                _codes(index, records, reading)
                text = records.text
                spool.write(text.values[text.offsets[0] : text.offsets[-1]].data)
                lengths.append(text.lengths)
                thin.append(_without_text(records))
            spool.flush()
        except OSError as error:
            raise DataError(
                f"its groups are scattered and cannot be kept in a temporary file: {os_reason(error)}.",
                where=reading.name,
                remedy="Set TMPDIR to a folder with room, or sort the dump by id.",
            ) from None
        whole = _join_records(thin)
        codes = np.concatenate([part for part, _ in parts])
        kept = np.concatenate([part for _, part in parts])
        skeleton = _merge(whole, codes, kept)
        sizes = np.concatenate(lengths)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        tape = np.memmap(spool, np.uint8, "r") if offsets[-1] else np.zeros(0, np.uint8)
        reach = np.concatenate([[0], np.cumsum(sizes[skeleton.positions])])
        start = 0
        while start < len(skeleton):
            stop = _block_end(skeleton.groups, reach, start, reading)
            part = _part(skeleton, start, stop)
            text = Ragged(tape, offsets).take(part.positions)
            yield _finish(
                Samples(
                    text,
                    part.groups,
                    part.ids,
                    part.prompts,
                    part.positions,
                    part.per_sample,
                    part.per_prompt,
                ),
                0,
                reading,
            )
            start = stop


def _block_end(groups: Codes, reach: Codes, start: int, reading: Reading) -> int:
    """Return the first group that no longer fits a block that begins at `start`; at least one does."""
    options = reading.options
    by_bytes = np.searchsorted(reach[groups], reach[groups[start]] + options.block_bytes, "right") - 1
    by_rows = np.searchsorted(groups, groups[start] + options.block_rows, "right") - 1
    return int(max(start + 1, min(by_bytes, by_rows)))


def _without_text(records: Records) -> Records:
    n = len(records.text)
    empty = Ragged(np.zeros(0, np.uint8), np.zeros(n + 1, np.int64))
    return Records(
        empty,
        records.bounds - records.bounds[0],
        records.ids,
        records.has_id,
        records.prompts,
        records.has_prompt,
        records.keys,
        records.lines,
        records.per_sample,
        records.per_prompt,
    )


def _join_records(parts: list[Records]) -> Records:
    shared_sample = set.intersection(*(set(part.per_sample) for part in parts))
    shared_prompt = set.intersection(*(set(part.per_prompt) for part in parts))
    starts = np.cumsum([0, *(len(part.text) for part in parts)])
    return Records(
        text=Ragged.concat([part.text for part in parts]),
        bounds=np.concatenate(
            [[0], *(part.bounds[1:] + start for part, start in zip(parts, starts, strict=False))]
        ).astype(np.int64),
        ids=Ragged.concat([part.ids for part in parts]),
        has_id=np.concatenate([part.has_id for part in parts]),
        prompts=Ragged.concat([part.prompts for part in parts]),
        has_prompt=np.concatenate([part.has_prompt for part in parts]),
        keys=Ragged.concat([part.keys for part in parts]),
        lines=[line for part in parts for line in part.lines],
        per_sample={
            name: pa.concat_arrays([part.per_sample[name] for part in parts]) for name in shared_sample
        },
        per_prompt={
            name: pa.concat_arrays([part.per_prompt[name] for part in parts]) for name in shared_prompt
        },
    )
