"""Namespaces of its own for a command: what bubblewrap does, for where it is not installed.

It is run as a script and imports the standard library alone. Root makes the namespaces as it is, everyone else inside a
user namespace, in which they may. The command sees the folders that it is given, read-only, and a scratch folder in
memory; no network, no process and no user but its own.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import sys
from typing import Any

_NEW_NAMESPACE = 0x00020000
_NEW_USER = 0x10000000
# Mounts, control groups, host name, interprocess communication, processes, network.
_NEW_ALL = _NEW_NAMESPACE | 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
# What a mount in a user namespace must keep, by its name in mountinfo.
_KEPT = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
_STRICT_TIME = 1 << 24
_DETACH = 2
_OLD = "/.old"
_NOBODY = 65534
_DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def main(argument: str) -> None:
    """Isolate this process and run the command; its argument says which user it is to become."""
    spec = json.loads(argument)
    os.umask(0o022)
    privileged = _unshare()
    child = os.fork()
    if child:
        os.close(0)
        os.close(1)
        os._exit(0 if os.waitpid(child, 0)[1] == 0 else 1)
    _mount("", "/", flags=_RECURSIVE | _PRIVATE)
    _enter_root(spec)
    options = {**spec["options"], "user": spec["options"]["user"] if privileged else None}
    os.umask(0o077)
    # Not root any more in a user namespace: what is executed has no capabilities.
    os.execv(spec["command"][0], [*spec["command"], json.dumps(options)])


def _unshare() -> bool:
    """Leave the namespaces of the host; whether this took no user namespace."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_ALL) == 0:
        return True
    if ctypes.get_errno() != errno.EPERM:
        _fail("unshare")
    if _libc.unshare(_NEW_ALL | _NEW_USER) != 0:
        _fail("user namespaces")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{_NOBODY} {user} 1"),
        ("gid_map", f"{_NOBODY} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    return False


def _enter_root(spec: dict[str, Any]) -> None:
    """Make a file system in memory, put into it what is to be seen, and leave the old one."""
    root = "/tmp"
    _mount("tmpfs", root, "tmpfs", _NO_SUID | _NO_DEVICES, "mode=0755,size=1m")
    os.mkdir(root + _OLD)
    if _libc.syscall(_pivot_root(), root.encode(), (root + _OLD).encode()) != 0:
        _fail("pivot_root")
    os.chdir("/")
    for path in spec["visible"]:
        _show(path)
    for path, target in spec["links"].items():
        os.symlink(target, path)
    _show(spec["script"][0], spec["script"][1])
    os.mkdir("/dev")
    for name in _DEVICES:
        _show(f"/dev/{name}", device=True)
    os.symlink(spec["options"]["scratch"], "/dev/shm")
    os.makedirs(spec["options"]["scratch"])
    _mount(
        "tmpfs",
        spec["options"]["scratch"],
        "tmpfs",
        _NO_SUID | _NO_DEVICES,
        f"mode=1777,size={spec['scratch_bytes']},nr_inodes={spec['scratch_files']}",
    )
    if _libc.umount2(_OLD.encode(), _DETACH) != 0:
        _fail("umount")
    os.rmdir(_OLD)
    _mount("tmpfs", "/", flags=_REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)
    os.chdir(spec["options"]["scratch"])


def _show(path: str, at: str | None = None, device: bool = False) -> None:
    """Let a folder or a file of the old root be seen, read-only, with all that is mounted below it."""
    at = at or path
    if os.path.isdir(_OLD + path):
        os.makedirs(at, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(at), exist_ok=True)
        with open(at, "x", encoding="utf-8"):
            pass
    _mount(_OLD + path, at, flags=_BIND | _RECURSIVE)
    with open(f"{_OLD}/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = [line.split(" ") for line in file]
    for fields in mounts:
        point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), fields[4])
        if point == at or point.startswith(at.rstrip("/") + "/"):
            words = fields[5].split(",")
            flags = _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | (0 if device else _NO_DEVICES)
            for word, flag in _KEPT.items():
                flags |= flag if word in words and not (device and word == "nodev") else 0
            if not {"relatime", "noatime"} & set(words):
                flags |= _STRICT_TIME
            _mount("", point, flags=flags)


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    words = [os.fsencode(word) or None for word in (source, target, kind)]
    if _libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None) != 0:
        _fail(f"mount of {target}")


def _pivot_root() -> int:
    # The C library has no function for it.
    return {"x86_64": 155, "aarch64": 41}.get(os.uname().machine, 41)


def _fail(what: str) -> None:
    error = ctypes.get_errno()
    raise OSError(error, f"{what}: {os.strerror(error).lower()}")


if __name__ == "__main__":
    main(sys.argv[1])
