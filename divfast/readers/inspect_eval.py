"""Logs of inspect_ai: ``.eval`` archives (deflate or zstd) and ``.json`` logs. K samples are epochs and choices."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from divfast import engine
from divfast.readers.fields import (
    Fields,
    Malformed,
    dig,
    elements,
    last_message,
    members,
    message_text,
    scalar,
)
from divfast.readers.objects import add, line_of, numbered
from divfast.readers.records import Reading, RecordBuilder, Records, note_meta
from divfast.readers.source import Source

NAME = "inspect_ai"
SUMMARY = "inspect_ai logs, .eval and .json; all epochs and choices of a sample are one group"

_LOG = re.compile(rb'\s*\{\s*"version"\s*:\s*\d+\s*,\s*"(status|eval)"\s*:')
_MEMBER = re.compile(rb"PK\x03\x04.{26}(_journal/|samples/|header\.json)", re.DOTALL)
_ATTACHMENT = re.compile(r"attachment://([0-9a-f]{8,})")
_ZSTD = 93
_WHOLE = "Copy the log again, or recover it with inspect's own tools."


def sniff(source: Source) -> bool:
    """Whether it is an archive with inspect's first member, or begins like a JSON log."""
    return bool(_MEMBER.match(source.head) or _LOG.match(source.head))


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the samples; those of one id one after the other."""
    return _archive(source, reading) if source.head.startswith(b"PK") else _log(source, reading)


def _archive(source: Source, reading: Reading) -> Iterator[Records]:
    with source.seekable() as file:
        try:
            listed = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            reading.fail("is not a whole zip archive.", _WHOLE)
        # A member that was written again supersedes the earlier one.
        infos = {info.filename: info for info in listed}
        header = infos.get("header.json") or infos.get("_journal/start.json")
        if header is not None:
            try:
                _note_header(Fields(_content(header, _raw(file, header)), allow_nan=True), reading)
            except Malformed as bad:
                reading.bad(header.filename, bad.what, bad.remedy)
        builder = RecordBuilder(reading)
        for some in _windows(_by_id(infos)):
            raw = [_raw(file, info) for info in some]
            with engine.use_threads(reading.options.threads):
                parsed = list(engine.map_ordered(_parsed, zip(some, raw, strict=True)))
            for info, fields in zip(some, parsed, strict=True):
                source.consumed += info.compress_size
                if isinstance(fields, Malformed):
                    reading.bad(info.filename, fields.what, fields.remedy)
                else:
                    yield from add(builder, partial(_take, reading), fields, info.filename, reading)
        yield from builder.flush()


def _by_id(infos: Mapping[str, zipfile.ZipInfo]) -> Iterator[zipfile.ZipInfo]:
    """Yield the samples, all epochs of one before the next: the file has them in the order in which they ended."""
    samples: dict[str, list[zipfile.ZipInfo]] = {}
    for name, info in infos.items():
        if name.startswith("samples/") and name.endswith(".json"):
            samples.setdefault(name.rpartition("_epoch_")[0] or name, []).append(info)
    for epochs in samples.values():
        yield from epochs


def _windows(infos: Iterator[zipfile.ZipInfo]) -> Iterator[list[zipfile.ZipInfo]]:
    """Yield a few members at a time, as many as may be in memory together."""
    some: list[zipfile.ZipInfo] = []
    held = 0
    for info in infos:
        some.append(info)
        held += info.file_size
        if len(some) == 256 or held > 1 << 24:
            yield some
            some, held = [], 0
    yield some


def _raw(file: BinaryIO, info: zipfile.ZipInfo) -> bytes:
    """Return a member as it lies in the archive, or nothing where there is no such place."""
    try:
        file.seek(info.header_offset)
        name, extra = struct.unpack_from("<HH", file.read(30), 26)
        file.seek(name + extra, 1)
        return file.read(info.compress_size)
    except (OSError, ValueError, OverflowError, MemoryError, struct.error):
        return b""


def _parsed(member: tuple[zipfile.ZipInfo, bytes]) -> Fields | Malformed:
    try:
        return Fields(_content(*member), allow_nan=True)
    except Malformed as bad:
        return bad


def _content(info: zipfile.ZipInfo, raw: bytes) -> bytes:
    """Return what a member holds; the standard library reads zstd only since Python 3.14."""
    try:
        data = _decompressors[info.compress_type](raw, info.file_size)
    except (OSError, ValueError, OverflowError, MemoryError, zlib.error, pa.ArrowException):
        raise Malformed("is damaged.", _WHOLE) from None
    except KeyError:
        raise Malformed(f"is compressed with method {info.compress_type}, which is not known.") from None
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise Malformed("is damaged.", _WHOLE)
    return data


def _inflate(raw: bytes, size: int) -> bytes:
    return zlib.decompressobj(-15).decompress(raw, size + 1)


def _zstd(raw: bytes, size: int) -> bytes:
    # All frames of a member, not only the first.
    return pa.decompress(raw, decompressed_size=size, codec="zstd", asbytes=True)  # type: ignore[no-any-return]


_decompressors: dict[int, Callable[[bytes, int], bytes]] = {
    zipfile.ZIP_STORED: lambda raw, size: raw,
    zipfile.ZIP_DEFLATED: _inflate,
    _ZSTD: _zstd,
}


def _log(source: Source, reading: Reading) -> Iterator[Records]:
    data = memoryview(source.read_all())
    try:
        names, spans = members(data, allow_nan=True)
        header = Fields(data, allow_nan=True)
        if "samples" not in names:
            reading.fail("is a log without samples.", "Log again without --no-log-samples.")
        start, stop = spans[names.index("samples")].tolist()
        samples = elements(data[start:stop], allow_nan=True) + start
        _note_header(header, reading)
    except Malformed as bad:
        reading.fail(bad.what, "Check that the file is whole.", line_of(data, bad.at))
    builder = RecordBuilder(reading)
    for line, value in numbered(data, samples.tolist()):
        try:
            fields = Fields(value, allow_nan=True)
        except Malformed as bad:
            reading.bad(line, bad.what, bad.remedy)
            continue
        yield from add(builder, partial(_take, reading), fields, line, reading)
    yield from builder.flush()


def _note_header(header: Fields, reading: Reading) -> None:
    run = header.nested("eval")
    for name in ("model", "task"):
        value = run.get(name)
        if isinstance(value, str):
            note_meta(reading, name, value)


def _take(reading: Reading, builder: RecordBuilder, fields: Mapping[str, Any], line: int | str) -> None:
    assert isinstance(fields, Fields)
    outputs = [] if fields.get("error") is not None else _outputs(fields, reading)
    if not outputs:
        reading.count("failed_samples", 1)
        return
    id = scalar(fields.get("id"))
    asked = fields.get("input")
    wanted = reading.options.wanted
    columns: dict[str, Any] = {"gold": fields.get("target")} if "gold" in wanted else {}
    if "correct" in wanted or "scores" in wanted:
        columns.update(_verdict(fields, len(outputs)))
    if "finish_reasons" in wanted:
        reasons = [dig(choice, "stop_reason") for choice in fields.nested("output").get("choices") or []]
        columns["finish_reasons"] = reasons if len(reasons) == len(outputs) else None
    if "messages" in wanted and isinstance(asked, list):
        columns["messages"] = [
            {
                "role": dig(turn, "role"),
                "content": _attached(message_text(dig(turn, "content")) or "", fields),
            }
            for turn in asked
        ]
    prompt = last_message(asked, "user") or scalar(asked)
    builder.add(
        id,
        None if prompt is None else _attached(prompt, fields),
        outputs,
        line=line,
        columns=columns,
        key=f"{id}\x1f{reading.meta.get('model')}\x1f{reading.meta.get('task')}",
    )


def _outputs(fields: Fields, reading: Reading) -> list[str | None]:
    output = fields.nested("output")
    choices = output.get("choices")
    if not isinstance(choices, list) or not choices:
        # A sample that was cut short has an empty completion and no choices: that is no answer.
        completion = output.get("completion")
        return [completion] if isinstance(completion, str) and completion else []
    contents = [dig(choice, "message", "content") for choice in choices]
    for content in contents:
        if isinstance(content, list) and any(dig(part, "type") == "reasoning" for part in content):
            reading.count("reasoning_stripped", 1)
            reading.count("reasoning_emptied", not message_text(content))
    texts = [message_text(content) for content in contents]
    return [text if text is None else _attached(text, fields) for text in texts]


def _attached(text: str, fields: Fields) -> str:
    """Put back long texts that the log keeps once, elsewhere."""
    if "attachment://" not in text:
        return text
    attachments = fields.get("attachments")
    return _ATTACHMENT.sub(
        lambda found: kept if isinstance(kept := dig(attachments, found[1]), str) else found[0], text
    )


def _verdict(fields: Fields, many: int) -> dict[str, Any]:
    """Return what the first scorer said; it judged the first choice."""
    scores = fields.get("scores")
    value = dig(next(iter(scores.values())), "value") if isinstance(scores, Mapping) and scores else None
    rest = [None] * (many - 1)
    if value in ("C", "I", "P", "N") or isinstance(value, bool):
        return {"correct": [value in ("C", True), *rest]}
    return {"scores": [value, *rest]} if isinstance(value, (int, float)) else {}
