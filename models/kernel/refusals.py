"""What secret memory refuses: system calls on a secret file or mapping, and their answers [6.1.170, 6.1.192; measured].

Calls that change state (memfd_secret, ftruncate, mmap, faults) are methods of the kernel's face; here are the rest.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping as Table
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from models.kernel.limits import Accounting

if TYPE_CHECKING:
    from models.kernel.entities import Mapping, Task
    from models.kernel.kernel import Kernel

__all__ = ["ANSWERS", "attempt", "hibernate", "mremap"]

_Answers = Table[Accounting, int]


def _always(number: int) -> _Answers:
    return {"per_mm": number, "per_user": number}


ANSWERS: Final[Table[str, _Answers]] = MappingProxyType(
    {
        "read": _always(errno.EINVAL),
        "write": _always(errno.EINVAL),
        "pread": _always(errno.ESPIPE),
        "lseek": _always(errno.ESPIPE),
        "fallocate": _always(errno.EOPNOTSUPP),
        "vmsplice": _always(errno.EFAULT),  # get_user_pages, as direct I/O and ptrace use it
        "process_vm_readv": _always(errno.EFAULT),
        "read /proc/self/mem": _always(errno.EIO),
        "mlock": _always(errno.ENOMEM),
        "munlock": _always(0),
        "madvise MADV_DONTNEED": {"per_mm": errno.EINVAL, "per_user": 0},  # the data stays: the file has it
        "madvise MADV_REMOVE": {"per_mm": errno.EINVAL, "per_user": errno.EOPNOTSUPP},
        "open /proc/self/fd": _always(errno.ENXIO),
    }
)
"""Error number of each call by accounting, which tells the version; 0: it succeeds and changes nothing.

Under `per_mm` a secret mapping is VM_LOCKED, hence the difference of `madvise`.
"""


def attempt(kernel: Kernel, call: str) -> None:
    """Make a call of `ANSWERS` on secret memory; nothing changes.

    Raises:
        KernelRefusal: as the table says.
        KeyError: the call is not in the table.
    """
    number = ANSWERS[call][kernel.limits.accounting]
    kernel.spent_ns += kernel.costs.ns("null_syscall")
    if number:
        raise kernel.limits.refuse(number, f"{call} on secret memory")


def mremap(kernel: Kernel, task: Task, mapping: Mapping, pages: int) -> None:
    """Make a secret mapping longer; where it then lies is left out, so that its page tables stay.

    Raises:
        KernelRefusal: EINVAL for a shorter one, which this model leaves out; EAGAIN over RLIMIT_MEMLOCK (`per_mm`).
    """
    more = pages - mapping.pages
    if more < 0:
        raise kernel.limits.refuse(errno.EINVAL, f"a mapping of {mapping.pages} pages to {pages}")
    kernel.spent_ns += kernel.costs.ns("mmap")
    if mapping.locked:
        kernel.limits.check_mapping(task.user, task.locked_pages, more)
        task.locked_pages += more
    mapping.pages = pages


def hibernate(kernel: Kernel) -> None:
    """Write memory to disk; refused while there is a secret file.

    Raises:
        KernelRefusal: EPERM [6.1 kernel/power/hibernate.c, unverified].
    """
    if kernel.open_files:
        raise kernel.limits.refuse(errno.EPERM, f"{kernel.open_files} secret files are open")
