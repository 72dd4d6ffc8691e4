"""Boot tiling: the rules on small maps, laws on random ones, and every recorded machine."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.kernel.boot_profile import KernelImage, load_boot_profile
from models.kernel.tiling import (
    LEVEL_PAGES,
    BootTiling,
    Tile,
    boot_tiling,
    image_splits,
    mapping_passes,
    memblock_tables,
)
from models.machine.memory import FirmwareRange, MemoryMap, PfnRange
from tests.models.kernel.boot_recordings import BootRecording, boot_recordings

GIB = 1 << 30
MIB = 1 << 20
G_PAGES = LEVEL_PAGES[3]

RECORDED = [pytest.param(each, id=each.name) for each in boot_recordings()]


def a_map(*spans: tuple[int, int]) -> MemoryMap:
    return MemoryMap.from_ranges(FirmwareRange(start, end) for start, end in spans)


def levels(tiling: BootTiling) -> list[tuple[int, int, int]]:
    return [(tile.start_pfn, tile.pages, tile.level) for tile in tiling.tiles]


@st.composite
def maps(draw: st.DrawFn) -> MemoryMap:
    """A PC's low memory and up to four ranges with borders on odd pages, 2 MiB or 1 GiB."""
    unit = st.sampled_from([1, 3, 512, 512 * 7, G_PAGES])
    borders, at = [], 256
    for _ in range(2 * draw(st.integers(1, 4))):
        at += draw(unit) * draw(st.integers(1, 700))
        borders.append(at)
    spans = [(start * 4096, end * 4096) for start, end in zip(borders[::2], borders[1::2], strict=True)]
    return a_map((0, 0x9FC00), (at * 4096 + GIB, at * 4096 + GIB + 64 * MIB), *spans)


def test_range_is_covered_by_the_largest_aligned_entries() -> None:
    """4K to the first 2M border, 2M to the first 1G border, 1G, then 2M and 4K at the tail."""
    tiling = boot_tiling(a_map((2 * MIB + 8192, 3 * GIB + 6 * MIB + 4096)))
    assert levels(tiling) == [
        (0, 256, 1),
        (514, 510, 1),
        (1024, G_PAGES - 1024, 2),
        (G_PAGES, 2 * G_PAGES, 3),
        (3 * G_PAGES, 1536, 2),
        (3 * G_PAGES + 1536, 1, 1),
    ]


@pytest.mark.parametrize(
    ("options", "largest"), [({}, 3), ({"gbpages": False}, 2), ({"debug_pagealloc": True}, 1)]
)
def test_options_forbid_large_entries(options: dict[str, Any], largest: int) -> None:
    """`nogbpages` forbids 1G; debug_pagealloc forbids 2M as well."""
    tiling = boot_tiling(MemoryMap.from_size(8 * GIB), **options)
    assert max(tile.level for tile in tiling.tiles) == largest


def test_arm64_has_no_isa_range_and_no_double_counting() -> None:
    """The first MiB and the mapping passes are the PC's; arm64 starts at its RAM."""
    tiling = boot_tiling(MemoryMap.from_size(4 * GIB, "arm64"))
    assert levels(tiling) == [(G_PAGES, 4 * G_PAGES, 3)]
    assert tiling.as_linux_6_1 == tiling.walk


@given(memory=maps(), gbpages=st.booleans(), debug_pagealloc=st.booleans())
def test_tiles_cover_exactly_the_ram(memory: MemoryMap, gbpages: bool, debug_pagealloc: bool) -> None:
    """Every page of RAM above 1 MiB lies in one tile, no other page does; entries are aligned."""
    tiling = boot_tiling(memory, gbpages=gbpages, debug_pagealloc=debug_pagealloc)
    covered: list[PfnRange] = []
    for tile in tiling.tiles:
        assert tile.start_pfn % LEVEL_PAGES[tile.level] == tile.pages % LEVEL_PAGES[tile.level] == 0
        end = tile.start_pfn + tile.pages
        assert not covered or covered[-1].end <= tile.start_pfn
        if covered and covered[-1].end == tile.start_pfn:
            covered[-1] = PfnRange(covered[-1].start, end)
        else:
            covered.append(PfnRange(tile.start_pfn, end))
    above = [PfnRange(max(256, part.start), part.end) for part in memory.ram if part.end > 256]
    expected = [PfnRange(0, 256), *above]
    if expected[1].start == 256:
        expected[:2] = [PfnRange(0, expected[1].end)]
    assert covered == expected
    by_level = {level: sum(t.pages for t in tiling.tiles if t.level == level) * 4096 for level in LEVEL_PAGES}
    assert tiling.walk == (by_level[1], by_level[2], by_level[3])


@given(memory=maps(), gbpages=st.booleans())
def test_double_counting_only_adds_whole_large_entries(memory: MemoryMap, gbpages: bool) -> None:
    """The reported counters differ from the walk only by 1G or 2M entries that a later pass met again."""
    tiling = boot_tiling(memory, gbpages=gbpages)
    more_4k, more_2m, more_1g = (a - b for a, b in zip(tiling.as_linux_6_1, tiling.walk, strict=True))
    assert more_4k == 0
    assert more_2m >= 0
    assert more_2m % (2 * MIB) == 0
    assert more_1g in (0, GIB, 2 * GIB, 3 * GIB)


@given(memory=maps(), picks=st.lists(st.floats(0, 1, exclude_max=True), max_size=6))
def test_splits_keep_the_identity(memory: MemoryMap, picks: list[float]) -> None:
    """Each 2M split moves 2 MiB to 4K, each 1G split 1 GiB to 2M, in the walk and in the counters."""
    before = boot_tiling(memory)
    pages = [pfn for part in memory.ram if part.end > 256 for pfn in (max(256, part.start), part.end - 1)]
    chosen = sorted({pages[int(pick * len(pages))] for pick in picks})
    after = boot_tiling(memory, split_pfns=chosen)
    s2, s3 = after.level2_splits * 2 * MIB, after.level3_splits * GIB
    for old, new in ((before.walk, after.walk), (before.as_linux_6_1, after.as_linux_6_1)):
        assert new == (old.b4_bytes + s2, old.b2_bytes + s3 - s2, old.b1_bytes - s3)
    for pfn in chosen:
        assert any(
            tile.level == 1 and tile.start_pfn <= pfn < tile.start_pfn + tile.pages for tile in after.tiles
        )


@given(memory=maps())
def test_passes_map_all_ram_above_the_isa_range_once(memory: MemoryMap) -> None:
    """The passes go downwards without gap or overlap, the part above the first one comes last."""
    passes = mapping_passes(memory.ram)
    ascending = sorted(passes)
    assert all(low.end == high.start for low, high in pairwise(ascending))
    assert (ascending[0].start, ascending[-1].end) == (256, memory.max_pfn)


def test_image_edges_split_their_regions() -> None:
    """Aligned edges split nothing; two edges in one region split it once."""
    image = KernelImage(text_start_pfn=4096, text_end_pfn=4097, rodata_start_pfn=4608, rodata_end_pfn=5120)
    assert image_splits(image) == (4096,)
    assert image_splits(image.model_copy(update={"read_only_pfns": (4100, 6000)})) == (4096, 5632)


def test_splits_of_the_text_mapping_are_counted_only_while_there_are_2m_entries() -> None:
    """`split_page_count` does nothing at a level whose count is zero."""
    image = KernelImage(text_start_pfn=4096, text_end_pfn=5000, rodata_start_pfn=5120, rodata_end_pfn=6000)
    large = boot_tiling(MemoryMap.from_size(GIB), image=image)
    assert large.level2_splits == 2
    assert large.as_linux_6_1.b4_bytes - large.walk.b4_bytes == 2 * 2 * MIB
    small = boot_tiling(MemoryMap.from_size(GIB), image=image, debug_pagealloc=True)
    assert small.as_linux_6_1 == small.walk


def test_page_outside_the_direct_map_cannot_be_split() -> None:
    """The bad page frame is shown."""
    with pytest.raises(ValueError, match="999999999"):
        boot_tiling(MemoryMap.from_size(GIB), split_pfns=[999_999_999])


def test_tables_follow_the_levels() -> None:
    """4K-only needs a table page per 2 MiB and per 1 GiB; 1G entries need none of their own."""
    memory = a_map((0, 0x9FC00), (GIB, 3 * GIB))
    assert boot_tiling(memory).table_pages == 2  # those of the first MiB
    assert boot_tiling(memory, gbpages=False).table_pages == 2 + 2
    assert boot_tiling(memory, debug_pagealloc=True).table_pages == 2 + 2 + 1024
    assert memblock_tables(memory, debug_pagealloc=True) == 2 + 2 + 1024
    assert memblock_tables(memory, debug_pagealloc=True, image_pfn=G_PAGES + 5, early_pages=0) == 2 + 1024


@pytest.mark.parametrize("recorded", RECORDED)
def test_recorded_walk_is_predicted_from_the_firmware_ranges(recorded: BootRecording) -> None:
    """Tile by tile; where modules were loaded, outside the zone that gave them their pages."""
    profile = load_boot_profile(recorded.profile)
    tiling = boot_tiling(recorded.memory, gbpages=recorded.gbpages, image=profile.image)
    if not profile.late_splits:
        assert levels(tiling) == recorded.tiles
        return
    top = recorded.memory.ram[-1].start
    assert [tile for tile in levels(tiling) if tile[0] < top] == [
        tile for tile in recorded.tiles if tile[0] < top
    ]


@pytest.mark.parametrize("gib", [64, 16 * 1024])
def test_size_does_not_make_the_list_longer(gib: int) -> None:
    """Runs, not pages: 16 TiB has as many tiles as 64 GiB."""
    assert len(boot_tiling(MemoryMap.from_size(gib * GIB)).tiles) == 6


def test_tile_is_a_plain_triple() -> None:
    """Other parts take tiles as (start_pfn, pages, level)."""
    start, pages, level = Tile(1, 2, 3)
    assert (start, pages, level) == (1, 2, 3)
