"""Ranges of pages that threads fault in: what has been got of each is told to the kernel's accounts in time."""

from __future__ import annotations

from dataclasses import dataclass

from models.kernel.entities import Mapping, Task
from models.kernel.kernel import Kernel
from models.workloads.burst import SECRET, TABLE, begin_range, cut_ranges, end_range, take_done
from models.workloads.clocks import Clocks
from models.workloads.operations import Operations
from simcore.environment import Environment

__all__ = ["FaultRanges"]


@dataclass(slots=True)
class _Range:
    task: Task
    mapping: Mapping
    kind: int
    promised: int
    """Pages that the limits have room for and that have not been charged yet."""


class FaultRanges:
    """Ranges in progress, by CPU.

    Compiled code goes through a range without telling anybody; limits, mappings and files learn of it when the range
    ends, or earlier if somebody is about to look (`tell`). So a range begins only when there is room for all of it
    beside all others (`room_pages`), and whoever finds no such room lets the others' ranges end first (`cut`).
    """

    def __init__(
        self, env: Environment, kernel: Kernel, clocks: Clocks, operations: Operations, batching: bool
    ) -> None:
        """Begin with none.

        Args:
            batching: False: every range is one page.
        """
        self._env, self._kernel, self._operations = env, kernel, operations
        self._clocks = clocks.handle
        self._batching = batching
        self._active: dict[int, _Range] = {}
        self._promised = 0

    @property
    def active(self) -> bool:
        """Whether any thread is faulting in a range."""
        return bool(self._active)

    def room_pages(self, mapping: Mapping, count: int) -> int:
        """How many of the next pages of a secret mapping may be faulted in, as `Kernel.fault_room_pages`."""
        kernel = self._kernel
        if self._promised:
            assert mapping.file is not None
            if kernel.limits.fault_room_pages(mapping.file.user) - self._promised < count:
                self.cut()
        return kernel.fault_room_pages(mapping, count)

    def begin(self, task: Task, cpu: int, kind: int, mapping: Mapping, count: int, slice_end_ns: int) -> None:
        """Begin a thread's range; there is room for all of it.

        Args:
            slice_end_ns: from when on the thread gives way to others that wait for a CPU.
        """
        kernel, file = self._kernel, mapping.file
        if not self._batching:
            count = 1
        begin_range(
            kernel.handle, self._clocks, cpu, kernel.node_of[cpu], kind, mapping.holder,
            0 if file is None else file.holder,
            mapping.touched, count, self._env.now, slice_end_ns, kernel.node_cache, kernel.node_shift,
        )  # fmt: skip
        begun = self._active[cpu] = _Range(task, mapping, kind, 0)
        shared = file is not None and file.references > _DESCRIPTOR_AND_MAPPING
        if count > 1 and (shared or task.user.group is not None):
            # Others charge the same group, or touch the same file: only what nobody can come between.
            self._operations.run_alone(cpu)
            self._tell(cpu, begun)
            self.cut()
        elif count > 1:
            begun.promised = count
            self._promised += count
        else:
            self._tell(cpu, begun)

    def watch(self, task: Task, cpu: int, kind: int, mapping: Mapping) -> None:
        """A thread goes through a range by itself, page by page (`burst.set_range`): account for it as for others."""
        self._active[cpu] = _Range(task, mapping, kind, 0)

    def end(self, cpu: int) -> bool:
        """A thread's operation has ended, or will never: account for its range; returns whether memory ran out."""
        begun = self._active.pop(cpu)
        done = end_range(self._clocks, cpu)
        self._promised -= begun.promised
        begun.promised = 0
        self._charge(begun, done if done >= 0 else -1 - done)
        return bool(done < 0)

    def tell(self) -> None:
        """Account for everything that has been faulted in by now."""
        for cpu, begun in self._active.items():
            self._tell(cpu, begun)

    def cut(self) -> None:
        """Account for everything by now, and let every thread ask for room again before its next fault."""
        self.tell()
        cut_ranges(self._clocks)
        for begun in self._active.values():
            begun.promised = 0
        self._promised = 0

    def _tell(self, cpu: int, begun: _Range) -> None:
        done = take_done(self._clocks, cpu)
        if begun.promised:
            begun.promised -= done
            self._promised -= done
        self._charge(begun, done)

    def _charge(self, begun: _Range, pages: int) -> None:
        if not pages:
            return
        mapping, kernel = begun.mapping, self._kernel
        mapping.touched += pages
        if begun.kind == SECRET:
            assert mapping.file is not None
            mapping.file.present += pages
            kernel.charge_pages(mapping.file, pages)
        else:
            kernel.charge_ordinary(begun.task, mapping, pages, tables=begun.kind == TABLE)


_DESCRIPTOR_AND_MAPPING = 2
