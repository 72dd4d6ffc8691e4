"""Taking a snapshot: what a kernel tells of its memory, its CPUs and its direct map, and what it does not."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import yaml

from models.host import procfs
from models.host.cpuid import tlb_report
from models.host.page_flags import BUDDY, PGTABLE, evidence, fit_types, marked, unmarked_pages
from models.host.page_table_dump import parse_direct_map_tiles
from models.host.secretmem_probe import probe_secretmem
from models.host.sources import Captured, Sources, Unreadable
from models.host.split_regions import known_regions
from models.machine.memory import Arch, MemoryMap
from models.machine.page_runs import encode_runs, runs_of
from models.machine.snapshot import (
    DirectMapSnapshot,
    FreeCounts,
    KernelSnapshot,
    NodeSnapshot,
    PageblockCounts,
    PageSnapshot,
    PerCpuSnapshot,
    Provenance,
    SecretmemSnapshot,
    Snapshot,
    ZoneSnapshot,
)  # fmt: skip

__all__ = ["describe", "take_snapshot", "to_yaml"]

T = TypeVar("T")
_TYPES = {"Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate"}


class _Taking:
    """The parts read so far, and where each came from."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.provenance: dict[str, Provenance] = {}

    def note(self, part: str, source: str, gap: str = "") -> None:
        self.provenance[part] = Provenance(source=source, gap=gap)

    def read(self, part: str, name: str, parse: Callable[[str], T]) -> T | None:
        """Parse a file of `/proc`; without it the part becomes a gap."""
        try:
            value = parse(self.sources.text(name))
        except (Unreadable, procfs.ProcError) as reason:
            self.note(part, "nothing", str(reason))
            return None
        self.note(part, f"/proc/{name}")
        return value


class _MemoryState(NamedTuple):
    """Zones, free blocks and pages, read in one go."""

    zones: list[ZoneSnapshot]
    typed: procfs.PageTypes | None
    pages: PageSnapshot | None


def take_snapshot(sources: Sources | None = None) -> Snapshot:
    """Read a machine.

    Raises:
        SimcoreError: Not even its memory and its CPUs can be read.
    """
    take = _Taking(sources or Sources())
    meminfo = take.read("direct_map", "meminfo", procfs.parse_meminfo) or {}
    processors = take.read("cpus", "cpuinfo", procfs.parse_cpuinfo)
    if not processors or not meminfo:
        missing = "cpus" if not processors else "direct_map"
        raise procfs.ProcError("cpuinfo" if not processors else "meminfo", take.provenance[missing].gap)
    arch: Arch = "arm64" if "CPU implementer" in processors[0] else "x86_64"
    kernel = _kernel(take, arch, meminfo)
    state = _memory_state(take)
    zones = state.zones
    nodes = _nodes(take, len(processors), sorted({zone.node for zone in zones}))
    memory = _memory(take, arch, zones, meminfo)
    report = tlb_report(processors[0], ask_cpu=take.sources.live)
    take.note("tlb", report.source, report.gap)
    sockets = len({cpu["physical id"] for cpu in processors if "physical id" in cpu}) or 1
    if "hypervisor" in processors[0].get("flags", "").split():
        take.note("host_page", "nothing", "a virtual machine: how its host maps it cannot be read from within")
    counts, blocks, order = _counts(take, state.typed)
    vmstat = take.read("splits", "vmstat", procfs.parse_vmstat) or {}
    direct_map = _direct_map(take, meminfo, vmstat)
    return Snapshot(
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        kernel=kernel,
        secretmem=_secretmem(take, kernel),
        memory=tuple(memory),
        cpus=len(processors),
        sockets=sockets,
        nodes=nodes,
        tlb=report.preset,
        zones=tuple(zones),
        direct_map=direct_map,
        pageblock_order=order,
        free_blocks=counts,
        pageblocks=blocks,
        pages=state.pages,
        kernel_pages=(meminfo.get("VmallocUsed", 0) + meminfo.get("Percpu", 0)) // 4,
        provenance=take.provenance,
    )


def _kernel(take: _Taking, arch: Arch, meminfo: dict[str, int]) -> KernelSnapshot:
    release, version = take.read("kernel", "version", procfs.parse_release) or ("", (0, 0))
    huge = ""
    try:
        text = take.sources.sys_text("kernel/mm/transparent_hugepage/enabled")
        huge = text.partition("[")[2].partition("]")[0]
        take.note("transparent_hugepage", "/sys/kernel/mm/transparent_hugepage/enabled")
    except Unreadable as reason:
        take.note("transparent_hugepage", "nothing", f"{reason}: taken as configured")
    gbpages = "DirectMap1G" in meminfo if "DirectMap4k" in meminfo else None
    return KernelSnapshot(release=release, version=version, arch=arch, transparent_hugepage=huge, gbpages=gbpages)


def _secretmem(take: _Taking, kernel: KernelSnapshot) -> SecretmemSnapshot:
    if take.sources.live:
        probe = probe_secretmem()
        take.note("secretmem", "one call of memfd_secret, one mapping of it, no page touched", probe.reason)
        return SecretmemSnapshot(available=probe.available, accounting=probe.accounting)
    source = f"kernel version {kernel.release or 'unknown'}"
    if kernel.version < (5, 14):
        known = kernel.version > (0, 0)
        take.note("secretmem", source, "before 5.14 there is no memfd_secret" if known else "kernel version unknown")
        return SecretmemSnapshot(available=False if known else None)
    gap = "" if kernel.version >= (6, 5) else "off by default before 6.5; "
    gap += "accounting per_mm by version; a distribution may carry the per_user change of 2026"
    take.note("secretmem", source, gap)
    return SecretmemSnapshot(available=True if kernel.version >= (6, 5) else None, accounting="per_mm")


def _zones(take: _Taking) -> list[ZoneSnapshot]:
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


def _nodes(take: _Taking, cpus: int, numbers: list[int]) -> tuple[NodeSnapshot, ...]:
    try:
        nodes = tuple(
            NodeSnapshot(
                id=number, cpus=procfs.parse_list(take.sources.sys_text(f"devices/system/node/node{number}/cpulist"))
            )
            for number in numbers or [0]
        )
        if sum(len(node.cpus) for node in nodes) == cpus:
            take.note("nodes", "/sys/devices/system/node")
            return nodes
        gap = "the nodes' CPUs are not those of /proc/cpuinfo (a container's view): shared evenly"
    except Unreadable as reason:
        gap = f"{reason}: CPUs are shared evenly"
    take.note("nodes", "/proc/zoneinfo" if numbers else "nothing", "" if len(numbers) < 2 else gap)
    count = max(1, len(numbers))
    return tuple(
        NodeSnapshot(id=number, cpus=tuple(range(at * cpus // count, (at + 1) * cpus // count)))
        for at, number in enumerate(numbers or [0])
    )


def _memory(take: _Taking, arch: Arch, zones: list[ZoneSnapshot], meminfo: dict[str, int]) -> list[Any]:
    read = take.read("memory", "iomem", procfs.parse_iomem)
    if read is not None:
        return list(read)
    why = take.provenance["memory"].gap or "/proc/iomem hides the addresses without root"
    if zones:
        take.note("memory", "/proc/zoneinfo", f"{why}: each zone's present pages are taken as one range from its start")
        ranges: list[Any] = [(zone.start_pfn << 12, (zone.start_pfn + zone.present) << 12, "usable") for zone in zones]
        if arch == "x86_64":  # page 0 and the legacy hole below 1 MiB
            ranges = [(max(start, 1 << 20), end, kind) for start, end, kind in ranges]
        return [line for line in ranges if line[0] < line[1]]
    take.note("memory", "/proc/meminfo", f"{why}: laid out as a common machine of that size does")
    size = -(-meminfo["MemTotal"] * 1024 // (1 << 27)) << 27
    return [(line.start, line.end, line.type) for line in MemoryMap.from_size(size, arch).firmware]


def _read_types(take: _Taking) -> procfs.PageTypes | None:
    return take.read("free_blocks", "pagetypeinfo", procfs.parse_pagetypeinfo)


def _counts(
    take: _Taking, typed: procfs.PageTypes | None
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


def _memory_state(take: _Taking) -> _MemoryState:
    """Read what changes while one reads it, some times over, and keep the reading that agrees best with itself."""
    best: _MemoryState | None = None
    for _ in range(1 if isinstance(take.sources, Captured) or not take.sources.live else _READINGS):
        zones = _zones(take)
        typed = _read_types(take)
        pages, why = _pages(take, zones, typed)
        if best is None or (pages is not None and best.pages is not None and pages.misfit < best.pages.misfit):
            best = _MemoryState(zones, typed, pages)
        if pages is None:
            take.note("pages", "nothing", f"{why}: where free blocks lie is drawn at random")
            return best
        blocks = 0 if typed is None else sum(sum(n) for (_, _, kind), n in typed.free.items() if kind != "Movable")
        if pages.misfit <= _GOOD_FIT * blocks:
            break
    assert best is not None
    assert best.pages is not None
    take.note(
        "pages", "/proc/kpageflags",
        f"types of pageblocks are inferred from what lies in them; {best.pages.misfit} free blocks fit "
        "no count. The order inside a list, and what per-CPU lists hold, cannot be read",
    )  # fmt: skip
    return best


_READINGS = 4
_GOOD_FIT = 0.05


def _pages(take: _Taking, zones: list[ZoneSnapshot], typed: procfs.PageTypes | None) -> tuple[PageSnapshot | None, str]:
    if not zones or typed is None:
        return None, "no zones" if not zones else take.provenance["free_blocks"].gap
    end_pfn = max(zone.end_pfn for zone in zones)
    try:
        data = take.sources.words("kpageflags", 0, end_pfn)
    except Unreadable as reason:
        return None, str(reason)
    flags = np.zeros(end_pfn, np.uint64)
    known = np.frombuffer(data[: len(data) // 8 * 8], np.uint64)
    flags[: len(known)] = known
    size = 1 << min(typed.pageblock_order, 10)
    seen = evidence(flags, size)
    types: list[tuple[int, int, Any]] = []
    misfit = 0
    for zone in zones:
        blocks = typed.blocks.get((zone.node, zone.name), {})
        counted = {
            kind: np.array(found)
            for (node, name, kind), found in typed.free.items()
            if (node, name) == (zone.node, zone.name)
        }
        first, end = zone.start_pfn // size, -(-zone.end_pfn // size)
        kinds, wrong = fit_types(seen, first, end, blocks, counted)
        misfit += wrong
        for at, kind in enumerate(kinds, first):
            if types and types[-1][2] == kind and types[-1][0] + types[-1][1] == at:
                types[-1] = (types[-1][0], types[-1][1] + 1, kind)
            else:
                types.append((at, 1, kind))
    earlier = take.sources.earlier if isinstance(take.sources, Captured) else None
    masks = {"free": marked(flags, BUDDY), "unmarked": unmarked_pages(flags, size), "tables": marked(flags, PGTABLE)}
    if earlier is not None and len(earlier) >= end_pfn:
        masks["recent"] = masks["unmarked"] & ~earlier[:end_pfn]
    runs = {name: encode_runs(runs_of(mask)) for name, mask in masks.items()}
    return PageSnapshot(**runs, types=tuple(types), misfit=misfit), ""


def _direct_map(take: _Taking, meminfo: dict[str, int], vmstat: dict[str, int]) -> DirectMapSnapshot:
    names = {"kb_4k": "DirectMap4k", "kb_2m": "DirectMap2M", "kb_1g": "DirectMap1G"}
    sizes = {key: meminfo.get(name) for key, name in names.items()}
    splits = {key: vmstat.get(f"direct_map_{key}") for key in _SPLITS}
    if sizes["kb_4k"] is None:
        take.note("direct_map", "/proc/meminfo", "no DirectMap lines on this architecture")
    if splits["level2_splits"] is None:
        take.note("splits", "/proc/vmstat", "no direct_map_* counters (x86, 5.13 and later have them)")
    tiles = None
    try:
        tiles = parse_direct_map_tiles(take.sources.sys_text("kernel/debug/page_tables/kernel"))
        take.note("tiles", "/sys/kernel/debug/page_tables/kernel")
    except Unreadable as reason:
        take.note("tiles", "nothing", f"{reason}: which regions are at 4K is drawn at random")
    known: tuple[int, ...] = ()
    if tiles is None and take.sources.live:
        known = take.sources.known_4k if isinstance(take.sources, Captured) else known_regions()
    if known:
        take.note("known_4k", "frames of earlier live runs since this boot")
    return DirectMapSnapshot(tiles=None if tiles is None else tuple(tiles), known_4k=known, **sizes, **splits)


_SPLITS = ("level2_splits", "level3_splits", "level2_collapses", "level3_collapses")


def to_yaml(snapshot: Snapshot) -> str:
    """Return the file of a snapshot: for people first what it is and where each part came from."""
    document = snapshot.model_dump(mode="json", exclude_none=True, exclude_defaults=False)
    provenance = document.pop("provenance")
    out = io.StringIO()
    out.write(
        f"# A machine at {snapshot.taken}, as its kernel told. `machine: {{snapshot: THIS FILE}}` starts from it.\n"
    )
    yaml.dump({"format": document.pop("format"), "provenance": provenance}, out, _Dumper, sort_keys=False, width=120)
    yaml.dump(document, out, _Dumper, sort_keys=False, width=120)
    return out.getvalue()


class _Dumper(yaml.SafeDumper):
    """Lists of numbers on one line."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        plain = all(not isinstance(item, dict | list) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=plain)


def describe(snapshot: Snapshot, path: Path) -> list[str]:
    """Return the lines to print: parts, sources, gaps."""
    lines = [f"{path}: {snapshot.kernel.release or 'unknown kernel'}, {snapshot.cpus} CPUs, taken {snapshot.taken}"]
    for part, origin in snapshot.provenance.items():
        lines.append(f"  {part}: {origin.source}" + (f"\n    missing: {origin.gap}" if origin.gap else ""))
    return lines
