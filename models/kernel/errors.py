"""What a system call or a fault of the simulated kernel answers when it refuses."""

import errno
from enum import Enum

__all__ = ["FaultResult", "KernelRefusal"]


class KernelRefusal(Exception):  # noqa: N818 - an answer of the simulated kernel, not a fault of the program
    """A system call failed.

    Attributes:
        errno: the kernel's error number.
        name: its name, for example ``EAGAIN``.
    """

    def __init__(self, number: int, reason: str) -> None:
        self.errno = number
        self.name = errno.errorcode[number]
        super().__init__(f"{self.name}: {reason}")


class FaultResult(Enum):
    """How a page fault ended."""

    DONE = "done"
    SIGBUS = "SIGBUS"
    """Beyond the file's end, or over the limit under `per_user` accounting."""
    OOM = "VM_FAULT_OOM"
    """No memory; what follows depends on the order that was asked for and on the kernel's version."""
    GROUP_OOM = "memcg OOM"
    """A memory control group is at its limit: its OOM killer ends a task of that group."""
