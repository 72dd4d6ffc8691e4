"""How long the recorded program takes to read entries of /proc/self/pagemap, compiled, for many pages at once.

Each read walks to the end of its page's page table [6.1]: it looks at all pages on its way, and finds each mapping in
the tree from its root on (`find_vma`). The figures are instructions of the recorded kernel, by least squares over the
times between samples of all recordings with one CPU.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.arena import header, reserve, slot_array
from models.kernel.mapping_tree_changes import passed
from models.kernel.mapping_tree_nodes import LEAF_SLOTS, LEFT, ends, items, nodes, paths, step, tree_of, walk
from simcore.compiled import jit

__all__ = ["NO_TREE", "Spans", "note_mapped", "table_end", "walk_times"]

NO_TREE: Final = 0
_TABLE_SHIFT: Final = 9
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
_MOST_SPANS: Final = 1 << 18


class Spans:
    """What is mapped where walks go, in ascending order.

    Attributes:
        handle: first argument of the compiled operations.
        starts: first page of each mapping.
        ends: one past its last page.
        shares: of its pages, which are in memory.
    """

    def __init__(self) -> None:
        self.starts, self.ends, self._gaps = (reserve(_MOST_SPANS, np.int64) for _ in range(3))
        self.shares, self._memory, self._found = (reserve(_MOST_SPANS, np.float64) for _ in range(3))
        self._header = header([self.starts, self.ends, self.shares, self._gaps, self._memory, self._found])
        self.handle = int(self._header.ctypes.data)


_starts, _ends, _shares = slot_array(0, np.int64), slot_array(1, np.int64), slot_array(2, np.float64)
# Sums over the mappings below each: gaps behind them, pages of them in memory, time to find them.
_gaps, _memory, _found = slot_array(3, np.int64), slot_array(4, np.float64), slot_array(5, np.float64)


@jit
def table_end(page: int) -> int:
    """One past the last page that a page's page table covers."""
    return ((page >> _TABLE_SHIFT) + 1) << _TABLE_SHIFT


@jit
def note_mapped(spans: int, tree: int, page: int, until: int, above: NDArray[np.float64]) -> int:
    """Note what a tree has mapped, from the mapping that begins at a page up to another page; returns how many.

    Args:
        above: first page, end, and share of the pages in memory, of the highest mappings; of others all pages are.
    """
    start, end, share = _starts(spans), _ends(spans), _shares(spans)
    level, count = tree_of(tree).height - 1, 0
    while page < until:
        walk(tree, LEFT, page)
        at = step(LEFT, level)
        leaf, first = paths(tree)[at], paths(tree)[at + 1]
        for entry in range(leaf * LEAF_SLOTS + first, leaf * LEAF_SLOTS + nodes(tree)[leaf].count):
            if page >= until:
                break
            following = ends(tree)[entry] + 1
            if items(tree)[entry]:
                missing = 0.0
                for one in range(len(above)):
                    both = min(above[one, 1], following) - max(above[one, 0], page)
                    missing += max(0.0, both) * (1.0 - above[one, 2])
                start[count], end[count], share[count] = page, following, 1.0 - missing / (following - page)
                count += 1
            page = following
    return count


@jit
def _at_least(pages: NDArray[np.int64], first: int, end: int, page: int) -> int:
    """Where the first of some ascending pages is that is not below another one."""
    while first < end:
        middle = (first + end) >> 1
        if pages[middle] < page:
            first = middle + 1
        else:
            end = middle
    return first


@jit
def _below(spans: int, first: int, count: int, page: int) -> float:
    """Pages in memory below a page that is not below a mapping."""
    starts = _starts(spans)
    at = _at_least(starts, first, count, page + 1) - 1
    length = _ends(spans)[at] - starts[at]
    return float(_memory(spans)[at] + _shares(spans)[at] * min(page - starts[at], length))


@jit
def _find_ns(tree: int, page: int) -> float:
    """Time that a walk takes to find a mapping in the tree, and to begin with it."""
    height, compared = _HEIGHT, _COMPARED
    if tree != NO_TREE:
        height, compared = tree_of(tree).height, passed(tree, page)
    return _MAPPING_NS + _LEVEL_NS * height + _ENTRY_NS * compared


@jit
def walk_times(
    spans: int, tree: int, count: int, below: float, page: int, touched_end: int, times: NDArray[np.int64]
) -> None:
    """Work out how long reads of the entries of some pages take, in ns.

    Args:
        tree: in which the mappings are found; NO_TREE: it is not followed.
        count: mappings noted, the last of which ends behind the pages' tables, or the next one begins there.
        below: pages in memory below the first of them.
        page: the first page.
        touched_end: one past the last page of their mapping that has been touched; 0: of each page, itself.
        times: for each page from the first on, set to its time.
    """
    starts, ends_, gaps, memory, found = _starts(spans), _ends(spans), _gaps(spans), _memory(spans), _found(spans)
    passed_memory, passed_gaps = below, 0
    for at in range(count):
        memory[at], gaps[at] = passed_memory, passed_gaps
        passed_memory += _shares(spans)[at] * (ends_[at] - starts[at])
        passed_gaps += int(at + 1 == count or starts[at + 1] > ends_[at])
    own = _at_least(ends_, 0, count, page + 1)
    known, found[own] = own, 0.0
    for at in range(len(times)):
        until = table_end(page)
        own = _at_least(ends_, own, count, page + 1)
        near = _at_least(starts, own, count, until)
        while known < near:
            found[known + 1] = found[known] + _find_ns(tree, starts[known])
            known += 1
        closed = _at_least(ends_, own, count, until)
        passed_by = (gaps[closed] if closed < count else passed_gaps) - gaps[own]
        touched = page + 1 if touched_end == 0 else touched_end
        present = (
            min(until, touched)
            - page
            + _below(spans, own, count, max(until, ends_[own]))
            - _below(spans, own, count, ends_[own])
        )
        walked = _LOOKUP_NS + _PRESENT_NS * present + _EMPTY_NS * (until - page - present) + _GAP_NS * passed_by
        times[at] = int(walked + found[near] - found[own])
        page += 1
