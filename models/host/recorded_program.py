"""The program of the recordings, beside its workload: reading counters, looking frames up, and the time that takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.host.recorded_fragmenting import Fragmenting
from models.host.recorded_walks import NO_TREE, Spans, note_mapped, table_end, walk_times
from models.kernel.areas import MMAP_TOP
from models.kernel.entities import Mapping, Task
from models.kernel.kernel import Kernel
from models.kernel.program_steps import SCRATCH
from models.kernel.slab import PAGE_SIZE_BYTES

__all__ = ["CHURN_LESS_NS", "MAPPED_AT_START", "PREPARED_NS", "Program", "read_ns"]

_VVAR: Final = 0x7FFFF7FF9
MAPPED_AT_START: Final = (
    (0x400, 0x400), (0x401, 0x480), (0x481, 0x4A0), (0x4A1, 0x4A8), (0x4A9, 0x4B0), (0x4B1, 0x4C0), (0x4C1, 0x4E0),
    (MMAP_TOP, _VVAR - 1), (_VVAR, _VVAR + 3), (_VVAR + 4, _VVAR + 5), (0x7FFFFFFDD, 0x7FFFFFFFE),
)  # fmt: skip
"""First and last pages of what a static program has mapped: seven mappings side by side of itself, its bss and its
heap; in one row its books, the vvar and the vDSO; its stack.

Where exactly is not recorded. What matters is how many there are and which have neighbours, as each mapping and each
gap is an entry of the tree: that many is what a fork copies (`fork` of the footprints), and with the area that
many_memfds reserves its root is full, as its slabs show."""

# Instructions of the recorded kernel, by least squares over the times between samples of all recordings with one CPU.
PREPARED_NS: Final = 20_000
"""Before it begins with its workload, beside what its notes and mappings take."""
_NOTE_NS: Final = 8.15
_READ_NS: Final = 133_000
_READ_ZONE_NS: Final = 4_000
_NOTE_BYTES: Final = 4
_NOTES_BEGIN_BYTES: Final = 1024
"""How far in a page they begin, roughly: the recordings' first pages allow 0.12 to 0.47 of one."""
CHURN_LESS_NS: Final = 400
"""By how much less a page takes to look up in churn than elsewhere; why is not known."""
#: Samples before which the program looks up the frames of what it has touched since the last one.
_LOOKED_UP_AT: Final = ("fault", "memfd")

Pages = NDArray[np.int64]
Times = NDArray[np.int64]


def read_ns(zones: int) -> int:
    """How long it takes to read the counters, in ns; some have a line for each zone."""
    return _READ_NS + _READ_ZONE_NS * zones


class Program:
    """What the program does at its samples, and after it has touched pages.

    Attributes:
        read_ns: how long it takes to read the counters, some of which have a line for each zone.
    """

    def __init__(self, kernel: Kernel, task: Task, fragmenting: Fragmenting | None = None) -> None:
        """Begin with what it has mapped before the recording, and what it left then."""
        self._kernel, self._task = kernel, task
        self._looked = 0
        self.read_ns = read_ns(len(kernel.store.zones))
        self._mapping: Mapping | None = None
        self._times = np.zeros(0, np.int64)
        self._spans = Spans()
        #: First page, end, and share of the pages in memory, of what is mapped above all files.
        above = [(first, last + 1, 0.0) for first, last in MAPPED_AT_START if first >= MMAP_TOP]
        if fragmenting is not None:
            pages, *books = ((first, last + 1) for first, last in fragmenting.mapped)
            kept = fragmenting.kept_pages / fragmenting.pages
            above[:0] = [(*pages, kept), *((*one, 1.0) for one in books)]
        self._above = np.array(above)
        self._parts = fragmenting is not None

    def begin(self, cpu: int, notes: int) -> None:
        """Set a number of notes about what is to come, which takes time (`Kernel.spent_ns`) and pages for good."""
        kernel, pages = self._kernel, (_NOTES_BEGIN_BYTES + _NOTE_BYTES * notes - 1) // PAGE_SIZE_BYTES
        for _ in range(pages):
            kernel.run("program_notes", SCRATCH, cpu)
        kernel.spent_ns += round(_NOTE_NS * notes) + kernel.costs.ns("ordinary_fault") * pages

    def read(self, cpu: int) -> None:
        """Read the counters: /proc/vmstat takes a buffer for as long as it is read."""
        kernel = self._kernel
        kernel.run("read_vmstat", SCRATCH, cpu)
        kernel.spent_ns += self.read_ns

    def look_up(self, done: str) -> Iterable[int]:
        """Look the frames up of what has been touched, if that is done now; returns how long each call takes, in ns."""
        return self._look_up_new().tolist() if done in _LOOKED_UP_AT else ()

    def _look_up_new(self) -> Times:
        """Look up the frames of all pages touched since this was last done, of files mapped side by side."""
        touched = int(self._kernel.state.counts[0]["secret_faults"])
        area = next((one for one in reversed(self._task.mappings) if one.file is None), self._task.mappings[-1])
        first, end, area_end = area.start + self._looked, area.start + touched, area.start + area.pages
        self._looked = touched
        if area.file is not None:
            starts, ends, shares, touched_end = np.array([area.start]), np.array([area_end]), np.ones(1), end
        else:
            # Each file is mapped by itself, with what is left of the reserved area behind.
            starts, touched_end = np.arange(first, end + 1), 0
            ends, shares = starts + 1, np.ones(len(starts))
            ends[-1], shares[-1] = area_end, 0.0
        return self._walk(first, end - first, touched_end, self._note(starts, ends, shares))

    def page_times(self, mapping: Mapping) -> Times:
        """How long it takes to look up each page of a mapping when it is the last one touched there, in ns."""
        if mapping is not self._mapping:
            self._mapping, self._times = mapping, self._look_up_touched(mapping)
        return self._times

    def _look_up_touched(self, mapping: Mapping) -> Times:
        first, tree, below, less_ns = mapping.start, self._task.tree, 0.0, 0
        if tree is None:
            mapped = np.array(sorted((one.start, one.start + one.pages) for one in self._task.mappings))
            count = self._note(mapped[:, 0], mapped[:, 1], np.ones(len(mapped)))
        else:
            until = table_end(first + mapping.pages - 1)
            count, less_ns = note_mapped(self._spans.handle, tree.handle, first, until, self._above), CHURN_LESS_NS
            if self._parts:
                # What pages make in sum with parts of others is rounded: so all count, and not those noted alone.
                files = self._spans.starts[:count] < self._above[0, 0]
                noted = (self._spans.ends[:count] - self._spans.starts[:count])[files].sum()
                below = float(sum(one.pages for one in self._task.mappings) - noted)
        return self._walk(first, mapping.pages, 0, count, below) - less_ns

    def _note(self, starts: Pages, ends: Pages, shares: NDArray[np.float64]) -> int:
        """Note mappings, and those above all files; returns how many."""
        spans, above, count = self._spans, self._above, len(starts)
        for noted, values, high in zip(
            (spans.starts, spans.ends, spans.shares), (starts, ends, shares), above.T, strict=True
        ):
            noted[:count] = values
            noted[count : count + len(above)] = high
        return count + len(above)

    def _walk(self, first: int, pages: int, touched_end: int, count: int, below: float = 0.0) -> Times:
        """Time that it takes to look up pages from the first one on, by the mappings noted (`walk_times`)."""
        tree, times = self._task.tree, np.empty(pages, np.int64)
        walk_times(
            self._spans.handle, NO_TREE if tree is None else tree.handle, count, below, first, touched_end, times
        )
        return times
