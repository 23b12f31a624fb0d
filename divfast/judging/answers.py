"""What a judge has said, kept by the content of what it was asked, in write-once Arrow files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from divfast.errors import DivfastWarning, OutputError
from divfast.generation.prompts import Message
from divfast.output import write_whole

_FORMAT = {b"divfast": b"answers-1"}
_SCHEMA = pa.schema(
    [("key", pa.binary(16)), ("text", pa.large_string()), ("cut", pa.bool_())], metadata=_FORMAT
)
# What a kill may lose.
_FLUSH_SECONDS = 5.0
# As many small files are put together when they are next read.
_MANY = 64


class Answer(NamedTuple):
    """What was said, and whether it ended at the limit of tokens."""

    text: str
    cut: bool


def conversation_key(messages: Sequence[Message]) -> bytes:
    """Return 16 bytes of BLAKE2b of a conversation."""
    text = json.dumps([dict(message) for message in messages], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Answers:
    """Answers of one model with one set of parameters.

    Parameters
    ----------
    folder : Path or None
        Where they are kept; made when there is something to write. None keeps them in memory alone.

    Notes
    -----
    Every flush makes one file, under a temporary name first, so there is no lock: any number of processes may write,
    and the worst that two do is to ask for the same answer. A file that is torn or foreign is left alone with a
    warning, and where nothing can be written work goes on without, with one.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[bytes, Answer] = {}
        self._waiting: dict[bytes, Answer] = {}
        self._flushed = time.monotonic()
        if folder is not None and folder.is_dir():
            self._read(folder)

    def get(self, key: bytes) -> Answer | None:
        """Return what was said, if it is known."""
        return self._known.get(key)

    def add(self, key: bytes, answer: Answer) -> None:
        """Keep an answer."""
        self._known[key] = self._waiting[key] = answer
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is not written yet."""
        waiting, self._waiting = self._waiting, {}
        self._flushed = time.monotonic()
        if not waiting or self._folder is None:
            return
        try:
            self._write(self._folder, waiting)
        except (OSError, OutputError) as error:
            reason = error.what.rstrip(".") if isinstance(error, OutputError) else str(error)
            warnings.warn(
                f"{self._folder}: answers cannot be kept here, {reason}; judging goes on without. Name another folder "
                "in DIVFAST_CACHE.",
                DivfastWarning,
                stacklevel=3,
            )
            self._folder = None

    def _write(self, folder: Path, answers: Mapping[bytes, Answer]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # A lone surrogate is no text that Arrow could hold.
        texts = [one.text.encode("utf-8", "replace").decode() for one in answers.values()]
        columns = [list(answers), texts, [one.cut for one in answers.values()]]
        table = pa.table(
            [pa.array(values, one.type) for values, one in zip(columns, _SCHEMA, strict=True)], _SCHEMA
        )

        def write(path: Path) -> None:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
                writer.write_table(table)

        write_whole({folder / f"{uuid.uuid4().hex}.arrow": write})

    def _read(self, folder: Path) -> None:
        read: list[Path] = []
        for path in sorted(folder.glob("*.arrow")):
            try:
                with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as reader:
                    if not reader.schema.equals(_SCHEMA, check_metadata=True):
                        raise pa.ArrowInvalid("another layout")
                    keys, texts, cuts = (column.to_pylist() for column in reader.read_all().columns)
            except FileNotFoundError:
                # Another process has just put small files together.
                continue
            except (OSError, pa.ArrowException, ValueError):
                text = f"{path}: ignored, it is torn or foreign; it can be deleted."
                warnings.warn(text, DivfastWarning, stacklevel=3)
                continue
            read.append(path)
            self._known.update(zip(keys, map(Answer, texts, cuts), strict=True))
        if len(read) > _MANY:
            with contextlib.suppress(OSError, OutputError):
                self._write(folder, self._known)
                for path in read:
                    path.unlink(missing_ok=True)
