"""The memory of a machine as its kernel tells of it: zones, free blocks, and page by page where flags can be read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from models.host import procfs
from models.host.page_flags import BUDDY, PGTABLE, BlockEvidence, evidence, marked, unmarked_pages
from models.host.pageblock_types import fit_types
from models.host.snapshot_taking import Taking
from models.host.sources import Unreadable
from models.machine.page_runs import encode_pages, encode_runs, runs_of
from models.machine.snapshot_parts import (
    BuddyListSnapshot,
    FreeCounts,
    ListSnapshot,
    PageblockCounts,
    PageSnapshot,
    PerCpuListSnapshot,
    PerCpuSnapshot,
    ZoneSnapshot,
)

__all__ = ["MemoryState", "free_counts", "memory_state"]

_TYPES = {"Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate"}


class MemoryState(NamedTuple):
    """Zones, free blocks, pages and lists, as far as they are known."""

    zones: list[ZoneSnapshot]
    typed: procfs.PageTypes | None
    pages: PageSnapshot | None
    lists: ListSnapshot | None


def memory_state(take: Taking) -> MemoryState:
    """Read what is known of the machine's memory."""
    zones, typed = _zones(take), take.read("free_blocks", "pagetypeinfo", procfs.parse_pagetypeinfo)
    lists = _lists(take)
    pages, why = _pages(take, zones, typed)
    if pages is None:
        unknown = "where free blocks lie is drawn at random"
        take.note("pages", "nothing", f"{why}: {unknown if lists is None else 'full pageblocks count as movable'}")
    else:
        gap = f"types of pageblocks are inferred from what lies in them; {pages.misfit} free blocks fit no count"
        order = "the order inside a list, and what per-CPU lists hold, is drawn at random"
        take.note("pages", "/proc/kpageflags", gap if lists is not None else f"{gap}; {order}")
    return MemoryState(zones, typed, pages, lists)


def _lists(take: Taking) -> ListSnapshot | None:
    try:
        found = take.sources.lists()
    except Unreadable as reason:
        take.note("lists", "nothing", str(reason))
        return None
    take.note("lists", "the kernel's memory (BPF)")
    return ListSnapshot(
        buddy=tuple(
            BuddyListSnapshot(
                node=one.node, zone=one.zone, order=one.order, type=one.migratetype, pfns=encode_pages(one.pfns)
            )
            for one in found.buddy
        ),
        per_cpu=tuple(
            PerCpuListSnapshot(
                node=one.node, zone=one.zone, cpu=one.cpu, order=one.order, type=one.migratetype,
                pfns=encode_pages(one.pfns),
            )
            for one in found.per_cpu
        ),
    )  # fmt: skip


def _pages(take: Taking, zones: list[ZoneSnapshot], typed: procfs.PageTypes | None) -> tuple[PageSnapshot | None, str]:
    if not zones or typed is None:
        return None, "no zones" if not zones else take.provenance["free_blocks"].gap
    end_pfn = max(zone.end_pfn for zone in zones)
    try:
        data = take.sources.words("kpageflags", 0, end_pfn)
    except Unreadable as reason:
        return None, str(reason)
    flags = np.frombuffer(memoryview(data)[: len(data) // 8 * 8], np.uint64)
    if len(flags) < end_pfn:
        flags = np.pad(flags, (0, end_pfn - len(flags)))
    size = 1 << min(typed.pageblock_order, 10)
    types, misfit = _block_types(evidence(flags, size), size, zones, typed)
    masks = {"free": marked(flags, BUDDY), "unmarked": unmarked_pages(flags, size), "tables": marked(flags, PGTABLE)}
    runs = {name: encode_runs(runs_of(mask)) for name, mask in masks.items()}
    return PageSnapshot(**runs, types=tuple(types), misfit=misfit), ""


def _block_types(
    seen: BlockEvidence, block_pages: int, zones: list[ZoneSnapshot], typed: procfs.PageTypes
) -> tuple[list[tuple[int, int, Any]], int]:
    """Return runs of pageblocks of one type [first, count, type], and how many free blocks fit no count."""
    types: list[tuple[int, int, Any]] = []
    misfit = 0
    for zone in zones:
        blocks = typed.blocks.get((zone.node, zone.name), {})
        counted = {
            kind: np.array(found)
            for (node, name, kind), found in typed.free.items()
            if (node, name) == (zone.node, zone.name)
        }
        first, end = zone.start_pfn // block_pages, -(-zone.end_pfn // block_pages)
        kinds, wrong = fit_types(seen, first, end, blocks, counted)
        misfit += wrong
        for at, kind in enumerate(kinds, first):
            if types and types[-1][2] == kind and types[-1][0] + types[-1][1] == at:
                types[-1] = (types[-1][0], types[-1][1] + 1, kind)
            else:
                types.append((at, 1, kind))
    return types, misfit


def _zones(take: Taking) -> list[ZoneSnapshot]:
    found = take.read("zones", "zoneinfo", procfs.parse_zoneinfo) or []
    zones = []
    for zone in found:
        values = zone.fields
        try:
            pagesets = tuple(_pageset(cpu, lists) for cpu, lists in sorted(zone.pagesets.items()))
            sizes = {name: values[name] for name in _ZONE_FIELDS}
            zones.append(
                ZoneSnapshot(node=zone.node, name=zone.name, protection=zone.protection, pagesets=pagesets, **sizes)
            )
        except KeyError as error:
            raise procfs.ProcError("zoneinfo", f"zone {zone.name} of node {zone.node} has no field {error}") from None
    late = [f"{zone.name} of node {zone.node}" for zone in zones if zone.managed < zone.present // 2]
    if late:
        gap = f"{', '.join(late)}: most of it is reserved or not yet given to the allocator"
        take.note("zones", "/proc/zoneinfo", gap)
    return zones


def _pageset(cpu: int, lists: dict[str, int]) -> PerCpuSnapshot:
    return PerCpuSnapshot(
        cpu=cpu,
        count=lists["count"],
        high=lists["high"],
        batch=max(1, lists["batch"]),
        high_min=lists.get("high_min"),
        high_max=lists.get("high_max"),
        stat_threshold=lists.get("stat_threshold", 0),
    )


_ZONE_FIELDS = ("start_pfn", "spanned", "present", "managed", "free", "min", "low", "high")


def free_counts(
    take: Taking, typed: procfs.PageTypes | None
) -> tuple[tuple[FreeCounts, ...], tuple[PageblockCounts, ...], int]:
    """Return free blocks by type, pageblocks by type, and the pageblock order."""
    if typed is not None:
        counts = tuple(
            FreeCounts(node=node, zone=zone, type=kind, blocks=blocks)
            for (node, zone, kind), blocks in typed.free.items()
            if kind in _TYPES and any(blocks)
        )
        blocks = tuple(
            PageblockCounts(node=node, zone=zone, types={k: n for k, n in kinds.items() if k in _TYPES})
            for (node, zone), kinds in typed.blocks.items()
            if any(kinds.values())
        )
        return counts, blocks, min(typed.pageblock_order, 10)
    why = take.provenance["free_blocks"].gap
    plain = take.read("free_blocks", "buddyinfo", procfs.parse_buddyinfo)
    if plain is None:
        take.note("free_blocks", "nothing", f"{why}; {take.provenance['free_blocks'].gap}")
        return (), (), 9
    take.note("free_blocks", "/proc/buddyinfo", f"{why}: no migratetypes, nor the pageblock order, 9 is assumed")
    counts = tuple(
        FreeCounts(node=node, zone=zone, type=None, blocks=free) for (node, zone), free in plain.items() if any(free)
    )
    return counts, (), 9
