"""The page allocator's lists of this machine, beside what its files say of them."""

import numpy as np
import pytest

from models.host import procfs
from models.host.capture import Capture
from models.host.kernel_memory.free_lists import Lists
from models.host.kernel_memory.reader import KernelReader
from models.host.sources import Sources, Unreadable
from tests.models.host.kernel_memory.kernel import needs_kernel_memory


def _reader() -> KernelReader:
    order = procfs.parse_pagetypeinfo(Sources().text("pagetypeinfo")).pageblock_order
    return KernelReader(1 << 16, procfs.parse_list(Sources().sys_text("devices/system/cpu/possible")), order)


def _per_cpu_pages(lists: Lists) -> dict[tuple[str, int], int]:
    counts: dict[tuple[str, int], int] = {}
    for one in lists.per_cpu:
        counts[one.zone, one.cpu] = counts.get((one.zone, one.cpu), 0) + (len(one.pfns) << one.order)
    return counts


@needs_kernel_memory
def test_no_page_lies_on_two_lists() -> None:
    """Blocks are aligned and inside their zones, and none overlaps another, however often they are read."""
    zones = {(zone.node, zone.name): zone.fields for zone in procfs.parse_zoneinfo(Sources().text("zoneinfo"))}
    with _reader() as reader:
        for _ in range(20):
            found = reader.lists()
            listed = [(one.pfns, one.order, zones[one.node, one.zone]) for one in found.buddy]
            listed += [(one.pfns, one.order, zones[one.node, one.zone]) for one in found.per_cpu]
            for pfns, order, zone in listed:
                assert (pfns % (1 << order) == 0).all()
                assert ((pfns >= zone["start_pfn"]) & (pfns < zone["start_pfn"] + zone["spanned"])).all()
            pages = np.concatenate([(pfns[:, None] + np.arange(1 << order)).ravel() for pfns, order, _ in listed])
            assert len(np.unique(pages)) == len(pages)


@needs_kernel_memory
def test_the_lists_hold_what_the_kernel_counts() -> None:
    """Each CPU's pages and each zone's free ones, in a reading between two equal ones of /proc/zoneinfo.

    Other processes take and free pages all the time, so that it is tried until they leave it alone for a moment.
    """

    def counted() -> tuple[dict[tuple[str, int], int], dict[str, int]]:
        zones = [zone for zone in procfs.parse_zoneinfo(Sources().text("zoneinfo")) if zone.fields.get("managed")]
        pages = {(zone.name, cpu): lists["count"] for zone in zones for cpu, lists in zone.pagesets.items()}
        return {key: count for key, count in pages.items() if count}, {zone.name: zone.fields["free"] for zone in zones}

    with _reader() as reader:
        for _ in range(500):
            before, found, after = counted(), reader.lists(), counted()
            if before[0] == after[0] == _per_cpu_pages(found):
                break
        else:
            pytest.skip("other processes never left the lists alone")
    for zone, free in after[1].items():
        pages = sum(len(one.pfns) << one.order for one in found.buddy if one.zone == zone)
        # Each CPU keeps a difference to the zone's counter.
        assert abs(pages - free) <= 1024, zone


@needs_kernel_memory
def test_a_capture_is_of_one_moment() -> None:
    """Lists, tiling and flags are there; two captures do not need another handle."""
    with Capture() as capture:
        for captured in (capture.now(), capture.now()):
            assert captured.lists().buddy
            assert captured.tiles()
            assert len(captured.words("kpageflags", 0, 16)) == 128
            assert "Node 0" in captured.text("zoneinfo")


def test_where_memory_cannot_be_read_a_capture_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else is captured all the same."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("models.host.kernel_memory.bpf_call._SYS_BPF", {})
    monkeypatch.setattr("models.host.capture._fill", refuse)
    with Capture() as capture:
        captured = capture.now()
    with pytest.raises(Unreadable, match="the kernel's memory"):
        captured.lists()
    with pytest.raises(Unreadable, match="kpageflags cannot be read"):
        captured.words("kpageflags", 0, 1)
    assert captured.text("meminfo")
