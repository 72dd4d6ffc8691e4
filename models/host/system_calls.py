"""The system calls of a live run that Python does not offer: `memfd_secret` and two of `prctl`."""

from __future__ import annotations

import ctypes
import os
import platform
import signal

__all__ = ["MAP_NORESERVE", "MEMFD_SECRET", "UnsupportedSystemError", "die_with_parent", "memfd_secret"]

MEMFD_SECRET = 447
"""The same number on every architecture that has it (x86-64, arm64, riscv)."""
MAP_NORESERVE = 0x4000
"""Flag of mmap; Python has it from 3.13 on."""
_PR_SET_PDEATHSIG = 1
_ARCHITECTURES = {"x86_64", "aarch64", "riscv64"}
_libc = ctypes.CDLL(None, use_errno=True)


class UnsupportedSystemError(OSError):
    """This is no machine with `memfd_secret`."""


def memfd_secret(flags: int = os.O_CLOEXEC) -> int:
    """Return the descriptor of a new secret file.

    Raises:
        OSError: The kernel refuses: ENOSYS without or with disabled secretmem, EMFILE, EPERM under seccomp.
        UnsupportedSystemError: Another operating system or architecture.
    """
    if platform.system() != "Linux" or platform.machine() not in _ARCHITECTURES:
        raise UnsupportedSystemError(f"memfd_secret: no such call on {platform.system()} {platform.machine()}")
    descriptor = int(_libc.syscall(ctypes.c_long(MEMFD_SECRET), ctypes.c_uint(flags)))
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, and end at once if it has already."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
