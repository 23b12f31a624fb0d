"""A filter of system calls (seccomp) that takes away what no program that is judged has a use for."""

from __future__ import annotations

import platform
import struct

# Numbers on x86-64 and on 64-bit ARM. What makes namespaces or mounts, looks into other processes, changes how they are
# run, or holds memory that no limit counts; and large rooms of the kernel that have often been the way out.
_DENIED = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "fsopen": (430, 430),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "semget": (64, 190),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "shmget": (29, 194),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
# Where nothing else keeps a program from them: signals to others, and the network.
_DENIED_OUTSIDE = {"kill": (62, 129), "pidfd_send_signal": (424, 424), "socket": (41, 198)}
_CLONE, _CLONE3, _PRLIMIT, _SOCKET, _SETSOCKOPT = (56, 220), (435, 435), (302, 261), (41, 198), (54, 208)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_NEW_NAMESPACES = 0x7E020080
# Local, and both of the internet: not the virtual machine's own line to its host, which has no namespaces.
_FAMILIES = (1, 2, 10)
# Of SOL_SOCKET: the rooms of a socket, which count as nobody's memory; SO_SNDBUF, SO_RCVBUF, and both by force.
_SOCKET_LEVEL, _ROOMS = 1, (7, 8, 32, 33)

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _SECOND_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 24, 32
_ALLOW, _KILL, _REFUSE, _NOT_THERE = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def make_filter(*, outside: bool) -> bytes:
    """Return the instructions of a filter for this machine, none where its numbers are not known.

    Parameters
    ----------
    outside : bool
        Whether the program is in no namespace of its own, so that the filter also holds off signals to other processes
        and the network.
    """
    if platform.machine() not in _MACHINES:
        return b""
    column, machine = _MACHINES[platform.machine()]
    denied = {**_DENIED, **(_DENIED_OUTSIDE if outside else {})}
    code = [
        _step(_LOAD, _MACHINE),
        _step(_EQUAL, machine, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
    ]
    if column == 0:
        # The same calls under other numbers.
        code += [_step(_AT_LEAST, 0x40000000, 0, 1), _step(_RETURN, _REFUSE)]
    for number in sorted(numbers[column] for numbers in denied.values()):
        code += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _REFUSE)]
    # Its flags are out of reach, and the C library then takes the other.
    code += [_step(_EQUAL, _CLONE3[column], 0, 1), _step(_RETURN, _NOT_THERE)]
    code += [
        _step(_EQUAL, _CLONE[column], 0, 4),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        _step(_RETURN, _REFUSE),
        _step(_RETURN, _ALLOW),
    ]
    # The limits of another process.
    code += [
        _step(_EQUAL, _PRLIMIT[column], 0, 4),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_EQUAL, 0, 1, 0),
        _step(_RETURN, _REFUSE),
        _step(_RETURN, _ALLOW),
    ]
    refused = [step for room in _ROOMS for step in (_step(_EQUAL, room, 0, 1), _step(_RETURN, _REFUSE))]
    rooms = [
        _step(_LOAD, _SECOND_ARGUMENT),
        _step(_EQUAL, _SOCKET_LEVEL, 0, len(refused) + 1),
        _step(_LOAD, _THIRD_ARGUMENT),
        *refused,
        _step(_RETURN, _ALLOW),
    ]
    code += [_step(_EQUAL, _SETSOCKOPT[column], 0, len(rooms)), *rooms]
    code += [_step(_EQUAL, _SOCKET[column], 1, 0), _step(_RETURN, _ALLOW), _step(_LOAD, _FIRST_ARGUMENT)]
    for family in _FAMILIES:
        code += [_step(_EQUAL, family, 0, 1), _step(_RETURN, _ALLOW)]
    return b"".join([*code, _step(_RETURN, _REFUSE)])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
