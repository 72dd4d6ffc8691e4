"""The program of the recordings, beside its workload: reading counters, looking frames up, and the time that takes."""

from __future__ import annotations

from typing import Final, overload

import numpy as np

from models.kernel.entities import Mapping, SecretFile, Task
from models.kernel.kernel import Kernel
from models.kernel.programs import SCRATCH

__all__ = ["MAPPED_AT_START", "Program"]

_TOP: Final = 0x7FFFF7DFA
MAPPED_AT_START: Final = (
    (0x400, 0x400), (0x401, 0x480), (0x481, 0x4A0), (0x4A2, 0x4A8), (0x4A9, 0x4B0), (0x4B1, 0x4C0),
    (0x800, 0x820), (_TOP, _TOP + 1), (0x7FFFFFFDD, 0x7FFFFFFF1), (0x7FFFFFFF2, 0x7FFFFFFF5),
)  # fmt: skip
"""First and last pages of what a static program has mapped: itself, its heap, its books, its stack, and the vDSO. Where
exactly is not recorded; what matters is how many there are, and which have neighbours."""

# Instructions of the recorded kernel, read off the times between samples of one_memfd, many_memfds and churn.
_READ_NS: Final = 140_000
_LOOKUP_NS: Final = 3_000
_PRESENT_NS: Final = 76
_EMPTY_NS: Final = 20
_MAPPING_NS: Final = 875
_TABLE_SHIFT: Final = 9
_SMALL_FDTABLE: Final = 128


class Program:
    """What the program does at its samples, and after a file was filled.

    Attributes:
        at_once: frames of a file are looked up as soon as it is filled, else at the next sample.
    """

    def __init__(self, kernel: Kernel, task: Task, *, at_once: bool) -> None:
        self._kernel, self._task = kernel, task
        self.at_once = at_once
        self._looked = 0
        self._large_table = task.descriptors > _SMALL_FDTABLE

    def read(self, cpu: int) -> None:
        """Read the counters: /proc/vmstat takes a buffer for as long as it is read."""
        kernel, task = self._kernel, self._task
        if not self._large_table and task.descriptors + len(task.files) > _SMALL_FDTABLE:
            self._large_table = True
            kernel.run("fdtable_of_256", SCRATCH, cpu)
        kernel.run("read_vmstat", SCRATCH, cpu)
        kernel.spent_ns += _READ_NS

    def look_up_new(self) -> None:
        """Look up the frames of all pages touched since this was last done, of files mapped side by side."""
        touched = int(self._kernel.state.counts[0]["secret_faults"])
        area = next((one for one in reversed(self._task.mappings) if one.file is None), self._task.mappings[-1])
        begin, end = area.start + self._looked, area.start + touched
        # Each file is mapped by itself, with what is left of the reserved area behind; or there is but one.
        starts = np.arange(begin, end + 1) if area.file is None else np.array([begin])
        self._spend(begin, end, starts, np.append(starts[1:], area.start + area.pages), end)
        self._looked = touched

    def look_up(self, file: SecretFile) -> None:
        """Look up the frames of the file that was filled last."""
        starts = np.array(sorted(one.start for one in self._task.mappings))
        ends = np.array(sorted(one.start + one.pages for one in self._task.mappings))
        begin = self._task.mappings[-1].start
        self._spend(begin, begin + file.present, starts, ends, int(ends[-1]))

    def look_up_last(self, mapping: Mapping) -> None:
        """Look up the page of a mapping that was touched last; none behind it has been."""
        page = mapping.start + mapping.touched - 1
        self._kernel.spent_ns += _LOOKUP_NS + _EMPTY_NS * (_table_end(page) - page)

    def _spend(self, begin: int, end: int, starts: np.ndarray, ends: np.ndarray, present_end: int) -> None:
        """Read an entry of /proc/self/pagemap for each page: that walks to the end of its page table [6.1].

        Args:
            begin: first page; end: one past the last one.
            starts: of the mappings; ends: of the mappings, in ascending order.
            present_end: from where on pages have not been touched.
        """
        pages = np.arange(begin, end)
        until = np.minimum(_table_end(pages), ends[-1])
        near = np.searchsorted(starts, until, "left") - np.searchsorted(ends, pages, "right")
        present = np.minimum(until, present_end) - pages
        walked = _LOOKUP_NS + _PRESENT_NS * present + _EMPTY_NS * (until - pages - present) + _MAPPING_NS * near
        self._kernel.spent_ns += int(walked.sum())


@overload
def _table_end(page: int) -> int: ...
@overload
def _table_end(page: np.ndarray) -> np.ndarray: ...
def _table_end(page: int | np.ndarray) -> int | np.ndarray:
    """One past the last page that the page table of a page maps."""
    return ((page >> _TABLE_SHIFT) + 1) << _TABLE_SHIFT
