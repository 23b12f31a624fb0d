"""The dump as it grows: whole lines are appended, and what stands in it is never drawn again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from divfast.errors import DataError, OutputError, os_reason
from divfast.generation.prompts import Prompt, plain
from divfast.output import write_whole

# Fields with a value for every sample.
LISTS = ("outputs", "reasoning", "finish_reasons", "output_tokens", "logprobs")
# What a run says of itself that changes no sample.
_CHANGES_NOTHING = ("versions", "run", "k", "prompts", "later")
_SYNC_SECONDS = 1.0
_PIECE = 1 << 20


@dataclass
class _Held:
    """What stands in the file of one prompt."""

    samples: int = 0
    lines: list[tuple[int, int]] = field(default_factory=list)  # where each begins and ends


class Dump:
    """A file of JSON Lines that is open for appending, by one process at a time.

    The first record says how the samples are drawn (``generation``); a line holds the samples of a prompt, or further
    samples of one that stands above, which readers join by its id. Whatever ends the process, the file is a dump of all
    that was finished: a line that was not written whole is cut off when the file is opened again.

    Parameters
    ----------
    path : Path
        Made where it is not there.

    Attributes
    ----------
    recipe : dict or None
        What the first record says; None for a new file.

    Raises
    ------
    OutputError
        Where it cannot be written, is being written, or was not written by ``divfast generate``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix in (".gz", ".zst", ".xz", ".bz2"):
            raise OutputError(
                "a dump that is appended to cannot be compressed.",
                where=str(path),
                remedy=f"Name {path.with_suffix('').name}, and compress it afterwards.",
            )
        self._file = self._opened()
        self._held: dict[str, _Held] = {}
        self.recipe: dict[str, Any] | None = None
        # Every one that stands in the file, the last of them, and that of this run.
        self._recipes: list[Mapping[str, Any]] = []
        self._said: Mapping[str, Any] = {}
        self._now: Mapping[str, Any] = {}
        self._end = 0
        self._synced = time.monotonic()
        try:
            self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def held(self, id: str) -> int:
        """Return how many samples of a prompt there are."""
        return self._held[id].samples if id in self._held else 0

    def check_recipe(self, recipe: Mapping[str, Any], *, partly: bool = False) -> None:
        """Raise `OutputError` where the file was drawn in another way; `partly`: as far as `recipe` tells."""
        if self.recipe is None:
            return
        differ = list(_differences(recipe, self.recipe, partly))
        if differ:
            raise OutputError(
                f"was drawn with {', and '.join(f'{name} {then}, not {now}' for name, now, then in differ)}.",
                where=str(self.path),
                remedy=f"Say {' and '.join(f'{name} {then}' for name, _, then in differ)} to go on with it, or name "
                "another file.",
            )

    def check_prompts(self, prompts: Iterable[Prompt], k: int) -> None:
        """Raise `OutputError` where it holds other prompts, or more samples of one than `k`."""
        missing = dict(self._held)
        for prompt in prompts:
            held = missing.pop(prompt.id, None)
            if held is None:
                continue
            if held.samples > k:
                self._refuse(
                    f"holds {held.samples} samples of the prompt {prompt.id!r}, more than {k}.",
                    f"Say -k {held.samples} or more, or name another file.",
                )
            record = self._record(*held.lines[0])
            for name, value in prompt_columns(prompt).items():
                if record.get(name) != value:
                    self._refuse(
                        f"holds another {name} under the id {prompt.id!r} than the prompts that are given.",
                        "Give the prompts that it was drawn from, or name another file.",
                    )
        if missing:
            many = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            self._refuse(
                f"holds samples of the prompt {next(iter(missing))!r}{many}, which is not among those that are given.",
                "Give the prompts that it was drawn from, or name another file.",
            )

    def start(self, recipe: Mapping[str, Any]) -> None:
        """Say how what is appended from now on is drawn; stands in the next record where it is something new."""
        self.check_recipe(recipe)
        self._now = dict(recipe)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write the samples of one prompt, or further ones.

        Raises
        ------
        OutputError
            Where there is no room; what was there stays.
        """
        is_new = self.recipe is None or _varying(self._now) != _varying(self._said)
        line = _line({"generation": self._now, **record} if is_new else record)
        start, stop = self._end, self._end + len(line)
        try:
            _write(self._file, line)
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                self._sync()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise OutputError(
                f"cannot be written: {os_reason(error)}.",
                where=str(self.path),
                remedy="What is in it stays; free some room and run the same command again.",
            ) from None
        self._end = stop
        self._note(record["input_id"], len(record["outputs"]), start, stop)
        if is_new:
            self._note_recipe(self._now)

    def finish(self, k: int) -> None:
        """Bring the samples of every prompt together on one line, where they stand on several.

        The new file is there whole or not at all; until then the old one is.
        """
        self._sync()
        if self.recipe is None:
            return
        if self.recipe.get("k") == k and all(len(held.lines) == 1 for held in self._held.values()):
            return
        # Where the path is a link, what it leads to.
        write_whole({self.path.resolve(): lambda path: self._write_joined(path, k)})

    def close(self) -> None:
        """Close the file; one that holds nothing is removed."""
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            self._sync()
            if self._end == 0 and self._is_there(self._file):
                self.path.unlink()
        os.close(self._file)
        self._file = -1

    def _opened(self) -> int:
        """Open and lock the file; the lock goes with the process, whatever ends it."""
        while True:
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            except OSError as error:
                self._refuse_os(error)
            try:
                # Not flock: a process that was forked would go on to hold it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_there(file):
                    return file
            except (BlockingIOError, PermissionError):
                os.close(file)
                self._refuse("is being written by another run.", "Wait for it, or name another file.")
            except OSError as error:
                os.close(file)
                self._refuse_os(error)
            # Replaced by another run between opening and locking.
            os.close(file)

    def _is_there(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            return False

    def _refuse_os(self, error: OSError) -> NoReturn:
        remedy = "Name another file with -o."
        if isinstance(error, FileNotFoundError):
            remedy = f"Make the folder {self.path.parent}, or name another file with -o."
        raise OutputError(
            f"cannot be written: {os_reason(error)}.", where=str(self.path), remedy=remedy
        ) from None

    def _refuse(self, what: str, remedy: str) -> NoReturn:
        raise OutputError(what, where=str(self.path), remedy=remedy)

    def _read(self) -> None:
        """Take note of what is there, and cut off a line that was not written whole."""
        number = 0
        rest = b""
        for line, start, stop in self._lines():
            if not line.endswith(b"\n"):
                rest = line
                break
            number += 1
            self._take(line, number, start, stop)
        if rest:
            self._mend(rest, number + 1)
        real = self.path.resolve()
        for name in real.parent.glob(f".{real.name}.*.tmp"):
            # Left by a run that was killed while it brought lines together.
            name.unlink(missing_ok=True)

    def _lines(self) -> Iterable[tuple[bytes, int, int]]:
        pending, start, at = b"", 0, 0
        while piece := os.pread(self._file, _PIECE, at):
            at += len(piece)
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                stop = start + len(line) + 1
                yield line + b"\n", start, stop
                start = stop
        if pending:
            yield pending, start, at

    def _take(self, line: bytes, number: int, start: int, stop: int) -> None:
        try:
            record = json.loads(line)
            id, samples = record["input_id"], len(record["outputs"])
            recipe = record.get("generation")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            if number == 1:
                self._not_ours()
            raise DataError(
                "is damaged: the line is no record of a dump.",
                where=f"{self.path}:{number}",
                remedy="Take the line out to draw its prompt again, or name another file.",
            ) from None
        if number == 1 and not isinstance(recipe, dict):
            self._not_ours()
        if isinstance(recipe, dict):
            self._note_recipe(recipe)
        self._end = stop
        self._note(id, samples, start, stop)

    def _mend(self, rest: bytes, number: int) -> None:
        """Cut off the beginning of a line, or end one that lacks its end alone."""
        if number == 1 and not (rest.startswith(_BEGINS) or _BEGINS.startswith(rest)):
            self._not_ours()
        try:
            json.loads(rest)
            whole = True
        except (ValueError, RecursionError):
            whole = False
        try:
            if whole:
                _write(self._file, b"\n")
                self._take(rest + b"\n", number, self._end, self._end + len(rest) + 1)
            else:
                os.ftruncate(self._file, self._end)
        except OSError as error:
            self._refuse_os(error)

    def _not_ours(self) -> NoReturn:
        self._refuse(
            "is there already and was not written by divfast generate.", "Name another file with -o."
        )

    def _note_recipe(self, recipe: Mapping[str, Any]) -> None:
        self.recipe = self.recipe or dict(recipe)
        self._said = recipe
        self._recipes.append(recipe)

    def _note(self, id: str, samples: int, start: int, stop: int) -> None:
        held = self._held.setdefault(id, _Held())
        held.samples += samples
        held.lines.append((start, stop))

    def _record(self, start: int, stop: int) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(os.pread(self._file, stop - start, start))
        return record

    def _write_joined(self, path: Path, k: int) -> None:
        recipe = {**(self.recipe or {}), "k": k}
        later = [*recipe.get("later", ()), *(_varying(one) for one in self._recipes[1:])]
        if later:
            recipe["later"] = later
        with path.open("wb") as file:
            for at, held in enumerate(self._held.values()):
                records = [self._record(*line) for line in held.lines]
                joined = _joined(records)
                joined.pop("generation", None)
                file.write(_line({"generation": recipe, **joined} if at == 0 else joined))

    def _sync(self) -> None:
        os.fsync(self._file)
        self._synced = time.monotonic()


_BEGINS = b'{"generation": '


def prompt_columns(prompt: Prompt) -> dict[str, Any]:
    """Return what a record says of its prompt, beside the id."""
    said: dict[str, Any] = {"prompt": prompt.text}
    if prompt.messages is not None:
        said["messages"] = prompt.messages
    return said | dict(prompt.columns)


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(plain(record), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _joined(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one record of several of a prompt, their samples in order."""
    first = dict(records[0])
    for name in LISTS:
        if any(name in record for record in records):
            first[name] = [
                value for record in records for value in record.get(name, [None] * len(record["outputs"]))
            ]
    return first


def _varying(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a run may differ from that of an earlier one in the same file."""
    return {name: recipe[name] for name in ("versions", "run") if name in recipe}


def _differences(
    now: Mapping[str, Any], then: Mapping[str, Any], partly: bool, within: bool = False
) -> Iterable[tuple[str, str, str]]:
    """Yield name, value now and value then of what differs."""
    for name, value in now.items():
        old = then.get(name)
        if not within and name in _CHANGES_NOTHING:
            continue
        value = plain(value)
        if isinstance(value, dict) and isinstance(old, dict):
            gone = {} if partly else {name: None for name in old if name not in value}
            yield from _differences(value | gone, old, partly, within=True)
        elif value != old:
            words = [
                json.dumps(one, ensure_ascii=False) if one is not None else "none" for one in (value, old)
            ]
            yield name, words[0], words[1]
