"""Where mappings lie, and which page tables they share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.kernel.areas import LEVELS, MMAP_TOP, PINNED_TABLE, SHIFTS, Areas


class Tables:
    """Numbers of shared tables, as a kernel hands them out."""

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.last = PINNED_TABLE

    def take(self) -> int:
        self.last += 1
        self.used.add(self.last)
        return self.last

    def give(self, number: int) -> None:
        self.used.remove(number)


def areas() -> tuple[Areas, Tables]:
    tables = Tables()
    return Areas(tables.take, tables.give), tables


def test_mappings_grow_down_from_the_top() -> None:
    """Each lies directly below the one before, the first below the stack's gap."""
    space, _ = areas()
    assert [space.place(5), space.place(7)] == [MMAP_TOP - 5, MMAP_TOP - 12]


def test_the_highest_gap_that_fits_is_taken() -> None:
    """A hole is used again, from its upper end; one that is too small is passed over."""
    space, _ = areas()
    high, low = space.place(4), 0
    space.place(1)
    low = space.place(9)
    space.place(1)
    space.vacate(high, 4)
    space.vacate(low, 9)
    assert space.place(6) == low + 3
    assert space.place(2) == high + 2


def test_a_table_goes_with_the_last_mapping_that_needs_it() -> None:
    """Two mappings under one PTE table share it; the second one to go lets go of it."""
    space, tables = areas()
    space.place(MMAP_TOP % 512)
    high, low = space.place(10), space.place(10)
    first, second = space.share(high, 10), space.share(low, 10)
    assert first[0][0] == second[0][0] != PINNED_TABLE
    assert space.leave(high, 10, *first) & 1 == 0
    assert space.leave(low, 10, *second) & 1 == 1
    assert not tables.used


def test_tables_from_birth_stay() -> None:
    """What lies under the tables that a task is born with takes and frees none."""
    space, tables = areas()
    start = space.place(3)
    shared = space.share(start, 3)
    assert shared == ((PINNED_TABLE,) * LEVELS,) * 2
    assert space.leave(start, 3, *shared) == 0
    assert not tables.used


def test_a_table_covered_whole_is_the_mapping_s_own() -> None:
    """A mapping of whole 2 MiB units shares no PTE table, only higher ones."""
    space, _ = areas()
    space.place(MMAP_TOP % 512)
    first, last = space.share(space.place(1024), 1024)
    assert (first[0], last[0]) == (-1, -1)
    assert first[1] >= 0


@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 3000)), max_size=80))
def test_no_two_mappings_overlap_and_no_table_is_lost(steps: list[tuple[int, int]]) -> None:
    """Whatever is mapped and unmapped: rooms are apart, and in the end every shared table has gone."""
    space, tables = areas()
    live: list[tuple[int, int, tuple[tuple[int, ...], tuple[int, ...]]]] = []
    for choice, pages in steps:
        if choice % 3 == 0 and live:
            start, length, shared = live.pop(choice % len(live))
            space.leave(start, length, *shared)
            space.vacate(start, length)
        else:
            start = space.place(pages)
            assert all(start + pages <= other or other + length <= start for other, length, _ in live)
            assert start + pages <= MMAP_TOP
            live.append((start, pages, space.share(start, pages)))
        units = {
            (level, unit)
            for start, length, _ in live
            for level, shift in enumerate(SHIFTS)
            for unit in (start >> shift, (start + length - 1) >> shift)
            if unit < MMAP_TOP >> shift
        }
        assert len(tables.used) <= len(units)
    for start, length, shared in live:
        space.leave(start, length, *shared)
        space.vacate(start, length)
    assert not tables.used
    assert space.lowest == MMAP_TOP
