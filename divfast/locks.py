"""Files that one process at a time has open; the lock goes with the process, whatever ends it."""

from __future__ import annotations

import os
from pathlib import Path


class HeldError(Exception):
    """Another process has the file open."""


def open_alone(path: Path) -> int:
    """Open a file for reading and appending that no other process has open in this way; made where it is not there.

    Parameters
    ----------
    path : Path
        The file. Whoever has it open may replace or remove it: then what is at `path` now is opened.

    Returns
    -------
    int
        A file descriptor. The lock is gone once this process closes it, or any other descriptor of the file.

    Raises
    ------
    HeldError
        Where another process has it.
    OSError
        Where it cannot be opened, or the file system knows no locks.
    """
    import fcntl

    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            # Not flock: a process that was forked would go on to hold it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(file)
            raise HeldError(str(path)) from None
        except OSError:
            os.close(file)
            raise
        if is_at(file, path):
            return file
        # Replaced or removed by another process between opening and locking.
        os.close(file)


def is_at(file: int, path: Path) -> bool:
    """Return whether an open file is what is at a path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
