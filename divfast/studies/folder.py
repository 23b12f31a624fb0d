"""The folder of a study: one run at a time works in it, and clears away what killed ones left half written."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from divfast.errors import OutputError, os_reason
from divfast.locks import HeldError, open_alone

LOCK = ".study.lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")
_PRINT = "[0-9a-f]{16}"
# What a study writes into the folders in its folder, by their names.
_SCORED = re.compile(rf"digests\.json|({_PRINT}){{1,2}}-{_PRINT}\.parquet")
_VERIFIED = re.compile(r".+\.jsonl")


@contextlib.contextmanager
def alone_in(folder: Path, files: Iterable[str], remarks: list[str]) -> Iterator[None]:
    """Hold a folder, made where it is not there, and remove what runs that were killed left in it.

    Parameters
    ----------
    folder : Path
        The folder of a study.
    files : iterable of str
        Names of the files that a study writes into it.
    remarks : list of str
        Is told where the file system knows no locks, so that nothing is held and nothing removed.

    Raises
    ------
    OutputError
        Where another run holds it, or it cannot be written into.

    Notes
    -----
    Whoever writes into the folder of a study holds it, so a file under one of the temporary names that a study gives,
    seen while it is held, is nobody's. The lock is that of the operating system on a hidden file: it goes with the
    process, and a file that a killed run left is no lock.
    """
    made = not folder.exists()
    path = folder / LOCK
    held = -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = open_alone(path)
    except HeldError:
        raise OutputError(
            f"another run of divfast study is at work in this folder{_told_by(path)}.",
            where=str(folder),
            remedy="Wait for it: the next run takes up all that it has done; or name another folder with -o.",
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OutputError(
                f"cannot be made or written into: {os_reason(error)}.",
                where=str(folder),
                remedy="Name another folder with -o.",
            ) from None
        path.unlink(missing_ok=True)
        remarks.append(f"{folder} cannot be locked: let no other study write into it meanwhile.")
    try:
        if held >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(held, 0)
                os.write(held, f"process {os.getpid()} on {platform.node()}".encode())
            for name in _left_behind(folder, frozenset(files)):
                with contextlib.suppress(OSError):
                    name.unlink()
        yield
    finally:
        with contextlib.suppress(OSError):
            if held >= 0:
                path.unlink(missing_ok=True)
            if made:
                # Only where nothing was written.
                folder.rmdir()
        if held >= 0:
            os.close(held)


def _told_by(path: Path) -> str:
    """Return what the one who holds a folder says of itself."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        found = path.read_text("utf-8")
        return f" ({found})" if found else ""
    return ""


def _left_behind(folder: Path, files: frozenset[str]) -> Iterator[Path]:
    """Yield the files under temporary names that a study gives, and no others."""
    for path in _hidden(folder):
        if _named(path) in files:
            yield path
    for path in _hidden(folder / "scored"):
        if _SCORED.fullmatch(_named(path)):
            yield path
    for inner in _entries(folder / "verified"):
        if re.fullmatch(_PRINT, inner.name):
            for path in _hidden(inner):
                if _VERIFIED.fullmatch(_named(path)):
                    yield path


def _named(path: Path) -> str:
    """Return the name that a file under a temporary one was to have, empty where it is none."""
    found = _TEMPORARY.fullmatch(path.name)
    return found[1] if found else ""


def _hidden(folder: Path) -> list[Path]:
    return [
        path
        for path in _entries(folder)
        if path.name.startswith(".") and path.is_file() and not path.is_symlink()
    ]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
