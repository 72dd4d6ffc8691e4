"""The recorded machine as a recording's JSON text holds it: firmware ranges, zones, sizes of the direct map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from models.host.recording_fields import PAGE_SIZE_BYTES, Count, OrUnknown, StrictRecord
from models.host.recording_text import RecordingError

__all__ = ["DirectMapKb", "E820Range", "Machine", "Zone", "check_e820", "usable_end_pfn"]

#: Machines above this are taken for an edited size: 1 TiB.
_MAX_MEMORY_BYTES = 1 << 40


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
