"""The rules by which the direct map is split and counted, and merged again by those who ask for it."""

from __future__ import annotations

import pytest

from models.kernel.direct_map import (
    ABSENT,
    LEVEL_1G,
    LEVEL_2M,
    LEVEL_4K,
    RESTORED,
    SIZE_PAGES,
    DirectMap,
    change_presence,
    collapse,
    next_split,
    split,
)
from models.kernel.kernel import Kernel
from models.kernel.pages.layout import USED
from models.kernel.records import MAP_TABLE
from models.kernel.secret_pages import OUT_OF_MEMORY, remove_range
from tests.models.kernel.machines import MapIdentity, absent_pages, boot

GIGA, MEGA = SIZE_PAGES[LEVEL_1G], SIZE_PAGES[LEVEL_2M]


def two_gigas() -> DirectMap:
    """4K up to 2 MiB, 2M up to 1 GiB, then two entries of 1G and one of 2M."""
    return DirectMap(3 * GIGA + MEGA, [(0, MEGA, 1), (MEGA, GIGA - MEGA, 2), (GIGA, 2 * GIGA, 3), (3 * GIGA, MEGA, 2)])


def needed(tiling: DirectMap, pfn: int, count: int) -> list[int]:
    """Levels of the entries that are split, in order, for a range to change by itself."""
    levels: list[int] = []
    while True:
        first, level = next_split(tiling.handle, pfn, count)
        if not level:
            return levels
        assert first <= pfn + count - 1
        levels.append(level)
        split(tiling.handle, first, level, 1)


@pytest.mark.parametrize(
    ("pfn", "count", "levels"),
    [
        pytest.param(GIGA + 7, 1, [3, 2], id="4K inside 1G: two splits"),
        pytest.param(MEGA + 7, 1, [2], id="4K inside 2M: one"),
        pytest.param(7, 1, [], id="4K inside 4K: none"),
        pytest.param(GIGA + 5 * MEGA, MEGA, [3], id="aligned 2M inside 1G: one"),
        pytest.param(5 * MEGA, MEGA, [], id="aligned 2M inside 2M: none"),
        pytest.param(GIGA, GIGA, [], id="aligned 1G inside 1G: none"),
        pytest.param(GIGA, 2 * GIGA, [], id="two aligned 1G: none"),
        pytest.param(GIGA + 5 * MEGA, 3 * MEGA, [3], id="three aligned 2M inside 1G: one"),
        pytest.param(5 * MEGA + 1, MEGA, [2, 2], id="2M across two entries of 2M: both"),
        pytest.param(5 * MEGA + 1, 2 * MEGA, [2, 2], id="the entry in the middle is covered whole"),
        pytest.param(GIGA + MEGA - 1, 2, [3, 2, 2], id="two pages across 2M boundary inside 1G: three"),
        pytest.param(2 * GIGA - 1, 2, [3, 2, 3, 2], id="two pages across a 1G boundary: four"),
        pytest.param(GIGA - 1, GIGA + 1, [2], id="a page and a whole 1G entry: only the 2M before it"),
        pytest.param(GIGA, 2 * GIGA - 1, [3, 2], id="all but the last page of two 1G entries"),
        pytest.param(MEGA - 1, 2, [2], id="from 4K into 2M"),
    ],
)
def test_what_must_be_split(pfn: int, count: int, levels: list[int]) -> None:
    """An entry that a range covers whole is rewritten in place; any other is split one level and looked at again."""
    tiling = two_gigas()
    identity = MapIdentity(tiling)
    assert needed(tiling, pfn, count) == levels
    identity.check()
    record = tiling.counters[0]
    assert (record["level3_splits"], record["level2_splits"]) == (levels.count(3), levels.count(2))
    assert needed(tiling, pfn, count) == []


def test_levels_say_how_each_page_is_mapped() -> None:
    """Before and after a split, for the pages in the entry and its neighbours."""
    tiling = two_gigas()
    assert [tiling.level(pfn) for pfn in (0, MEGA, GIGA, 3 * GIGA)] == [1, 2, 3, 2]
    needed(tiling, GIGA + 3 * MEGA + 1, 1)
    assert [tiling.level(GIGA + k * MEGA) for k in (2, 3, 4)] == [LEVEL_2M, LEVEL_4K, LEVEL_2M]
    assert tiling.level(2 * GIGA) == LEVEL_1G


def test_holes_have_no_level_and_need_no_split() -> None:
    """What is not RAM is not mapped; a range across a hole splits only what is there."""
    tiling = DirectMap(2 * GIGA, [(0, MEGA, 2), (4 * MEGA, MEGA, 2), (GIGA, GIGA, 3)])
    assert tiling.level(MEGA) == tiling.level(GIGA - 1) == 0
    assert needed(tiling, 1, 4 * MEGA) == [2, 2]


@pytest.mark.parametrize(
    "tiles",
    [
        [(0, MEGA, 2), (0, MEGA, 2)],
        [(1, MEGA, 2)],
        [(0, MEGA, 3)],
        [(0, GIGA + MEGA, 3)],
        [(MEGA, MEGA, 2), (0, MEGA, 2)],
    ],
)
def test_impossible_tiles_are_refused(tiles: list[tuple[int, int, int]]) -> None:
    """Overlapping or misaligned tiles are an error that shows them."""
    with pytest.raises(ValueError, match="tile of"):
        DirectMap(4 * GIGA, tiles)


def test_sizes_of_the_boot_tiling() -> None:
    """The three counters start from the tiles."""
    record = two_gigas().counters[0]
    assert (record["pages_4k"], record["pages_2m"], record["pages_1g"]) == (MEGA, GIGA, 2 * GIGA)


class TestOnAMachine:
    """With page tables from the allocator."""

    @pytest.fixture
    def kernel(self) -> Kernel:
        """4 GiB; the direct map has entries of all three sizes."""
        return boot({"memory": "4GiB", "cpus": 1})

    def test_tables_come_from_the_allocator(self, kernel: Kernel) -> None:
        """A split takes one unmovable page; a 4K range inside 1G takes two; the direct map remembers them."""
        free = int(kernel.store.config[0]["free_pages"]) + int(kernel.store.config[0]["per_cpu_pages"])
        pfn = GIGA + 777
        assert remove_range(kernel.handle, 0, 0, pfn, 1) == 2
        tables = [kernel.state.direct_map.table(pfn, level) for level in (LEVEL_1G, LEVEL_2M)]
        assert len(set(tables)) == 2
        assert all(kernel.store.pages["state"][table] == USED for table in tables)
        assert all(kernel.store.pages["owner"][table] == MAP_TABLE for table in tables)
        left = int(kernel.store.config[0]["free_pages"]) + int(kernel.store.config[0]["per_cpu_pages"])
        assert free - left == 2

    def test_every_split_flushes_all_cpus_under_the_lock(self, kernel: Kernel) -> None:
        """The lock is held for each split and for the write; the page's own flush comes after, from its caller."""
        cost, due = kernel.state.costs[0], kernel.state.charge[0]
        remove_range(kernel.handle, 0, 0, GIGA + 777, 1)
        assert due["lock_ns"] == cost["split_1g"] + cost["split_2m"] + cost["map_step"]
        assert due["after_ns"] == 0
        before = int(due["lock_ns"])
        remove_range(kernel.handle, 0, 0, GIGA + 778, 1)
        assert due["lock_ns"] - before == cost["map_step"]

    def test_absence_changes_no_size(self, kernel: Kernel) -> None:
        """Making pages not present, and present again, moves none of the three counters and merges nothing."""
        tiling, pfn = kernel.state.direct_map, GIGA + MEGA
        remove_range(kernel.handle, 0, 0, pfn, MEGA)
        sizes = tiling.counters[["pages_4k", "pages_2m", "pages_1g"]].copy()
        assert tiling.counters[0]["unmapped_pages"] == absent_pages(kernel.store) == MEGA
        assert tiling.level(pfn) == LEVEL_2M
        assert change_presence(tiling.handle, kernel.store.handle, pfn, MEGA, True) == MEGA
        assert tiling.counters[0]["unmapped_pages"] == absent_pages(kernel.store) == 0
        assert (tiling.counters[["pages_4k", "pages_2m", "pages_1g"]] == sizes).all()
        assert tiling.counters[0]["level2_collapses"] == tiling.counters[0]["level3_collapses"] == 0

    def test_a_restored_page_differs_from_its_neighbours(self, kernel: Kernel) -> None:
        """It has lost its GLOBAL bit, for good."""
        remove_range(kernel.handle, 0, 0, GIGA + 5, 1)
        change_presence(kernel.state.direct_map.handle, kernel.store.handle, GIGA + 5, 1, True)
        flags = kernel.store.pages["flags"][GIGA + 4 : GIGA + 7]
        assert [bool(flag & RESTORED) for flag in flags] == [False, True, False]
        assert not (flags & ABSENT).any()

    def test_what_is_so_already_does_not_count(self, kernel: Kernel) -> None:
        """Removing a page twice counts once, as does restoring it."""
        tiling, store = kernel.state.direct_map, kernel.store
        remove_range(kernel.handle, 0, 0, GIGA + 5, 1)
        assert change_presence(tiling.handle, store.handle, GIGA + 4, 3, False) == 2
        assert change_presence(tiling.handle, store.handle, GIGA + 4, 4, True) == 3
        assert tiling.counters[0]["unmapped_pages"] == 0

    def test_without_memory_for_a_table_nothing_is_removed(self, kernel: Kernel) -> None:
        """The range stays present when a split fails."""
        kernel.store.zones["wmark"] = 1 << 40
        assert remove_range(kernel.handle, 0, 0, GIGA + 5, 1) == OUT_OF_MEMORY
        assert absent_pages(kernel.store) == 0
        assert kernel.split_count() == int(kernel.state.direct_map.counters[0]["level3_splits"])


def test_collapse_undoes_a_split_and_is_counted_apart() -> None:
    """512 pages become one 2M entry, 512 of those one 1G entry; splits stay counted, the tables come back."""
    tiling = two_gigas()
    identity = MapIdentity(tiling)
    before = tiling.counters[["pages_4k", "pages_2m", "pages_1g"]].copy()
    split(tiling.handle, GIGA, LEVEL_1G, 41)
    split(tiling.handle, GIGA + MEGA, LEVEL_2M, 42)
    assert collapse(tiling.handle, GIGA + MEGA, LEVEL_2M) == 42
    identity.check()
    assert tiling.level(GIGA + MEGA) == LEVEL_2M
    assert collapse(tiling.handle, GIGA, LEVEL_1G) == 41
    identity.check()
    assert tiling.level(GIGA) == LEVEL_1G
    assert (tiling.counters[["pages_4k", "pages_2m", "pages_1g"]] == before).all()
    record = tiling.counters[0]
    assert [int(record[f"level{level}_{what}"]) for level in (2, 3) for what in ("splits", "collapses")] == [1, 1, 1, 1]


def test_a_table_of_the_boot_has_no_page_to_give_back() -> None:
    """Collapsing what the boot tiled with 4K frees nothing that the allocator knows."""
    tiling = two_gigas()
    assert collapse(tiling.handle, 0, LEVEL_2M) == 0
    assert tiling.level(0) == LEVEL_2M
