"""The page allocator's lists of this machine, beside what its files say of them."""

import numpy as np
import pytest

from models.host import procfs
from models.host.kernel_memory.free_lists import Lists
from models.host.kernel_memory.reader import KernelReader
from models.host.sources import Sources
from tests.models.host.kernel_memory.kernel import needs_kernel_memory


def _read() -> Lists:
    with KernelReader(1 << 16, procfs.parse_pagetypeinfo(Sources().text("pagetypeinfo")).pageblock_order) as reader:
        return reader.lists()


@needs_kernel_memory
def test_no_page_lies_on_two_lists() -> None:
    """Blocks are aligned and inside the machine's page frames, and none overlaps another."""
    zones = procfs.parse_zoneinfo(Sources().text("zoneinfo"))
    end = max(zone.fields["start_pfn"] + zone.fields["spanned"] for zone in zones)
    found = _read()
    seen = np.zeros(end, np.int64)
    listed = [(one.pfns, one.order) for one in found.buddy] + [(one.pfns, one.order) for one in found.per_cpu]
    for pfns, order in listed:
        assert (pfns % (1 << order) == 0).all()
        assert ((pfns >= 0) & (pfns < end)).all()
        np.add.at(seen, (pfns[:, None] + np.arange(1 << order)).ravel(), 1)
    # A page that moves from one list to another during the walk may be seen twice.
    assert int((seen > 1).sum()) <= 4096


@needs_kernel_memory
def test_the_lists_hold_what_the_kernel_counts() -> None:
    """Each zone's free pages, as near as other processes let them be; a file's reading beside it goes stale at once."""
    for _ in range(5):
        before = procfs.parse_zoneinfo(Sources().text("zoneinfo"))
        found = _read()
        off = 0
        for zone in before:
            pages = sum(
                len(one.pfns) << one.order for one in found.buddy if (one.node, one.zone) == (zone.node, zone.name)
            )
            off = max(off, abs(pages - zone.fields["free"]) if zone.fields.get("managed") else 0)
        if off <= 8192:
            return
    pytest.fail(f"{off} pages of one zone more or less than counted, five times")
