"""What a machine's kernel says of itself at one instant, as a file: the format of `machine: {snapshot: ...}`.

Reading a live kernel is the business of `models.host`; here is only what such a file holds, and how it becomes a
machine. Every part may be missing: ``provenance`` says where each part comes from, and why it is not there.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.machine.memory import Arch, RangeType
from models.machine.page_runs import decode_pages, lie_apart
from simcore.errors import ConfigError

__all__ = [
    "BuddyListSnapshot",
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
    "Snapshot",
    "ZoneSnapshot",
    "load_snapshot",
]  # fmt: skip

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


class Snapshot(_Part):
    """A machine at one instant."""

    format: Literal[1] = 1
    taken: str
    kernel: KernelSnapshot
    secretmem: SecretmemSnapshot = SecretmemSnapshot()
    memory: tuple[tuple[int, int, RangeType], ...]
    cpus: Annotated[int, Field(ge=1)]
    sockets: Annotated[int, Field(ge=1)] = 1
    nodes: tuple[NodeSnapshot, ...]
    tlb: str | None = None
    host_page: Literal["4K", "2M", "1G"] | None = None
    zones: tuple[ZoneSnapshot, ...] = ()
    direct_map: DirectMapSnapshot = DirectMapSnapshot()
    pageblock_order: Annotated[int, Field(ge=0, le=13)] = 9
    free_blocks: tuple[FreeCounts, ...] = ()
    pageblocks: tuple[PageblockCounts, ...] = ()
    pages: PageSnapshot | None = None
    lists: ListSnapshot | None = None
    kernel_pages: Count | None = None
    provenance: dict[str, Provenance] = {}

    def machine_keys(self) -> dict[str, Any]:
        """Return the keys of a machine's configuration that the snapshot knows."""
        keys: dict[str, Any] = {
            "arch": self.kernel.arch,
            "memory": [list(line) for line in self.memory],
            "cpus": self.cpus,
        }
        if len(self.nodes) == 1 and self.cpus % self.sockets == 0:
            keys["sockets"] = self.sockets
        if len(self.nodes) > 1:
            keys["nodes"] = [{"memory": self._node_ranges(node.id), "cpus": len(node.cpus)} for node in self.nodes]
        if self.tlb is not None:
            keys["tlb"] = self.tlb
        if self.host_page is not None:
            keys["host_page"] = self.host_page
        if self.kernel.arch == "x86_64" and self.kernel.gbpages is not None:
            keys["boot"] = {"gbpages": self.kernel.gbpages}
        return keys

    def _node_ranges(self, node: int) -> list[list[int]]:
        spans = sorted((zone.start_pfn, zone.end_pfn) for zone in self.zones if zone.node == node)
        merged: list[list[int]] = []
        for start, end in spans:
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(end, merged[-1][1])
            else:
                merged.append([start, end])
        return [[start << 12, end << 12] for start, end in merged]


def load_snapshot(path: Path) -> Snapshot:
    """Read a snapshot file; the same object as long as the file does not change.

    Raises:
        ConfigError: The file cannot be read, or is no snapshot.
    """
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path, expected="a snapshot file") from None
    return _load(path, stamp)


@lru_cache(maxsize=4)
def _load(path: Path, _stamp: int) -> Snapshot:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        return Snapshot.model_validate(document)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=path, expected="a snapshot file") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(first["msg"], file=path, key=key or None, expected="a snapshot file") from None
