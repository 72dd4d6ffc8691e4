"""Taking a snapshot: what a kernel tells of its memory, its CPUs and its direct map, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from models.host import procfs
from models.host.capture import Capture
from models.host.cpuid import tlb_report
from models.host.page_table_dump import parse_direct_map_tiles
from models.host.secretmem_probe import probe_secretmem
from models.host.snapshot_memory import free_counts, memory_state
from models.host.snapshot_taking import Taking
from models.host.sources import PAGE_TABLES, Sources, Unreadable
from models.machine.memory import Arch, MemoryMap
from models.machine.snapshot import Snapshot
from models.machine.snapshot_parts import (
    DirectMapSnapshot,
    KernelSnapshot,
    NodeSnapshot,
    SecretmemSnapshot,
    ZoneSnapshot,
)

__all__ = ["take_snapshot"]


def take_snapshot(sources: Sources | None = None) -> Snapshot:
    """Read a machine: this one, as it is now, or one whose files are somewhere else.

    Raises:
        SimcoreError: Not even its memory and its CPUs can be read.
    """
    if sources is None:
        with Capture() as capture:
            sources = capture.now()
    take = Taking(sources)
    meminfo = take.read("direct_map", "meminfo", procfs.parse_meminfo) or {}
    processors = take.read("cpus", "cpuinfo", procfs.parse_cpuinfo)
    if not processors or not meminfo:
        missing = "cpus" if not processors else "direct_map"
        raise procfs.ProcError("cpuinfo" if not processors else "meminfo", take.provenance[missing].gap)
    arch: Arch = "arm64" if "CPU implementer" in processors[0] else "x86_64"
    kernel = _kernel(take, arch, meminfo)
    state = memory_state(take)
    zones = state.zones
    nodes = _nodes(take, len(processors), sorted({zone.node for zone in zones}))
    memory = _memory(take, arch, zones, meminfo)
    report = tlb_report(processors[0], ask_cpu=take.sources.live)
    take.note("tlb", report.source, report.gap)
    sockets = len({cpu["physical id"] for cpu in processors if "physical id" in cpu}) or 1
    if "hypervisor" in processors[0].get("flags", "").split():
        take.note("host_page", "nothing", "a virtual machine: how its host maps it cannot be read from within")
    counts, blocks, order = free_counts(take, state.typed)
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
        lists=state.lists,
        kernel_pages=(meminfo.get("VmallocUsed", 0) + meminfo.get("Percpu", 0)) // 4,
        provenance=take.provenance,
    )


def _kernel(take: Taking, arch: Arch, meminfo: dict[str, int]) -> KernelSnapshot:
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


def _secretmem(take: Taking, kernel: KernelSnapshot) -> SecretmemSnapshot:
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


def _nodes(take: Taking, cpus: int, numbers: list[int]) -> tuple[NodeSnapshot, ...]:
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


def _memory(take: Taking, arch: Arch, zones: list[ZoneSnapshot], meminfo: dict[str, int]) -> list[Any]:
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


def _direct_map(take: Taking, meminfo: dict[str, int], vmstat: dict[str, int]) -> DirectMapSnapshot:
    names = {"kb_4k": "DirectMap4k", "kb_2m": "DirectMap2M", "kb_1g": "DirectMap1G"}
    sizes = {key: meminfo.get(name) for key, name in names.items()}
    splits = {key: vmstat.get(f"direct_map_{key}") for key in _SPLITS}
    if sizes["kb_4k"] is None:
        take.note("direct_map", "/proc/meminfo", "no DirectMap lines on this architecture")
    if splits["level2_splits"] is None:
        take.note("splits", "/proc/vmstat", "no direct_map_* counters (x86, 5.13 and later have them)")
    tiles = _tiles(take)
    return DirectMapSnapshot(tiles=None if tiles is None else tuple(tiles), **sizes, **splits)


def _tiles(take: Taking) -> Sequence[tuple[int, int, int]] | None:
    """Return the tiling from the kernel's dump of its page tables, else from the tables themselves, else None."""
    reasons = []
    try:
        tiles = parse_direct_map_tiles(take.sources.sys_text(PAGE_TABLES))
        if tiles is not None:
            take.note("tiles", f"/sys/{PAGE_TABLES}")
            return tiles
        reasons.append(f"/sys/{PAGE_TABLES} has no direct map")
    except Unreadable as reason:
        reasons.append(str(reason))
    try:
        found = take.sources.tiles()
        take.note("tiles", "page tables in the kernel's memory (BPF)")
        return found
    except Unreadable as reason:
        reasons.append(str(reason))
    take.note("tiles", "nothing", f"{'; '.join(reasons)}: which regions are at 4K is drawn at random")
    return None


_SPLITS = ("level2_splits", "level3_splits", "level2_collapses", "level3_collapses")
