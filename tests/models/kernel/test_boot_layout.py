"""A booted machine: every recorded one from its size alone, and laws on machines of any shape."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kernel.boot_layout import BootLayout, boot_layout, early_hash_pages
from models.kernel.boot_profile import BootProfile, boot_profile_names, load_boot_profile
from models.machine.machine import MachineConfig, build_machine
from models.machine.memory import PfnRange
from tests.models.kernel.boot_recordings import BootRecording, boot_recordings

GIB = 1 << 30
RECORDED = [pytest.param(each, id=each.name) for each in boot_recordings()]


def booted(recorded: BootRecording) -> BootLayout:
    boot = {"gbpages": recorded.gbpages}
    config = MachineConfig.model_validate(
        {"memory": recorded.memory_bytes, "cpus": recorded.cpus, "boot": boot}
    )
    return boot_layout(build_machine(config), load_boot_profile(recorded.profile))


@pytest.mark.parametrize("recorded", RECORDED)
def test_recorded_zones_follow_from_size_and_cpus(recorded: BootRecording) -> None:
    """Span, present and managed pages, watermarks, reserves, per-CPU marks, drift: exactly as recorded.

    Managed pages rest on three numbers fitted per kernel build; what is tested is that they serve every size.
    """
    zones = booted(recorded).zones
    assert [zone.name for zone in zones] == [row["name"] for row in recorded.zones]
    for zone, row in zip(zones, recorded.zones, strict=True):
        marks = zone.marks
        predicted = {
            "start_pfn": zone.start_pfn,
            "spanned": zone.spanned,
            "present": zone.present,
            "managed": zone.managed,
            "wmark_min": marks.watermarks.wmark_min,
            "wmark_low": marks.watermarks.wmark_low,
            "wmark_high": marks.watermarks.wmark_high,
            "pcp_batch": marks.pcp.batch,
            "pcp_high": marks.pcp.high_min,
        }
        known = {key: value for key, value in predicted.items() if key in row}
        assert known == {key: row[key] for key in known}
        if "lowmem_reserve" in row:
            assert zone.index == row["index"]
            assert list(marks.lowmem_reserve) == row["lowmem_reserve"][: len(marks.lowmem_reserve)]
        for pcp in recorded.pcp:
            if pcp["zone"] == zone.name:
                assert marks.stat_threshold == pcp["stat_threshold"]


@pytest.mark.parametrize("recorded", RECORDED)
def test_recorded_counters_follow_with_their_double_counting(recorded: BootRecording) -> None:
    """DirectMap4k, 2M and 1G as /proc/meminfo reported them, to the kB.

    For the distribution's kernel the splits by modules and in other mappings are inputs of its profile.
    """
    assert tuple(size // 1024 for size in booted(recorded).tiling.as_linux_6_1) == recorded.reported_kb


@pytest.mark.parametrize("recorded", RECORDED)
def test_recorded_walk_is_near(recorded: BootRecording) -> None:
    """1G entries exactly; 2M entries within 2 %, wherever modules happened to go."""
    tiles = booted(recorded).tiling.tiles
    predicted = {level: sum(tile.pages for tile in tiles if tile.level == level) for level in (2, 3)}
    walked = {level: sum(pages for _, pages, size in recorded.tiles if size == level) for level in (2, 3)}
    assert predicted[3] == walked[3]
    assert predicted[2] == pytest.approx(walked[2], rel=0.02)


@settings(max_examples=60, deadline=None)
@given(
    mib=st.integers(256, 64 * 1024),
    nodes=st.integers(1, 4),
    name=st.sampled_from(boot_profile_names()),
    kfence=st.booleans(),
    gbpages=st.booleans(),
)
def test_every_page_is_reserved_or_managed(
    mib: int, nodes: int, name: str, kfence: bool, gbpages: bool
) -> None:
    """Reserved and free ranges are disjoint and add up to the RAM; free ranges are the managed pages."""
    config = {"memory": mib << 20, "cpus": 8, "nodes": nodes, "boot": {"gbpages": gbpages}}
    machine = build_machine(MachineConfig.model_validate(config))
    profile = load_boot_profile(name).model_copy(update={"kfence": kfence})
    layout = boot_layout(machine, profile)
    pieces = sorted([*layout.reserved, *(part for zone in layout.zones for part in zone.free)])
    rows: list[PfnRange] = []
    for piece in pieces:
        if rows and rows[-1].end == piece.start:
            rows[-1] = PfnRange(rows[-1].start, piece.end)
        else:
            rows.append(piece)
    assert tuple(rows) == machine.memory.ram
    # A zone that the boot uses up is left out.
    assert sum(zone.present for zone in layout.zones) <= machine.memory.ram_pages
    for zone in layout.zones:
        assert sum(part.pages for part in zone.free) == zone.managed
        assert zone.managed <= zone.present <= zone.spanned
        low, mark, high = zone.marks.watermarks
        assert 0 <= low <= mark <= high < zone.managed


def test_kfence_pool_costs_2m_and_one_split() -> None:
    """Its 2 MiB at 4K is one split, and a 1G split where a 1G entry lay there."""
    machine = build_machine(MachineConfig.model_validate({"memory": "8GiB", "cpus": 1}))
    plain = load_boot_profile("minimal")
    without = boot_layout(machine, plain)
    with_pool = boot_layout(machine, plain.model_copy(update={"kfence": True}))
    assert with_pool.tiling.level2_splits - without.tiling.level2_splits == 1
    assert with_pool.tiling.level3_splits - without.tiling.level3_splits == 1
    assert sum(zone.managed for zone in without.zones) - sum(zone.managed for zone in with_pool.zones) == 512


def test_each_node_holds_its_own_memory_map() -> None:
    """`struct page` of a node lies on that node, so that both nodes lose the same share."""
    config = {"memory": "64GiB", "cpus": 4, "nodes": 2}
    bare = load_boot_profile("bare")
    zones = boot_layout(build_machine(MachineConfig.model_validate(config)), bare).zones
    lost = [sum(zone.present - zone.managed for zone in zones if zone.node == node) for node in (0, 1)]
    assert lost[0] == pytest.approx(lost[1], rel=0.01)
    assert lost[1] == pytest.approx(32 * GIB / 4096 / 64, rel=0.01)


def test_zone_split_over_nodes_keeps_its_limits() -> None:
    """DMA32 belongs to the node that holds the memory below 4 GiB; the other node has Normal only."""
    config = {"memory": "16GiB", "cpus": 2, "nodes": 2}
    machine = build_machine(MachineConfig.model_validate(config))
    zones = boot_layout(machine, load_boot_profile("distribution")).zones
    assert [(zone.node, zone.name) for zone in zones] == [
        (0, "DMA"),
        (0, "DMA32"),
        (0, "Normal"),
        (1, "Normal"),
    ]
    assert zones[2].start_pfn + zones[2].spanned == zones[3].start_pfn
    assert zones[3].marks.lowmem_reserve[-1] == 0


def test_machine_too_small_for_its_kernel_is_refused() -> None:
    """The image must lie in RAM and something must be left."""
    machine = build_machine(MachineConfig.model_validate({"memory": "32MiB", "cpus": 1}))
    with pytest.raises(ValueError, match="does not lie in RAM"):
        boot_layout(machine, load_boot_profile("distribution"))
    greedy = load_boot_profile("bare").model_copy(update={"top_pages": 1 << 20})
    with pytest.raises(ValueError, match="too little memory to boot"):
        boot_layout(machine, greedy)
    late = load_boot_profile("minimal").model_copy(update={"late_freed_pages": 8000})
    with pytest.raises(ValueError, match="no page left"):
        boot_layout(machine, late)
    hole = [[0, 0x9FC00], [0x100000, 0x200000], ["1GiB", "2GiB"]]
    elsewhere = build_machine(MachineConfig.model_validate({"memory": hole, "cpus": 1}))
    with pytest.raises(ValueError, match="does not lie in RAM"):
        boot_layout(elsewhere, load_boot_profile("minimal"))


def test_small_machine_boots_bare() -> None:
    """The what-if profile leaves nearly all of 32 MiB."""
    machine = build_machine(MachineConfig.model_validate({"memory": "32MiB", "cpus": 1}))
    (zone,) = boot_layout(machine, load_boot_profile("bare")).zones
    assert zone.managed > 0.8 * zone.present


def test_hash_tables_are_powers_of_two_and_grow_slower_above_64_gib() -> None:
    """1.5 MiB per GiB up to 64 GiB, rounded up; half as fast per fourfold beyond."""
    gib = GIB // 4096
    assert early_hash_pages(4 * gib) == 4 * 384
    assert early_hash_pages(3 * gib) == 4 * 384
    assert early_hash_pages(256 * gib) == 2 * early_hash_pages(64 * gib)


def test_arm64_has_no_first_mib() -> None:
    """Nothing is reserved for a PC's BIOS."""
    machine = build_machine(MachineConfig.model_validate({"memory": "4GiB", "cpus": 1, "arch": "arm64"}))
    layout = boot_layout(
        machine, BootProfile(source="test", confidence="what-if", struct_page_bytes=0, early_hashes=False)
    )
    assert {tile.level for tile in layout.tiling.tiles} == {1}
    assert layout.reserved[0].start > 256
