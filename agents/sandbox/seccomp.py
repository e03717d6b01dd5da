"""The system calls that code in the sandbox may not make, as a program for the kernel's packet filter.

Assembled here, by a few lines, rather than with libseccomp: its Python binding is for the system's Python
alone, and a filter that some machines lack would be a sandbox that some machines lack.
"""

import errno
import os
import struct
from dataclasses import dataclass

# Offsets in the kernel's struct seccomp_data: the low halves of the arguments.
_NUMBER, _MACHINE, _FIRST, _SECOND = 0, 4, 16, 24

_LOAD = 0x20  # a word at an offset
_EQUALS = 0x15
_AT_LEAST = 0x35
_HAS_ANY = 0x45  # of these bits
_RETURN = 0x06

_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_MISSING = 0x00050000 | errno.ENOSYS
_KILL = 0x80000000

_X32_BIT = 0x40000000
_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag
_TERMINAL_CALLS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing for somebody else
SOCKET_FAMILIES = (1, 2, 10)  # Unix, and IP, which leads nowhere without a network

# Numbers on x86-64 and on 64-bit ARM; None: it has no such call.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # Memory that no process holds, which only control groups would count.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "personality": (135, 92),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fsconfig": (431, 431),
    "fspick": (433, 433),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "mount_setattr": (442, 442),
    "vmsplice": (278, 75),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "vhangup": (153, 58),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
}


@dataclass(frozen=True)
class _Machine:
    audit: int
    column: int
    clone: int
    clone3: int
    ioctl: int
    socket: int


_MACHINES = {
    "x86_64": _Machine(audit=0xC000003E, column=0, clone=56, clone3=435, ioctl=16, socket=41),
    "aarch64": _Machine(audit=0xC00000B7, column=1, clone=220, clone3=435, ioctl=29, socket=198),
}


class UnknownMachine(Exception):
    """The numbers of this machine's system calls are not known here."""


def program(
    machine: str | None = None,
    *,
    families: tuple[int, ...] = SOCKET_FAMILIES,
    allowed: tuple[str, ...] = (),
) -> bytes:
    """The filter as the kernel and bubblewrap read it. Only sockets of these `families` can be made;
    `allowed` names calls that are let through all the same. Raises UnknownMachine.

    Calls in another machine's numbering end the process. clone3 is missing rather than refused: libc then
    uses clone, whose flags can be looked at.
    """
    name = machine or os.uname().machine
    if name not in _MACHINES:
        known = ", ".join(_MACHINES)
        raise UnknownMachine(f"There is no filter of system calls for {name}, only for {known}.")
    about = _MACHINES[name]
    lines = [
        _line(_LOAD, _MACHINE),
        *_unless_equal(about.audit, _KILL),
        _line(_LOAD, _NUMBER),
    ]
    if name == "x86_64":
        lines += [_line(_AT_LEAST, _X32_BIT, otherwise=1), _line(_RETURN, _KILL)]
    lines += _if_equal(about.clone3, _MISSING)
    for call, numbers in _REFUSED.items():
        if call not in allowed and (number := numbers[about.column]) is not None:
            lines += _if_equal(number, _REFUSE)
    lines += _section(about.clone, [_line(_LOAD, _FIRST), *_if_any(_NAMESPACES, _REFUSE)])
    terminal = [line for call in _TERMINAL_CALLS for line in _if_equal(call, _REFUSE)]
    lines += _section(about.ioctl, [_line(_LOAD, _SECOND), *terminal])
    kinds = [line for family in families for line in _if_equal(family, _ALLOW)]
    lines += _section(about.socket, [_line(_LOAD, _FIRST), *kinds, _line(_RETURN, _REFUSE)])
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def number(name: str, machine: str) -> int | None:
    """Of a system call; None where the machine has no such call. Raises KeyError for one not named here."""
    about = _MACHINES[machine]
    apart = {"clone": about.clone, "clone3": about.clone3, "ioctl": about.ioctl, "socket": about.socket}
    return apart[name] if name in apart else _REFUSED[name][about.column]


def _line(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; a test skips that many of the next ones."""
    return struct.pack("=HBBI", code, then, otherwise, value)


def _if_equal(value: int, verdict: int) -> list[bytes]:
    return [_line(_EQUALS, value, otherwise=1), _line(_RETURN, verdict)]


def _unless_equal(value: int, verdict: int) -> list[bytes]:
    return [_line(_EQUALS, value, then=1), _line(_RETURN, verdict)]


def _if_any(bits: int, verdict: int) -> list[bytes]:
    return [_line(_HAS_ANY, bits, otherwise=1), _line(_RETURN, verdict)]


def _section(number: int, lines: list[bytes]) -> list[bytes]:
    """Lines for one system call; it is allowed where they come to no verdict."""
    body = [*lines, _line(_RETURN, _ALLOW)]
    return [_line(_EQUALS, number, otherwise=len(body)), *body]
