"""Faults: the first touch of secret and of ordinary pages, limits and control groups included; and pipes."""

from __future__ import annotations

from models.kernel.address_space import cover, touch_anon, touch_table
from models.kernel.entities import Mapping, Task
from models.kernel.errors import FaultResult
from models.kernel.mappings import Mappings
from models.kernel.pipes import drain_pipe, fill_pipe
from models.kernel.secretmem.base import Faults

__all__ = ["Faulting"]


class Faulting(Mappings):
    """A kernel that answers faults."""

    def fault(self, task: Task, mapping: Mapping, cpu: int, count: int = 1) -> Faults:
        """Touch the next pages of a mapping of a secret file, one fault each.

        Returns:
            Pages got, and how the last fault ended: SIGBUS beyond the file's end or over the limit, OOM without memory.
        """
        file = mapping.file
        assert file is not None
        done = 0
        there = min(count, min(file.present, mapping.pages) - mapping.touched)
        if there > 0:
            # The pages exist already, through another mapping: they are only mapped.
            for done in range(there):
                if not cover(self.handle, cpu, self.node_of[cpu], mapping.holder, mapping.touched):
                    return Faults(done, FaultResult.OOM)
                mapping.touched += 1
                self.spent_ns += self._ns["null_syscall"]
            done = there
        wanted = min(count - done, min(file.size_pages, mapping.pages) - mapping.touched)
        room = self.fault_room_pages(mapping, wanted)
        if room > 0:
            got = self.policy.fault(cpu, mapping, room)
            self.charge_pages(file, got.done)
            done += got.done
            if got.result is not FaultResult.DONE:
                return Faults(done, got.result)
        if done == count:
            return Faults(done, FaultResult.DONE)
        group = file.user.group
        if room < wanted and group is not None and self.limits.fault_room_pages(file.user) > 0:
            group.failures += 1
            return Faults(done, FaultResult.GROUP_OOM)
        self.limits.count("SIGBUS")
        return Faults(done, FaultResult.SIGBUS)

    def fault_room_pages(self, mapping: Mapping, wanted: int) -> int:
        """How many of the next pages of a secret mapping may be faulted in: by its length, the limits and the group."""
        file = mapping.file
        assert file is not None
        room = min(wanted, file.size_pages - mapping.touched, mapping.pages - mapping.touched)
        room = min(room, self.limits.fault_room_pages(file.user))
        if file.user.group is None or self.policy.group_charge != "page":
            return room
        return min(room, file.user.group.room_pages())

    def touch(self, task: Task, cpu: int, count: int = 1) -> Faults:
        """Touch new ordinary pages."""
        mapping = self.ordinary(task)
        room = self.ordinary_room_pages(task, count)
        done = int(touch_anon(self.handle, cpu, self.node_of[cpu], mapping.holder, room))
        mapping.touched += done
        self.charge_ordinary(task, mapping, done)
        if done == room < count:
            return Faults(done, FaultResult.GROUP_OOM)
        return Faults(done, FaultResult.DONE if done == count else FaultResult.OOM)

    def touch_tables(self, mapping: Mapping, cpu: int, count: int = 1) -> Faults:
        """Read one zero page at each of the next 2 MiB of a mapping: takes page tables alone."""
        done = int(touch_table(self.handle, cpu, self.node_of[cpu], mapping.holder, count))
        mapping.touched += done
        return Faults(done, FaultResult.DONE if done == count else FaultResult.OOM)

    def ordinary_room_pages(self, task: Task, wanted: int, *, tables: bool = False) -> int:
        """How many ordinary pages (or page tables) of those wanted the task's control group has room for."""
        group = task.user.group
        if group is None or (tables and not self.limits.kernel_memory):
            return wanted
        return min(wanted, group.room_pages())

    def charge_ordinary(self, task: Task, mapping: Mapping, pages: int, *, tables: bool = False) -> None:
        """Charge ordinary pages (or page tables) of a mapping to the task's control group."""
        group = task.user.group
        if group is not None and (self.limits.kernel_memory or not tables):
            group.charge(pages)
            mapping.charged_pages += pages

    def write_pipe(self, task: Task, cpu: int, pages: int) -> int:
        """Write to pipes, one unmovable page of buffer each; returns pages got."""
        if not task.pipes:
            task.pipes = self.new_holder()
        self.spent_ns += self._ns["null_syscall"] * pages
        return int(fill_pipe(self.handle, cpu, self.node_of[cpu], task.pipes, pages))

    def close_pipes(self, task: Task, cpu: int) -> None:
        """Close the pipes that a task has filled."""
        if task.pipes:
            drain_pipe(self.handle, cpu, task.pipes)
            self.drop_holder(task.pipes)
            task.pipes = 0
