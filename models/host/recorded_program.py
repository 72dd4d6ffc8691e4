"""The program of the recordings, beside its workload: reading counters, looking frames up, and the time that takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from models.host.recorded_fragmenting import Fragmenting
from models.kernel.areas import MMAP_TOP
from models.kernel.entities import Mapping, Task
from models.kernel.kernel import Kernel
from models.kernel.programs import SCRATCH

__all__ = ["MAPPED_AT_START", "PREPARED_NS", "Program"]

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
"""Before it begins with its workload, beside what its mappings take; more where it has many files."""
_READ_NS: Final = 133_000
_READ_ZONE_NS: Final = 4_000
_LOOKUP_NS: Final = 2_540
_PRESENT_NS: Final = 78.4
_EMPTY_NS: Final = 19.9
_MAPPING_NS: Final = 547.0
_GAP_NS: Final = 525.0
_LEVEL_NS: Final = 36.6
_ENTRY_NS: Final = 7.21
#: Of a tree of a dozen mappings, where it is not followed: levels, entries that are compared to find one.
_HEIGHT: Final = 2
_COMPARED: Final = 12
_TABLE_SHIFT: Final = 9
#: Samples before which the program looks up the frames of what it has touched since the last one.
_LOOKED_UP_AT: Final = ("fault", "memfd")


Pages = NDArray[np.int64]


class Program:
    """What the program does at its samples, and after it has touched pages.

    Attributes:
        read_ns: how long it takes to read the counters, some of which have a line for each zone.
    """

    def __init__(self, kernel: Kernel, task: Task, fragmenting: Fragmenting | None = None) -> None:
        """Begin with what it has mapped before the recording, and what it left then."""
        self._kernel, self._task = kernel, task
        self._looked = 0
        self.read_ns = _READ_NS + _READ_ZONE_NS * len(kernel.store.zones)
        self._mapping: Mapping | None = None
        self._durations: list[int] = []
        #: First page, end, and share of the pages in memory, of what is mapped above all files.
        self._above = [(first, last + 1, 0.0) for first, last in MAPPED_AT_START if first >= MMAP_TOP]
        if fragmenting is not None:
            pages, *books = ((first, last + 1) for first, last in fragmenting.mapped)
            kept = fragmenting.kept_pages / fragmenting.pages
            self._above[:0] = [(*pages, kept), *((*one, 1.0) for one in books)]

    def read(self, cpu: int) -> None:
        """Read the counters: /proc/vmstat takes a buffer for as long as it is read."""
        kernel = self._kernel
        kernel.run("read_vmstat", SCRATCH, cpu)
        kernel.spent_ns += self.read_ns

    def look_up(self, done: str, mapping: Mapping | None) -> Iterable[int]:
        """Look the frames up of what has been done; returns how long each call takes, in ns."""
        if done in _LOOKED_UP_AT:
            return self._look_up_new()
        return self._look_up_touched(mapping) if mapping is not None else ()

    def _look_up_new(self) -> Iterable[int]:
        """Look up the frames of all pages touched since this was last done, of files mapped side by side."""
        touched = int(self._kernel.state.counts[0]["secret_faults"])
        area = next((one for one in reversed(self._task.mappings) if one.file is None), self._task.mappings[-1])
        pages = np.arange(area.start + self._looked, area.start + touched)
        self._looked = touched
        if area.file is not None:
            return self._walks(pages, area.start + touched, [(area.start, area.start + area.pages, 1.0)])
        # Each file is mapped by itself, with what is left of the reserved area behind.
        files = [(page, page + 1, 1.0) for page in pages.tolist()]
        return self._walks(pages, pages + 1, [*files, (area.start + touched, area.start + area.pages, 0.0)])

    def _look_up_touched(self, mapping: Mapping) -> Iterable[int]:
        """Look up the page of a mapping that was touched last; none behind it has been."""
        if mapping is not self._mapping:
            self._mapping = mapping
            pages = np.arange(mapping.start, mapping.start + mapping.pages)
            mapped = sorted((one.start, one.start + one.pages, 1.0) for one in self._task.mappings)
            self._durations = self._walks(pages, pages + 1, mapped)
        return self._durations[mapping.touched - 1 : mapping.touched]

    def _walks(self, pages: Pages, touched_end: Pages | int, mapped: Sequence[tuple[int, int, float]]) -> list[int]:
        """Time that it takes to read entries of /proc/self/pagemap: each walks to the end of its page table [6.1].

        The walk looks at all pages on its way, and finds each mapping in the tree from its root on (`find_vma`).

        Args:
            pages: whose entries.
            touched_end: one past the last page of its mapping that has been touched, for each of them.
            mapped: as `_above`, what lies below that.
        """
        spans = np.array([*mapped, *self._above])
        starts, ends, shares = spans[:, 0].astype(np.int64), spans[:, 1].astype(np.int64), spans[:, 2]
        whole = np.append(0, np.cumsum(shares * (ends - starts)))

        def below(page: Pages) -> NDArray[np.float64]:
            """Pages in memory below some pages."""
            at = np.searchsorted(starts, page, "right") - 1
            return np.asarray(whole[at] + shares[at] * np.minimum(page - starts[at], (ends - starts)[at]))

        until = ((pages >> _TABLE_SHIFT) + 1) << _TABLE_SHIFT
        own = np.searchsorted(ends, pages, "right")
        near = np.searchsorted(starts, until, "left") - own
        own_end = ends[own]
        present = np.minimum(until, touched_end) - pages + below(np.maximum(until, own_end)) - below(own_end)
        first = own.min()
        found = np.append(0, np.cumsum(self._find_ns(starts[first : (near + own).max()])))
        gap = np.append(0, np.cumsum(starts[1:] > ends[:-1]))
        gaps = gap[np.searchsorted(ends[:-1], until, "left")] - gap[own]
        walked = _LOOKUP_NS + _PRESENT_NS * present + _EMPTY_NS * (until - pages - present) + _GAP_NS * gaps
        return cast(list[int], (walked + found[near + own - first] - found[own - first]).astype(np.int64).tolist())

    def _find_ns(self, starts: Pages) -> NDArray[np.float64]:
        """Time that a walk takes to find each of some mappings in their tree, and to begin with it."""
        tree = self._task.tree
        height = tree.height if tree else _HEIGHT
        compared = [tree.passed(page) if tree else _COMPARED for page in starts.tolist()]
        return _MAPPING_NS + _LEVEL_NS * height + _ENTRY_NS * np.array(compared)
