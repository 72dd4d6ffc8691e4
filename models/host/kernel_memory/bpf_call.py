"""The system call `bpf`, and why a kernel refuses it."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

__all__ = ["KernelMemoryError", "bpf"]

_SYS_BPF: Final = {"x86_64": 321, "aarch64": 280}

_libc = ctypes.CDLL(None, use_errno=True)


class KernelMemoryError(Exception):
    """Kernel memory cannot be read; the text says why."""


def bpf(command: int, attributes: bytes, what: str) -> tuple[int, bytes]:
    """Call `bpf`, and return its answer and what became of the attributes.

    Raises:
        KernelMemoryError: The kernel refuses.
    """
    number = _SYS_BPF.get(os.uname().machine)
    if number is None:
        raise KernelMemoryError(f"{what}: not known how to call bpf on {os.uname().machine}")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    answer = int(_libc.syscall(number, command, buffer, len(attributes)))
    if answer < 0:
        code = ctypes.get_errno()
        raise KernelMemoryError(f"{what}: {_reason(code)}")
    return answer, buffer.raw


def _reason(code: int) -> str:
    if code in {errno.EPERM, errno.EACCES} and os.geteuid() != 0:
        return "not without root"
    hint = "; it takes Linux 5.19, and no lockdown for confidentiality" if code == errno.EINVAL else ""
    return os.strerror(code) + hint
