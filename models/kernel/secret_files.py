"""System calls on secret files: memfd_secret, ftruncate, close."""

from __future__ import annotations

import errno
from typing import Final

from models.kernel.core import Core
from models.kernel.descriptors import fdtable_orders, max_fds
from models.kernel.entities import SecretFile, Task

__all__ = ["O_CLOEXEC", "SecretFiles"]

O_CLOEXEC: Final = 0o2000000


class SecretFiles(Core):
    """A kernel that has secret files."""

    def memfd_secret(self, task: Task, cpu: int, flags: int = 0) -> SecretFile:
        """Open a secret file of length 0.

        Raises:
            KernelRefusal: ENOSYS when there is no secret memory; EINVAL for unknown flags; EMFILE; ENOMEM.
        """
        self.spent_ns += self._ns["memfd_secret"]
        if not self.secretmem_enabled:
            raise self.limits.refuse(errno.ENOSYS, "secret memory is switched off, or this machine cannot have any")
        if flags & ~O_CLOEXEC:
            raise self.limits.refuse(errno.EINVAL, f"flags {flags:#x}: only O_CLOEXEC is allowed")
        self.limits.check_file(task.user, len(task.files))
        self.limits.check_system_call()
        if task.descriptors + len(task.files) >= task.max_fds:
            self._expand_fdtable(task, cpu)
        file = SecretFile(self.new_holder(), task.user)
        try:
            self.policy.open(file)
            conditions = 0 if file.pool is None else self.programs.flag("pool")
            if not self.run("memfd_secret", file.holder, cpu, conditions):
                raise self.limits.refuse(errno.ENOMEM, "no memory for an inode")
        except Exception:
            self.run("close_file", file.holder, cpu)
            self.drop_holder(file.holder)
            raise
        self._open_files[0] += 1
        task.files.append(file)
        return file

    def _expand_fdtable(self, task: Task, cpu: int) -> None:
        """Give a task a larger table of descriptors, with room for the next one; it never becomes smaller."""
        task.max_fds = max_fds(task.descriptors + len(task.files))
        self.run("drop_fdtable", task.holder, cpu)
        self.run("expand_fdtable", task.holder, cpu, self.programs.flag(f"fdtable_of_{task.max_fds}"))
        for part, order in zip(("fdtable_array", "fdtable_bitmaps"), fdtable_orders(task.max_fds), strict=False):
            self.run(part, task.holder, cpu, order=order)

    def ftruncate(self, file: SecretFile, size_pages: int) -> None:
        """Set a file's length, once; a length of 0 may be set as long as it has none.

        Raises:
            KernelRefusal: EINVAL when it has one already.
        """
        self.spent_ns += self._ns["ftruncate"]
        if file.size_pages or size_pages < 0:
            raise self.limits.refuse(errno.EINVAL, f"the file has {file.size_pages} pages and keeps them")
        file.size_pages = size_pages

    def truncates(self, file: SecretFile, cpu: int) -> bool:
        """Begin to give back the pages of a file that is about to be closed, up to where the kernel may give way.

        Returns:
            Whether to call this again before `close`.
        """
        return file.references == 1 and self.policy.release_part(cpu, file)

    def close(self, task: Task, file: SecretFile, cpu: int) -> None:
        """Close a file; with its last descriptor and mapping gone, its pages are given back."""
        self.spent_ns += self._ns["close"]
        task.files.remove(file)
        self._drop(file, cpu)

    def _drop(self, file: SecretFile, cpu: int) -> None:
        file.references -= 1
        if file.references:
            return
        pooled, after_ns = file.pool is not None, 0
        if pooled:
            # Truncation asks whether to give way up to its end; then nodes wait for a grace period.
            truncated_ns = int(self.state.costs[0]["truncate_page"]) * file.present
            self.run("truncate_file", file.holder, cpu, after_ns=truncated_ns)
            self.busy_from_ns = self.now_ns + truncated_ns
        self.policy.release(cpu, file)
        self.merging.changed(cpu)
        if pooled:
            # Chunks take long to give back. To free their bitmaps then asks whether to give way (`gen_pool_destroy`),
            # before the rest of the file waits for a grace period, and before all else that the call takes time for.
            after_ns = int(self.state.charge[0]["cpu_ns"])
            self.busy_until_ns = self.now_ns + after_ns
            after_ns += 1
        self.run("close_file", file.holder, cpu, after_ns=after_ns)
        self.charge_pages(file, -file.present)
        file.present = 0
        self._open_files[0] -= 1
        self.drop_holder(file.holder)
        file.holder = 0

    def charge_pages(self, file: SecretFile, pages: int) -> None:
        """Charge pages of a file to its user, to all secret memory, and, where the policy does, to the user's group.

        Args:
            pages: negative: give back.
        """
        file.user.charge(pages)
        self.limits.reserved_pages += pages
        if file.user.group is not None and self.policy.group_charge == "page":
            file.user.group.charge(pages)
