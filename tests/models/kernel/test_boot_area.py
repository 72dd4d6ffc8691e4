"""Areas set aside at boot: where they lie, and that the allocator's books still agree."""

from __future__ import annotations

import pytest

from models.kernel.boot_area import alignment_pages, take_area
from tests.models.kernel.machines import PageCensus, boot

HUGE_PAGES = 512
GIGA_PAGES = 262144


def test_alignment_follows_the_size() -> None:
    """2M, or 1G when twice the size exceeds 1 GiB."""
    assert alignment_pages(GIGA_PAGES // 2) == HUGE_PAGES
    assert alignment_pages(GIGA_PAGES // 2 + HUGE_PAGES) == GIGA_PAGES


@pytest.mark.parametrize("size", [HUGE_PAGES, 2 * HUGE_PAGES, 3 * HUGE_PAGES, 65536 + HUGE_PAGES])
def test_area_lies_at_the_top_and_leaves_whole_lists(size: int) -> None:
    """Odd sizes cut a block of the highest order in two; every list stays whole and every page is somewhere."""
    kernel = boot({"memory": "1GiB", "cpus": 1})
    before = PageCensus(kernel.store)
    start = take_area(kernel.state, size, HUGE_PAGES)
    after = PageCensus(kernel.store)
    assert start % HUGE_PAGES == 0
    assert before.free - after.free == size
    assert int(kernel.store.config[0]["free_pages"]) == after.free
    assert start + size > 0.98 * len(kernel.store.pages)


def test_size_must_be_whole() -> None:
    """Not half a PMD."""
    kernel = boot({"memory": "1GiB", "cpus": 1})
    with pytest.raises(ValueError, match="4 KiB"):
        take_area(kernel.state, 1, HUGE_PAGES)
