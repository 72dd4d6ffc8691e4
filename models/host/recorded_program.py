"""The program of the recordings, beside its workload: reading counters, looking frames up, and the time that takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast, overload

import numpy as np

from models.kernel.entities import Task
from models.kernel.kernel import Kernel
from models.kernel.programs import SCRATCH

__all__ = ["MAPPED_AT_START", "Program"]

_TOP: Final = 0x7FFFF7DFA
MAPPED_AT_START: Final = (
    (0x400, 0x400), (0x401, 0x480), (0x481, 0x4A0), (0x4A1, 0x4A8), (0x4A9, 0x4B0), (0x4B1, 0x4C0), (0x4C1, 0x4E0),
    (_TOP, _TOP + 1), (_TOP + 2, _TOP + 5), (_TOP + 6, _TOP + 7), (0x7FFFFFFDD, 0x7FFFFFFFE),
)  # fmt: skip
"""First and last pages of what a static program has mapped: seven mappings side by side of itself, its bss and its
heap; in one row its books, the vvar and the vDSO; its stack.

Where exactly is not recorded. What matters is how many there are and which have neighbours, as each mapping and each
gap is an entry of the tree: that many is what a fork copies (`fork` of the footprints), and with the area that
many_memfds reserves its root is full, as its slabs show."""

# Instructions of the recorded kernel, read off the times between samples of one_memfd, many_memfds and churn.
_READ_NS: Final = 140_000
_LOOKUP_NS: Final = 3_000
_PRESENT_NS: Final = 76
_EMPTY_NS: Final = 20
_MAPPING_NS: Final = 875
_TABLE_SHIFT: Final = 9
#: Samples at which the program looks up the frames of what it has touched since the last one.
_LOOKED_UP_AT: Final = ("fault", "memfd")
_SMALL_FDTABLE: Final = 128


class Program:
    """What the program does at its samples, and after it has touched pages."""

    def __init__(self, kernel: Kernel, task: Task) -> None:
        self._kernel, self._task = kernel, task
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

    def look_up(self, done: str) -> Iterable[int]:
        """Look the frames up of what has been done; returns how long each call takes, in ns."""
        if done in _LOOKED_UP_AT:
            return self._look_up_new()
        if done == "filled":
            return self._look_up_file()
        return self._look_up_last() if done == "touched" else ()

    def _look_up_new(self) -> Iterable[int]:
        """Look up the frames of all pages touched since this was last done, of files mapped side by side."""
        touched = int(self._kernel.state.counts[0]["secret_faults"])
        area = next((one for one in reversed(self._task.mappings) if one.file is None), self._task.mappings[-1])
        begin, end = area.start + self._looked, area.start + touched
        self._looked = touched
        # Each file is mapped by itself, with what is left of the reserved area behind; or there is but one.
        starts = np.arange(begin, end + 1) if area.file is None else np.array([begin])
        return _walks(begin, end, starts, np.append(starts[1:], area.start + area.pages), end)

    def _look_up_file(self) -> Iterable[int]:
        """Look up the frames of the file that was filled last."""
        starts = np.array(sorted(one.start for one in self._task.mappings))
        ends = np.array(sorted(one.start + one.pages for one in self._task.mappings))
        mapping = self._task.mappings[-1]
        return _walks(mapping.start, mapping.start + mapping.touched, starts, ends, int(ends[-1]))

    def _look_up_last(self) -> Iterable[int]:
        """Look up the page of the first secret file that was touched last; none behind it has been."""
        mapping = next(one for one in self._task.mappings if one.file is not None)
        page = mapping.start + mapping.touched - 1
        return (_LOOKUP_NS + _EMPTY_NS * (_table_end(page) - page),)


def _walks(begin: int, end: int, starts: np.ndarray, ends: np.ndarray, present_end: int) -> Iterable[int]:
    """Time that it takes to read the entries of /proc/self/pagemap: each walks to the end of its page table [6.1].

    Args:
        begin: first page; end: one past the last one.
        starts: of the mappings; ends: of the mappings, in ascending order.
        present_end: from where on pages have not been touched.
    """
    pages = np.arange(begin, end)
    until = np.minimum(_table_end(pages), ends[-1])
    near = np.searchsorted(starts, until, "left") - np.searchsorted(ends, pages, "right")
    present = _mapped_below(np.minimum(until, present_end), starts, ends) - _mapped_below(pages, starts, ends)
    walked = _LOOKUP_NS + _PRESENT_NS * present + _EMPTY_NS * (until - pages - present) + _MAPPING_NS * near
    return cast(list[int], walked.tolist())


def _mapped_below(pages: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """How many pages the mappings have below each of some pages, none of which lies before the first mapping."""
    last = np.searchsorted(starts, pages, "right") - 1
    whole = np.cumsum(ends - starts)
    return np.asarray(whole[last] - np.maximum(0, ends[last] - pages))


@overload
def _table_end(page: int) -> int: ...
@overload
def _table_end(page: np.ndarray) -> np.ndarray: ...
def _table_end(page: int | np.ndarray) -> int | np.ndarray:
    """One past the last page that the page table of a page maps."""
    return ((page >> _TABLE_SHIFT) + 1) << _TABLE_SHIFT
