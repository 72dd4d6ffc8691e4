"""Parsers of /proc files: four machines, and what must not be misread."""

from itertools import pairwise

import pytest

from models.host import procfs
from tests.models.host.proc_machines import MACHINES, sources


@pytest.mark.parametrize("machine", MACHINES)
def test_zones_count_the_free_pages_that_their_blocks_hold(machine: str) -> None:
    """Two files of one machine must tell of the same pages; a shifted column would not."""
    zones = procfs.parse_zoneinfo(sources(machine).text("zoneinfo"))
    blocks = procfs.parse_buddyinfo(sources(machine).text("buddyinfo"))
    assert zones
    for zone in zones:
        free = sum(count << order for order, count in enumerate(blocks[zone.node, zone.name]))
        # The counter lags behind by at most the threshold of each CPU, files are read one after the other.
        slack = sum(lists["stat_threshold"] for lists in zone.pagesets.values()) + 2048 * (machine == "zen5_guest_24g")
        assert abs(free - zone.fields["free"]) <= slack
        assert zone.fields["managed"] <= zone.fields["present"] <= zone.fields["spanned"]
        assert all({"count", "high", "batch"} <= set(lists) for lists in zone.pagesets.values())


@pytest.mark.parametrize("machine", ["zen5_guest_24g", "xeon_5_15_two_nodes", "arm64_6_6"])
def test_types_add_up_to_all_blocks(machine: str) -> None:
    """pagetypeinfo splits up by type what buddyinfo counts."""
    types = procfs.parse_pagetypeinfo(sources(machine).text("pagetypeinfo"))
    blocks = procfs.parse_buddyinfo(sources(machine).text("buddyinfo"))
    assert types.pageblock_order == 9
    for place, counted in blocks.items():
        by_type = [free for (node, zone, _), free in types.free.items() if (node, zone) == place]
        pages = sum(count << order for free in by_type for order, count in enumerate(free))
        assert abs(pages - sum(count << order for order, count in enumerate(counted))) <= 4096
        assert sum(types.blocks[place].values()) > 0


def test_more_than_a_hundred_thousand_blocks_are_read_as_that_many() -> None:
    """The kernel stops counting and writes '>100000'."""
    text = (
        "Page block order: 9\nFree pages count per migrate type at order 0 1\n"
        "Node    0, zone   Normal, type    Unmovable >100000      7 \n"
    )
    assert procfs.parse_pagetypeinfo(text).free[0, "Normal", "Unmovable"][:3] == (100000, 7, 0)


def test_orders_above_ten_become_blocks_of_order_ten() -> None:
    """arm64 kernels with large pages have orders up to 13; no page may be lost."""
    (blocks,) = procfs.parse_buddyinfo("Node 0, zone   Normal " + "0 " * 10 + "1 1 0 2").values()
    assert blocks[10] == 1 + 2 + 2 * 8
    assert len(blocks) == 11


def test_hidden_addresses_are_no_memory() -> None:
    """Without root every line of iomem reads zero; taking that for ranges would give a machine of no memory."""
    assert procfs.parse_iomem(sources("container_6_8").text("iomem")) is None


def test_iomem_keeps_the_top_level_ranges_in_order() -> None:
    """What lies inside a range (the kernel image) is no range of its own."""
    ranges = procfs.parse_iomem(sources("xeon_5_15_two_nodes").text("iomem"))
    assert ranges is not None
    assert (0x100000, 0x6D9BE000, "usable") in ranges
    assert all(lower[1] <= upper[0] for lower, upper in pairwise(ranges))
    assert not any(start == 0x2B000000 for start, _, _ in ranges)


def test_release_gives_the_version() -> None:
    """The version decides what is expected of secretmem."""
    assert procfs.parse_release(sources("arm64_6_6").text("version")) == ("6.6.32-cloud-arm64", (6, 6))


def test_shootdowns_are_summed_over_cpus() -> None:
    """The words behind the counts are no counts."""
    text = "            CPU0       CPU1\n TLB:        12         30   TLB shootdowns\n"
    assert procfs.parse_interrupts(text) == 42
    assert procfs.parse_interrupts(" LOC: 1 2 Local timer interrupts\n") is None


def test_lists_of_cpus() -> None:
    """As in /sys/devices/system/node/node0/cpulist; a node without CPUs has an empty line."""
    assert procfs.parse_list("0-3,8\n") == (0, 1, 2, 3, 8)
    assert procfs.parse_list("\n") == ()


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (procfs.parse_meminfo, "MemFree: 1 kB\n"),
        (procfs.parse_meminfo, "MemTotal: many kB\n"),
        (procfs.parse_zoneinfo, "nothing\n"),
        (procfs.parse_pagetypeinfo, "nothing\n"),
        (procfs.parse_cpuinfo, "\n"),
        (procfs.parse_release, "FreeBSD 14\n"),
    ],
)
def test_what_is_no_such_file_is_refused_with_its_name(parse: object, text: str) -> None:
    """An empty or foreign file must not become a machine of zeros."""
    assert callable(parse)
    with pytest.raises(procfs.ProcError, match="/proc/"):
        parse(text)
