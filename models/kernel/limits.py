"""Limits on secret memory and on those who take it: per process, per user, per group, machine-wide.

Accounting `per_mm` (5.14 to early 2026) charges the length of a mapping to the process at `mmap`; `per_user` (the
2026 fix) charges each page to the user at the fault, until the file is released. Sources: facts of the secretmem
code in 6.1.170 and 6.1.192.
"""

import errno
from dataclasses import dataclass, field
from typing import Literal

from models.kernel.errors import KernelRefusal

__all__ = ["Accounting", "Group", "Limits", "User"]

Accounting = Literal["per_mm", "per_user"]
UNLIMITED = 1 << 62


@dataclass(slots=True)
class Group:
    """A memory control group; pages count against it and against its parents.

    Attributes:
        limit_pages: most pages that its tasks may hold together.
        parent: the group around it.
        pages: pages charged now.
        peak_pages: most pages charged so far.
        failures: charges refused so far.
        kills: tasks that its OOM killer has chosen.
    """

    name: str
    limit_pages: int = UNLIMITED
    parent: "Group | None" = None
    pages: int = 0
    peak_pages: int = 0
    failures: int = 0
    kills: int = 0

    def room_pages(self) -> int:
        """Pages that may still be charged, by this group and all around it."""
        room = self.limit_pages - self.pages
        return room if self.parent is None else min(room, self.parent.room_pages())

    def charge(self, pages: int) -> None:
        """Add pages (negative: give back), here and in all groups around."""
        self.pages += pages
        self.peak_pages = max(self.peak_pages, self.pages)
        if self.parent is not None:
            self.parent.charge(pages)

    def over_limit(self, pages: int = 1) -> "Group | None":
        """Group that cannot take more pages: this one or the nearest around it (`try_charge`); None: all can."""
        if self.limit_pages - self.pages < pages:
            return self
        return None if self.parent is None else self.parent.over_limit(pages)

    def lies_in(self, group: "Group") -> bool:
        """Whether this is the group or lies inside it."""
        return self is group or (self.parent is not None and self.parent.lies_in(group))


@dataclass(slots=True)
class User:
    """A user and the limits of their processes.

    Attributes:
        memlock_pages: RLIMIT_MEMLOCK in pages; 2,048 is the default from 5.16 on.
        processes_max: RLIMIT_NPROC.
        files_max: RLIMIT_NOFILE, per process.
        cap_ipc_lock: whether the user's processes may lock without limit.
        group: control group of the user's processes.
        processes: processes alive.
        secret_pages: secret pages of the user's files; `per_user` accounting holds them to RLIMIT_MEMLOCK.
        secret_pages_peak: most of them so far.
        workloads: workloads whose processes are the user's.
    """

    name: str
    memlock_pages: int = 2048
    processes_max: int = UNLIMITED
    files_max: int = 1024
    cap_ipc_lock: bool = False
    group: Group | None = None
    processes: int = 0
    secret_pages: int = 0
    secret_pages_peak: int = 0
    workloads: int = 0

    def charge(self, pages: int) -> None:
        """Add secret pages (negative: give back)."""
        self.secret_pages += pages
        self.secret_pages_peak = max(self.secret_pages_peak, self.secret_pages)


@dataclass(slots=True)
class Limits:
    """How secret memory is accounted for, and the machine-wide cap.

    Attributes:
        accounting: `per_mm` or `per_user`.
        global_pages: cap on all secret pages of the machine, checked in the system call (Bottomley's proposal); None:
            no cap.
        cap_at_fault: whether the cap is checked at the fault as well: memfd_secret does not know how long a file will
            be, so the system call alone holds nothing [derived].
        kernel_memory: whether control groups are charged for kernel memory (False: ``cgroup.memory=nokmem``).
        reserved_pages: secret pages of the machine.
        refusals: how often each error was given.
    """

    accounting: Accounting = "per_mm"
    global_pages: int | None = None
    cap_at_fault: bool = True
    kernel_memory: bool = True
    reserved_pages: int = 0
    refusals: dict[str, int] = field(default_factory=dict)

    def refuse(self, number: int, reason: str) -> KernelRefusal:
        """Count a refusal and return it, to be raised."""
        refusal = KernelRefusal(number, reason)
        self.count(refusal.name)
        return refusal

    def count(self, name: str) -> None:
        """Count an error or signal by name."""
        self.refusals[name] = self.refusals.get(name, 0) + 1

    def check_process(self, user: User) -> None:
        """Refuse one more process beyond RLIMIT_NPROC.

        Raises:
            KernelRefusal: EAGAIN.
        """
        if user.processes >= user.processes_max:
            raise self.refuse(errno.EAGAIN, f"user {user.name} has {user.processes} processes, RLIMIT_NPROC")

    def check_file(self, user: User, open_files: int) -> None:
        """Refuse one more open file beyond RLIMIT_NOFILE.

        Raises:
            KernelRefusal: EMFILE.
        """
        if open_files >= user.files_max:
            raise self.refuse(errno.EMFILE, f"{open_files} files are open, RLIMIT_NOFILE")

    def check_system_call(self) -> None:
        """Refuse a new secret file when the machine-wide cap is used up.

        Raises:
            KernelRefusal: ENOMEM.
        """
        if self.global_pages is not None and self.reserved_pages >= self.global_pages:
            raise self.refuse(
                errno.ENOMEM, f"the machine's cap of {self.global_pages} secret pages is used up"
            )

    def check_mapping(self, user: User, locked_pages: int, pages: int) -> None:
        """Under `per_mm`, refuse a mapping that takes the process over RLIMIT_MEMLOCK.

        Raises:
            KernelRefusal: EAGAIN.
        """
        if (
            self.accounting == "per_mm"
            and not user.cap_ipc_lock
            and locked_pages + pages > user.memlock_pages
        ):
            raise self.refuse(
                errno.EAGAIN,
                f"{locked_pages + pages} locked pages are over RLIMIT_MEMLOCK ({user.memlock_pages})",
            )

    def fault_room_pages(self, user: User) -> int:
        """Pages that the user may still fault in, by accounting and by the machine-wide cap; then SIGBUS."""
        room = UNLIMITED
        if self.accounting == "per_user":
            room = user.memlock_pages - user.secret_pages
        if self.global_pages is not None and self.cap_at_fault:
            room = min(room, self.global_pages - self.reserved_pages)
        return max(0, room)
