"""The JSON text of a recording as typed records: what a field is called and may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.host.recording_text import RecordingError

__all__ = [
    "MIGRATETYPES",
    "NO_MEMORY",
    "PAGE_SIZE_BYTES",
    "Count",
    "DirectMapKb",
    "E820Range",
    "Machine",
    "OrUnknown",
    "RawDirectMap",
    "RawDirectMapCounters",
    "RawEvents",
    "RawPcp",
    "RawRecording",
    "RawState",
    "Sample",
    "SecretRuns",
    "Source",
    "StrictRecord",
    "Workload",
    "Zone",
    "check_e820",
    "frozen",
    "unroll_secret_pfns",
    "usable_end_pfn",
]

PAGE_SIZE_BYTES = 4096
#: Names of the migratetypes in the kernel's own order; a recording's number is an index into it.
MIGRATETYPES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic")
#: The pageblock type that says that there is no memory.
NO_MEMORY = 255
#: Machines above this are taken for an edited size: 1 TiB.
_MAX_MEMORY_BYTES = 1 << 40


#: A number that counts something; the bound keeps sums of a few thousand of them inside 64 bits.
Count = Annotated[int, Field(ge=0, le=1 << 50)]
_Signed = Annotated[int, Field(ge=-(1 << 50), le=1 << 50)]
#: -1 says that it is not known or not there.
OrUnknown = Annotated[int, Field(ge=-1, le=1 << 50)]
_Migratetype = Literal["Unmovable", "Movable", "Reclaimable", "HighAtomic"]
_Numbers = Annotated[list[int], Field(fail_fast=True)]


class StrictRecord(BaseModel):
    """Strictly typed, unchangeable; fields that a later recorder adds are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", populate_by_name=True)


class Source(StrictRecord):
    """Where a recording comes from."""

    kernel: str
    secretmem_policy: Literal["page", "pmd_pool", "pmd_pool_pagewise"]
    emulator: str
    build: Literal["minimal", "distribution"] | None = None
    accounting: Literal["per_mm", "per_user"] | None = None
    kernel_config_notes: str | None = None
    kernel_cmdline: str | None = None
    workload_cmdline: str | None = None
    cmdline: str | None = None


class DirectMapKb(StrictRecord):
    """Sizes of the direct map by page size in kB, as /proc/meminfo reports them; -1: it has no such line."""

    kb_4k: Count = Field(alias="4k")
    kb_2m: Count = Field(alias="2m")
    kb_1g: OrUnknown = Field(alias="1g")


E820Range = tuple[Count, Count, str]


class Zone(StrictRecord):
    """A zone of page frames; sizes and watermarks in pages."""

    name: str
    index: Annotated[int, Field(ge=0, le=3)]
    start_pfn: Count
    spanned: Count
    present: Count
    managed: Count
    wmark_min: Count
    wmark_low: Count
    wmark_high: Count
    lowmem_reserve: tuple[Count, ...]
    pcp_batch: Annotated[int, Field(ge=1, le=1 << 20)]
    pcp_high: Count

    @property
    def end_pfn(self) -> int:
        """First page frame after the zone."""
        return self.start_pfn + self.spanned


class Machine(StrictRecord):
    """The recorded machine."""

    memory_bytes: Annotated[int, Field(gt=0, le=_MAX_MEMORY_BYTES)]
    cpus: Annotated[int, Field(ge=1, le=36)]
    pageblock_order: Annotated[int, Field(ge=1, le=10)]
    max_order: Literal[11]
    pcp_high_order_thp: bool
    e820: tuple[E820Range, ...]
    zones: Annotated[tuple[Zone, ...], Field(min_length=1)]
    boot_direct_map_kb: DirectMapKb

    @property
    def end_pfn(self) -> int:
        """First page frame after the last zone."""
        return max(zone.end_pfn for zone in self.zones)


class RawFreeList(StrictRecord):
    """One free list; ``pfns`` are runs of first, count, step."""

    zone: str
    order: Annotated[int, Field(ge=0, le=10)]
    type: _Migratetype
    pfns: _Numbers


class RawPcpList(StrictRecord):
    """One per-CPU list; ``any`` is the list of order 9 that holds every type but movable."""

    index: Annotated[int, Field(ge=0, le=13)]
    order: Annotated[int, Field(ge=0, le=9)]
    type: Literal["Unmovable", "Movable", "Reclaimable", "any"]
    pfns: _Numbers


class RawPcp(StrictRecord):
    """The per-CPU lists of one zone and CPU."""

    zone: str
    cpu: Count
    count: Count
    high: Count
    batch: Annotated[int, Field(ge=1, le=1 << 20)]
    free_factor: Annotated[int, Field(ge=0, le=63)]
    nr_lists: Annotated[int, Field(ge=1, le=14)]
    vm_stat_diff: _Signed
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
    nr_free_pages: _Signed
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


class Workload(StrictRecord):
    """What the recorded program did; ``parameters`` by the names of the recordings' README."""

    type: Literal["one_memfd", "many_memfds", "fork", "adversary_anon", "adversary_fill", "churn"]
    code: str
    parameters: dict[str, int | str]


class Sample(StrictRecord):
    """Counters at one step of the workload."""

    index: Count
    label: str
    time_ns: Count
    event_index: Count | None
    secret_pages: OrUnknown
    direct_map_4k_kb: Count
    direct_map_2m_kb: Count
    direct_map_1g_kb: OrUnknown
    level2_splits: Count
    level3_splits: Count
    free_kb: Count
    page_tables_kb: Count
    mlocked_kb: Count
    unevictable_kb: Count
    unique_2m_regions: OrUnknown
    unique_1g_regions: OrUnknown
    buddyinfo: dict[str, tuple[Count, ...]]


class RawRequests(StrictRecord):
    """The distinct requests; rows of gfp, alloc_flags, context, site."""

    rows: list[
        tuple[Count, Annotated[int, Field(ge=0, le=1 << 30)], Annotated[int, Field(ge=0, le=3)], Count]
    ]


class RawSites(StrictRecord):
    """The distinct call sites; rows of kind and call chain."""

    rows: list[tuple[str, str]]


class RawEvents(StrictRecord):
    """The event stream as written, in columns."""

    count: Count
    op: str
    cpu: str
    zone: str
    order: str
    type: str
    pfn_delta: _Numbers
    request: _Numbers
    requests: RawRequests
    sites: RawSites
    aux: _Numbers
    pid: list[tuple[Count, Annotated[int, Field(ge=1)]]]


SecretRuns = list[tuple[Count, Count, Annotated[int, Field(ge=1)], _Signed]]


class RawRecording(StrictRecord):
    """A whole file of ``allocator/``."""

    format: Literal[1]
    name: str
    source: Source
    machine: Machine
    initial: RawState
    workload: Workload
    notes: tuple[str, ...]
    samples: list[Sample]
    secret_pfns: SecretRuns
    allocator_events: RawEvents
    final: RawState


def check_e820(e820: tuple[E820Range, ...], path: Path) -> None:
    """Refuse firmware ranges that overlap, are empty or out of order."""
    end = 0
    for at, (start, stop, _) in enumerate(e820):
        if start < end or stop <= start:
            message = f"{[start, stop]} overlaps or is empty"
            raise RecordingError(message, file=path, field=f"machine.e820[{at}]")
        end = stop


def usable_end_pfn(e820: tuple[E820Range, ...]) -> int:
    """Return the first page frame after the last usable range."""
    return max((stop for _, stop, kind in e820 if kind == "usable"), default=0) // PAGE_SIZE_BYTES


def frozen(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return ``array``, made read-only."""
    array.flags.writeable = False
    return array


def unroll_secret_pfns(runs: SecretRuns, end_pfn: int, path: Path) -> NDArray[np.int64]:
    """Return the frames of runs of first index, pfn, count, step."""
    parts, total = [np.zeros(0, np.int64)], 0
    for at, (index, pfn, count, step) in enumerate(runs):
        last = pfn + (count - 1) * step
        if index != total:
            raise RecordingError(
                f"starts at index {index} after {total} pages", file=path, field=f"secret_pfns[{at}]"
            )
        if not (0 <= last < end_pfn and pfn < end_pfn) or (step == 0 and count > 1):
            raise RecordingError(f"pfn {pfn} to {last} is not memory", file=path, field=f"secret_pfns[{at}]")
        parts.append(pfn + step * np.arange(count, dtype=np.int64))
        total += count
    pfns = np.concatenate(parts)
    frozen(pfns)
    return pfns
