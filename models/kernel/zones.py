"""The zones of a booted machine and every mark that the kernel derives from their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.kernel.watermarks import (
    PcpMarks,
    Watermarks,
    lowmem_reserve,
    min_free_kbytes,
    normal_threshold,
    pcp_marks,
    recommended_min_free_kbytes,
    zone_watermarks,
)
from models.machine.memory import PAGE_BYTES, PfnRange

__all__ = [
    "DMA32_END",
    "Zone",
    "ZoneMarks",
    "zone_limits",
    "zone_marks",
]

_DMA_END = (16 << 20) // PAGE_BYTES
DMA32_END = (4 << 30) // PAGE_BYTES
#: `sysctl_lowmem_reserve_ratio` [6.1]; the last entry is ZONE_MOVABLE, always empty here.
_RESERVE_RATIO = {"DMA": 256, "DMA32": 256, "Normal": 32, "Movable": 0}
#: Below 512 MiB transparent huge pages stay off [6.1 `hugepage_init`].
_THP_MIN_PAGES = 512 << 8


@dataclass(frozen=True)
class ZoneMarks:
    """What the kernel derives from the sizes of all zones, for one of them; pages."""

    watermarks: Watermarks
    lowmem_reserve: tuple[int, ...]
    pcp: PcpMarks
    stat_threshold: int


@dataclass(frozen=True)
class Zone:
    """One populated zone of one node; page frames and pages of 4K.

    Attributes:
        node: NUMA node.
        index: The kernel's zone index: among the configured zones, lowest first, empty ones counted.
        name: DMA, DMA32 or Normal.
        start_pfn: First page frame of the span.
        spanned: Pages from the first to the last, holes included.
        present: Pages of RAM.
        managed: Pages given to the allocator.
        free: The managed pages as ranges, ascending.
        marks: Watermarks, reserves, per-CPU marks.
    """

    node: int
    index: int
    name: str
    start_pfn: int
    spanned: int
    present: int
    managed: int
    free: tuple[PfnRange, ...]
    marks: ZoneMarks


def zone_limits(zone_dma: bool = False) -> list[tuple[str, int, int]]:
    """Return (name, first page frame, end) of the configured zones, lowest first; arm64 as x86."""
    limits = [("DMA32", _DMA_END if zone_dma else 0, DMA32_END), ("Normal", DMA32_END, 1 << 52)]
    return [("DMA", 0, _DMA_END), *limits] if zone_dma else limits


def zone_marks(
    zones: Sequence[tuple[int, str, int]],
    node_cpus: Sequence[int],
    *,
    zone_dma: bool = False,
    transparent_hugepage: bool = True,
    pageblock_order: int = 9,
    version: tuple[int, int] = (6, 1),
    late_freed: Sequence[int] | None = None,
    threshold_managed: Sequence[int] | None = None,
) -> list[ZoneMarks]:
    """Return the marks of every populated zone.

    Args:
        zones: (node, name, managed pages) by node and index, as they are once the boot is over.
        node_cpus: Online CPUs of each node.
        zone_dma: ZONE_DMA is configured (changes only the length of ``lowmem_reserve``).
        transparent_hugepage: khugepaged raises min_free_kbytes.
        pageblock_order: Order of a pageblock.
        version: Kernel version.
        late_freed: Per zone, pages that became managed after watermarks and reserves had been computed; None:
            none.
        threshold_managed: Per zone, managed pages when `refresh_zone_stat_thresholds` ran; None: as for the
            watermarks.
    """
    late = list(late_freed) if late_freed is not None else [0] * len(zones)
    managed = [pages - freed for (_, _, pages), freed in zip(zones, late, strict=True)]
    if any(pages <= 0 for pages in managed):
        raise ValueError(f"a zone has no page left after boot: {list(zip(zones, late, strict=True))}")
    min_free = min_free_kbytes(sum(managed))
    if transparent_hugepage and sum(managed) >= _THP_MIN_PAGES:
        high = sum(marks.wmark_high for marks in zone_watermarks(managed, min_free))
        wanted = recommended_min_free_kbytes(len(zones), sum(managed) - high, 1 << pageblock_order)
        min_free = max(min_free, wanted)
    watermarks = zone_watermarks(managed, min_free)
    names = [name for name, _, _ in zone_limits(zone_dma)] + ["Movable"]
    reserves: dict[tuple[int, str], tuple[int, ...]] = {}
    for node in {node for node, _, _ in zones}:
        pages = {name: size for (home, name, _), size in zip(zones, managed, strict=True) if home == node}
        rows = lowmem_reserve(
            [pages.get(name, 0) for name in names], [_RESERVE_RATIO[name] for name in names]
        )
        reserves.update({(node, name): row for name, row in zip(names, rows, strict=True)})
    online = sum(node_cpus)
    drift = threshold_managed if threshold_managed is not None else managed
    marks = []
    for (node, name, full), mark, seen in zip(zones, watermarks, drift, strict=True):
        cpus = node_cpus[node] or online
        pcp = pcp_marks(full, mark.wmark_low, cpus, version)
        marks.append(ZoneMarks(mark, reserves[node, name], pcp, normal_threshold(seen, online)))
    return marks
