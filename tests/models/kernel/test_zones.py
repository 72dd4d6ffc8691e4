"""Zone marks from managed pages alone, against every recording and a real host's /proc/zoneinfo."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest

from models.kernel.boot_profile import load_boot_profile
from models.kernel.zones import DMA32_END, zone_limits, zone_marks
from tests.models.kernel.boot_recordings import RECORDINGS, BootRecording, boot_recordings

RECORDED = [pytest.param(each, id=each.name) for each in boot_recordings()]


@pytest.mark.parametrize("recorded", RECORDED)
def test_marks_follow_from_managed_pages(recorded: BootRecording) -> None:
    """Given managed pages, huge-page support and what was freed late, every mark is the recorded one."""
    profile = load_boot_profile(recorded.profile)
    home = "DMA32"  # the image lies at 16 MiB
    marks = zone_marks(
        [(0, row["name"], row["managed"]) for row in recorded.zones],
        [recorded.cpus],
        zone_dma=profile.zone_dma,
        transparent_hugepage=recorded.huge_pages,
        late_freed=[profile.late_freed_pages if row["name"] == home else 0 for row in recorded.zones],
    )
    for mark, row in zip(marks, recorded.zones, strict=True):
        assert mark.watermarks[:2] == (row["wmark_min"], row["wmark_low"])
        assert mark.watermarks.wmark_high == row.get("wmark_high", mark.watermarks.wmark_high)
        assert mark.pcp == (row["pcp_batch"], row["pcp_high"], row["pcp_high"])
        assert (
            list(mark.lowmem_reserve)
            == row.get("lowmem_reserve", list(mark.lowmem_reserve))[: len(mark.lowmem_reserve)]
        )


def zoneinfo(text: str) -> list[dict[str, Any]]:
    """Read the populated zones of a /proc/zoneinfo."""
    zones = []
    for block in re.split(r"^Node ", text, flags=re.M)[1:]:
        head = re.match(r"(\d+), zone\s+(\w+)", block)
        assert head is not None
        row: dict[str, Any] = {"node": int(head[1]), "name": head[2]}
        for key in ("min", "low", "high", "managed", "batch", "high_min", "high_max"):
            found = re.search(rf"^\s+{key}:?\s+(\d+)$", block, re.M)
            row[key] = int(found[1]) if found else 0
        protection = re.search(r"protection: \(([\d, ]+)\)", block)
        threshold = re.search(r"vm stats threshold: (\d+)", block)
        row["protection"] = [int(part) for part in protection[1].split(",")] if protection else []
        row["threshold"] = int(threshold[1]) if threshold else 0
        row["cpus"] = len(re.findall(r"^\s+cpu: \d+$", block, re.M))
        if row["managed"]:
            zones.append(row)
    return zones


@pytest.mark.parametrize(
    "path", sorted(RECORDINGS.glob("proc/*/zoneinfo")), ids=lambda path: path.parent.name
)
def test_marks_of_a_real_host(path: Any) -> None:
    """A host of 6.7 or later, huge pages on: watermarks, protection, per-CPU bounds and drift."""
    rows = zoneinfo(path.read_text())
    assert rows
    sizes = [(row["node"], row["name"], row["managed"]) for row in rows]
    marks = zone_marks(sizes, [rows[0]["cpus"]], zone_dma=True, version=(6, 18))
    for mark, row in zip(marks, rows, strict=True):
        assert mark.watermarks == (row["min"], row["low"], row["high"])
        assert list(mark.lowmem_reserve) == row["protection"][: len(mark.lowmem_reserve)]
        assert mark.pcp == (row["batch"], row["high_min"], row["high_max"])
        assert mark.stat_threshold == row["threshold"]


@pytest.mark.parametrize("zone_dma", [False, True])
def test_limits_leave_no_gap(zone_dma: bool) -> None:
    """Zones follow each other from page frame 0; Normal starts at 4 GiB."""
    limits = zone_limits(zone_dma)
    assert limits[0][1] == 0
    assert all(low[2] == high[1] for low, high in pairwise(limits))
    assert limits[-1][:2] == ("Normal", DMA32_END)


def test_memory_only_node_shares_its_lists_over_all_cpus() -> None:
    """A node without CPUs: its marks are split over every CPU of the machine."""
    sizes = [(0, "Normal", 1 << 22), (1, "Normal", 1 << 22)]
    home, far = zone_marks(sizes, [4, 0], transparent_hugepage=False)
    assert home.pcp == far.pcp
    fewer, _ = zone_marks(sizes, [2, 2], transparent_hugepage=False)
    assert fewer.pcp.high_min // 2 == home.pcp.high_min


def test_huge_pages_stay_off_below_512_mib() -> None:
    """A small machine keeps the small minimum."""
    small = [(0, "DMA32", 100_000)]
    assert zone_marks(small, [1], transparent_hugepage=True) == zone_marks(
        small, [1], transparent_hugepage=False
    )


def test_zone_without_a_page_is_refused() -> None:
    """Watermarks of nothing mean nothing."""
    with pytest.raises(ValueError, match="no page left"):
        zone_marks([(0, "Normal", 10)], [1], late_freed=[10])
