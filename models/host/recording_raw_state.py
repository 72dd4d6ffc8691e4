"""Allocator and direct map at one instant as a recording's JSON text holds them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from models.host.recording_fields import Count, Migratetype, Numbers, OrUnknown, Signed, StrictRecord

__all__ = ["RawDirectMap", "RawDirectMapCounters", "RawPcp", "RawState"]


class RawFreeList(StrictRecord):
    """One free list; ``pfns`` are runs of first, count, step."""

    zone: str
    order: Annotated[int, Field(ge=0, le=10)]
    type: Migratetype
    pfns: Numbers


class RawPcpList(StrictRecord):
    """One per-CPU list; ``any`` is the list of order 9 that holds every type but movable."""

    index: Annotated[int, Field(ge=0, le=13)]
    order: Annotated[int, Field(ge=0, le=9)]
    type: Literal["Unmovable", "Movable", "Reclaimable", "any"]
    pfns: Numbers


class RawPcp(StrictRecord):
    """The per-CPU lists of one zone and CPU."""

    zone: str
    cpu: Count
    count: Count
    high: Count
    batch: Annotated[int, Field(ge=1, le=1 << 20)]
    free_factor: Annotated[int, Field(ge=0, le=63)]
    nr_lists: Annotated[int, Field(ge=1, le=14)]
    vm_stat_diff: Signed
    stat_threshold: Count
    lists: list[RawPcpList]
    type_overrides: list[tuple[Count, Annotated[int, Field(ge=0, le=3)]]]


class RawPageblocks(StrictRecord):
    """Types of the pageblocks of one zone, as runs of type and count."""

    zone: str
    first_pfn: Count
    runs: list[tuple[Count, Annotated[int, Field(ge=1, le=1 << 30)]]]


class RawZoneState(StrictRecord):
    """What a zone counts."""

    zone: str
    nr_free_pages: Signed
    watermark_boost: Count
    nr_reserved_highatomic: Count
    flags: Count


class RawDirectMapCounters(StrictRecord):
    """The counters of the direct map; sizes in kB."""

    direct_map_4k_kb: Count
    direct_map_2m_kb: Count
    direct_map_1g_kb: OrUnknown
    level2_splits: Count
    level3_splits: Count


class RawDirectMap(StrictRecord):
    """Counters, entries and tables of the direct map."""

    counters: RawDirectMapCounters
    runs: list[tuple[Count, Count, Annotated[int, Field(ge=0, le=3)], Literal[0, 1], Literal[0, 1]]]
    tables: list[tuple[Count, Literal[2, 3], Count]]


class RawState(StrictRecord):
    """Allocator and direct map at one instant, as written."""

    free_lists: list[RawFreeList]
    pcp: list[RawPcp]
    pageblocks: list[RawPageblocks]
    zone_state: list[RawZoneState]
    direct_map: RawDirectMap
