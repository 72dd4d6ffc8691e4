"""The kernel's formulas for watermarks, reserves, per-CPU lists and counter drift; sizes in 4K pages.

All from 6.1 `mm/page_alloc.c`, `mm/khugepaged.c` and `mm/vmstat.c`; the function names are the kernel's where
it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Final, NamedTuple

__all__ = [
    "PcpMarks",
    "Watermarks",
    "lowmem_reserve",
    "min_free_kbytes",
    "normal_threshold",
    "pcp_marks",
    "per_cpu_rules",
    "recommended_min_free_kbytes",
    "zone_batchsize",
    "zone_highsize",
    "zone_watermarks",
]

#: Migratetypes with per-CPU lists: UNMOVABLE, MOVABLE, RECLAIMABLE.
MIGRATE_PCPTYPES = 3
TUNED_PER_CPU: Final = (6, 7)
"""The first kernel whose per-CPU lists tune themselves."""
LATER_TUNED_PER_CPU: Final = (6, 16)
"""The first that drains blocks of higher orders only after half of the lower high mark came back besides."""
#: From 6.7 a per-CPU high mark may grow to managed / 8 / CPUs.
MIN_PERCPU_PAGELIST_HIGH_FRACTION = 8
WATERMARK_SCALE_FACTOR = 10


class Watermarks(NamedTuple):
    """A zone's min, low and high watermark in pages."""

    wmark_min: int
    wmark_low: int
    wmark_high: int


class PcpMarks(NamedTuple):
    """Bounds of a per-CPU list in pages; before 6.7 both high marks are the one fixed mark."""

    batch: int
    high_min: int
    high_max: int


def min_free_kbytes(lowmem_pages: int) -> int:
    """Return `calculate_min_free_kbytes`: the root of 16 times the memory in kB, from 128 kB to 256 MiB."""
    return min(max(isqrt(lowmem_pages * 4 * 16), 128), 262144)


def recommended_min_free_kbytes(zones: int, lowmem_pages: int, pageblock_pages: int = 512) -> int:
    """Return what `set_recommended_min_free_kbytes` asks for when transparent huge pages are on.

    Args:
        zones: Populated zones of all nodes.
        lowmem_pages: `nr_free_buffer_pages`: managed pages less the high watermarks.
        pageblock_pages: Pages of a pageblock.
    """
    recommended = pageblock_pages * zones * (2 + MIGRATE_PCPTYPES * MIGRATE_PCPTYPES)
    return min(recommended, lowmem_pages // 20) * 4


def zone_watermarks(
    managed: Sequence[int], min_free_kb: int, scale_factor: int = WATERMARK_SCALE_FACTOR
) -> list[Watermarks]:
    """Return `__setup_per_zone_wmarks` for zones with ``managed`` pages (all nodes), in their order."""
    pages_min = min_free_kb >> 2
    lowmem_pages = sum(managed)
    marks = []
    for pages in managed:
        low = pages_min * pages // lowmem_pages if lowmem_pages else 0
        gap = max(low >> 2, pages * scale_factor // 10000)
        marks.append(Watermarks(low, low + gap, low + 2 * gap))
    return marks


def lowmem_reserve(managed: Sequence[int], ratios: Sequence[int]) -> list[tuple[int, ...]]:
    """Return `setup_per_zone_lowmem_reserve` for one node.

    Args:
        managed: Managed pages of the node's zones, lowest zone first; 0 for a zone that has none here.
        ratios: `sysctl_lowmem_reserve_ratio` of each zone (256 for DMA and DMA32, 32 for Normal).

    Returns:
        Per zone, the pages kept from requests whose highest allowed zone is the index.
    """
    reserves = []
    for index, (pages, ratio) in enumerate(zip(managed, ratios, strict=True)):
        row, above = [0] * len(managed), 0
        for upper in range(index + 1, len(managed)):
            above += managed[upper]
            row[upper] = above // ratio if ratio and pages else 0
        reserves.append(tuple(row))
    return reserves


def zone_batchsize(managed: int) -> int:
    """Return `zone_batchsize`: pages moved between a per-CPU list and the buddy lists at once, at least 1."""
    batch = max(min(managed >> 10, 256) // 4, 1)
    return max(1, (1 << ((batch + batch // 2).bit_length() - 1)) - 1)


def zone_highsize(total_pages: int, cpus: int, batch: int) -> int:
    """Return `zone_highsize`: ``total_pages`` split over ``cpus``, at least four batches."""
    return max(total_pages // cpus, batch << 2)


def pcp_marks(managed: int, wmark_low: int, cpus: int, version: tuple[int, int] = (6, 1)) -> PcpMarks:
    """Return the per-CPU list bounds of a zone.

    Args:
        managed: Managed pages of the zone.
        wmark_low: Its low watermark.
        cpus: Online CPUs of its node, or of the machine when the node has none.
        version: Kernel version; from 6.7 on the high mark tunes itself up to an eighth of the zone.
    """
    batch = zone_batchsize(managed)
    high = zone_highsize(wmark_low, cpus, batch)
    if version < TUNED_PER_CPU:
        return PcpMarks(batch, high, high)
    return PcpMarks(batch, high, zone_highsize(managed // MIN_PERCPU_PAGELIST_HIGH_FRACTION, cpus, batch))


def per_cpu_rules(version: tuple[int, int]) -> int:
    """Return whose rules per-CPU lists follow: 0 those of 6.1, 1 those of 6.7, 2 those of 6.16."""
    return int(version >= TUNED_PER_CPU) + int(version >= LATER_TUNED_PER_CPU)


def normal_threshold(managed: int, online_cpus: int) -> int:
    """Return `calculate_normal_threshold`: how far a CPU's part of a zone counter may drift, in pages."""
    units_128m = managed >> 15
    return min(125, 2 * online_cpus.bit_length() * (1 + units_128m.bit_length()))
