"""The parts of a snapshot: kernel, nodes, zones, free blocks, direct map, pages and the allocator's lists."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.machine.memory import Arch
from models.machine.page_runs import decode_pages, lie_apart

__all__ = [
    "BuddyListSnapshot",
    "Count",
    "DirectMapSnapshot",
    "FreeCounts",
    "KernelSnapshot",
    "ListSnapshot",
    "NodeSnapshot",
    "PageSnapshot",
    "PageblockCounts",
    "PerCpuListSnapshot",
    "PerCpuSnapshot",
    "Provenance",
    "SecretmemSnapshot",
    "ZoneSnapshot",
]

ORDERS = 11

Count = Annotated[int, Field(ge=0, le=1 << 50)]

Migratetype = Literal["Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Provenance(_Part):
    """Where a part was read, and what of it could not be read (empty: nothing is missing)."""

    source: str
    gap: str = ""


class KernelSnapshot(_Part):
    """The running kernel; ``gbpages``: whether the direct map may hold 1G entries (None: not known)."""

    release: str = ""
    version: tuple[int, int] = (0, 0)
    arch: Arch = "x86_64"
    transparent_hugepage: str = ""
    gbpages: bool | None = None


class SecretmemSnapshot(_Part):
    """What `memfd_secret` does on this kernel, by its version and by one call of it."""

    available: bool | None = None
    policy: Literal["page"] = "page"
    accounting: Literal["per_mm", "per_user"] | None = None


class NodeSnapshot(_Part):
    """A NUMA node: its CPUs, and the pages that its zones span."""

    id: int
    cpus: tuple[int, ...]


class PerCpuSnapshot(_Part):
    """One CPU's page lists in one zone; ``high_min`` and ``high_max`` from 6.7 on."""

    cpu: int
    count: Count
    high: Count
    batch: Annotated[int, Field(ge=1)]
    high_min: Count | None = None
    high_max: Count | None = None
    stat_threshold: Count = 0


class ZoneSnapshot(_Part):
    """One populated zone; pages of 4K. ``present`` less ``managed`` is reserved, or not yet handed to the allocator."""

    node: int
    name: str
    start_pfn: Count
    spanned: Count
    present: Count
    managed: Count
    free: Count
    min: Count
    low: Count
    high: Count
    protection: tuple[Count, ...] = ()
    pagesets: tuple[PerCpuSnapshot, ...] = ()

    @property
    def end_pfn(self) -> int:
        """One past the last page frame."""
        return self.start_pfn + self.spanned


class DirectMapSnapshot(_Part):
    """Sizes as /proc/meminfo reports them, counters of /proc/vmstat, and what is known of the tiling.

    Attributes:
        tiles: [first pfn, pages, level 1 to 3], from the kernel's page tables; None: not readable.
    """

    kb_4k: Count | None = None
    kb_2m: Count | None = None
    kb_1g: Count | None = None
    level2_splits: Count | None = None
    level3_splits: Count | None = None
    level2_collapses: Count | None = None
    level3_collapses: Count | None = None
    tiles: tuple[tuple[int, int, int], ...] | None = None


class FreeCounts(_Part):
    """Free blocks of a zone by order; ``type`` None when the kernel does not say (/proc/buddyinfo)."""

    node: int
    zone: str
    type: Migratetype | None = None
    blocks: Annotated[tuple[Count, ...], Field(min_length=ORDERS, max_length=ORDERS)]


class PageblockCounts(_Part):
    """Pageblocks of a zone by type."""

    node: int
    zone: str
    types: dict[Migratetype, Count]


class PageSnapshot(_Part):
    """Page by page, from /proc/kpageflags; runs as `models.machine.page_runs` writes them, in page frames.

    Attributes:
        free: pages on the buddy lists.
        unmarked: pages without any flag: on a per-CPU list, or taken by the kernel for itself. Whole pageblocks of
            them are left out.
        tables: pages that hold page tables, which come and go with processes.
        types: pageblock types, [first pageblock, count, type], inferred from what lies in them.
        misfit: free blocks that the inferred types assign to another type than the counts of /proc/pagetypeinfo.
    """

    free: str
    unmarked: str
    tables: str = ""
    types: tuple[tuple[int, int, Migratetype], ...]
    misfit: Count = 0


class BuddyListSnapshot(_Part):
    """Free blocks of one zone, order and type; ``pfns``: their first page frames, head first (hex)."""

    node: int
    zone: str
    order: Annotated[int, Field(ge=0, lt=ORDERS)]
    type: Migratetype
    pfns: str


class PerCpuListSnapshot(BuddyListSnapshot):
    """Blocks on one list of a CPU."""

    cpu: Annotated[int, Field(ge=0)]


class ListSnapshot(_Part):
    """The page allocator's lists themselves, in their order, from the kernel's memory; empty ones left out."""

    buddy: tuple[BuddyListSnapshot, ...]
    per_cpu: tuple[PerCpuListSnapshot, ...]

    @model_validator(mode="after")
    def _no_page_twice(self) -> ListSnapshot:
        starts, pages = self.blocks()
        if not lie_apart(starts, pages):
            raise ValueError("a page lies on two lists, or a block is not aligned to its order")
        return self

    def blocks(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return first page frame and pages of every block."""
        listed = [(decode_pages(one.pfns), 1 << one.order) for one in (*self.buddy, *self.per_cpu)]
        none = np.zeros(0, np.int64)
        starts = np.concatenate([none, *(pfns for pfns, _ in listed)])
        return starts, np.concatenate([none, *(np.full(len(pfns), pages, np.int64) for pfns, pages in listed)])
