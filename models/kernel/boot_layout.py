"""A machine after boot: what the kernel keeps of its memory, its zones, and the direct map over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.kernel.boot_profile import BootProfile, KernelImage
from models.kernel.tiling import LEVEL_PAGES, BootTiling, boot_tiling, memblock_tables
from models.kernel.zones import DMA32_END, Zone, zone_limits, zone_marks
from models.machine.machine import Machine
from models.machine.memory import PAGE_BYTES, MemoryMap, PfnRange, clip

__all__ = ["BootLayout", "boot_layout", "early_hash_pages"]


@dataclass(frozen=True)
class BootLayout:
    """Zones by node and index, reserved page frames (ascending, disjoint), the tiled direct map."""

    zones: tuple[Zone, ...]
    reserved: tuple[PfnRange, ...]
    tiling: BootTiling


def early_hash_pages(kernel_pages: int) -> int:
    """Return the pages of the dentry and inode hash tables.

    Each is a power of two: 8 bytes per 8 KiB and per 16 KiB of memory. Above 64 GiB the scale grows by one
    for every fourfold [6.1 `alloc_large_system_hash`].
    """
    pages = -(-kernel_pages // 256) * 256
    total = 0
    for scale in (1, 2):
        adapt = (64 << 30) // PAGE_BYTES
        while adapt < pages:
            adapt, scale = adapt << 2, scale + 1  # noqa: PLW2901 - the kernel's own loop
        entries = max(1, pages >> scale)
        total += max(1, (1 << (entries - 1).bit_length()) * 8 // PAGE_BYTES)
    return total


def boot_layout(machine: Machine, profile: BootProfile) -> BootLayout:
    """Boot ``machine`` with the kernel build ``profile``.

    Raises:
        ValueError: The image does not lie in RAM, or a node's memory is used up by the boot.
    """
    memory, boot = machine.memory, machine.boot
    if machine.arch == "arm64":
        profile = _moved(profile, memory.ram[0].start)
    gbpages, pages_only = boot.gbpages, boot.maps_4k_only(machine.arch)
    image_pfn = profile.image.text_start_pfn if profile.image else 0
    tables = memblock_tables(
        memory,
        gbpages=gbpages,
        debug_pagealloc=pages_only,
        image_pfn=image_pfn,
        early_pages=profile.early_table_pages,
    )
    reserved = _reserve(machine, profile, tables)
    tiling = boot_tiling(
        memory,
        gbpages=gbpages,
        debug_pagealloc=pages_only,
        image=profile.image,
        split_pfns=_split_pfns(memory, profile, reserved),
        other_mapping_splits=profile.other_mapping_splits,
    )
    return BootLayout(tuple(_zones(machine, profile, reserved)), tuple(reserved), tiling)


def _moved(profile: BootProfile, start_pfn: int) -> BootProfile:
    """The profile with its image as far into RAM as the profile says, where RAM does not begin at 0 (arm64)."""
    if profile.image is None:
        return profile
    image, offset = profile.image, start_pfn // LEVEL_PAGES[2] * LEVEL_PAGES[2]
    placed = KernelImage(
        text_start_pfn=image.text_start_pfn + offset,
        text_end_pfn=image.text_end_pfn + offset,
        rodata_start_pfn=image.rodata_start_pfn + offset,
        rodata_end_pfn=image.rodata_end_pfn + offset,
        read_only_pfns=tuple(pfn + offset for pfn in image.read_only_pfns),
        data_pfns=tuple((start + offset, end + offset) for start, end in image.data_pfns),
    )
    return profile.model_copy(update={"image": placed})


def _zones(machine: Machine, profile: BootProfile, reserved: Sequence[PfnRange]) -> list[Zone]:
    free = _without(machine.memory.ram, reserved)
    image_pfn = profile.image.text_start_pfn if profile.image else -1
    drafts: list[tuple[int, int, str, PfnRange, int, tuple[PfnRange, ...]]] = []
    for node in machine.nodes:
        node_free = [part for home in node.ram for part in clip(free, *home)]
        for index, (name, low, high) in enumerate(zone_limits(profile.zone_dma)):
            present = sum(part.pages for part in clip(node.ram, low, high))
            own = tuple(clip(node_free, low, high))
            if own:  # a zone that the boot has used up gives nothing to anybody
                span = PfnRange(max(low, node.ram[0].start), min(high, node.ram[-1].end))
                drafts.append((node.id, index, name, span, present, own))
    sizes = [(node, name, sum(part.pages for part in own)) for node, _, name, _, _, own in drafts]
    late = [profile.late_freed_pages if image_pfn in range(*span) else 0 for _, _, _, span, _, _ in drafts]
    marks = zone_marks(
        sizes,
        [len(node.cpus) for node in machine.nodes],
        zone_dma=profile.zone_dma,
        transparent_hugepage=profile.transparent_hugepage,
        pageblock_order=profile.pageblock_order,
        version=profile.kernel_version,
        late_freed=late,
    )
    return [
        Zone(node, index, name, span.start, span.pages, present, size, own, mark)
        for (node, index, name, span, present, own), (_, _, size), mark in zip(
            drafts, sizes, marks, strict=True
        )
    ]


def _reserve(machine: Machine, profile: BootProfile, tables: int) -> list[PfnRange]:
    """Take what the boot keeps, in the kernel's direction: from the top of each node downwards."""
    memory = machine.memory
    reserved: list[PfnRange] = []
    if profile.first_mib and machine.arch == "x86_64":
        reserved += clip(memory.ram, 0, 256)
    if profile.image:
        start = profile.image.text_start_pfn
        image = PfnRange(start, start + max(profile.image_pages, 1))
        if not any(part.start <= image.start and image.end <= part.end for part in memory.ram):
            raise ValueError(
                f"the kernel image, page frames {image.start} to {image.end}, does not lie in RAM"
            )
        reserved.append(image)
    above_4g = memory.max_pfn > DMA32_END
    if above_4g and profile.swiotlb_pages:
        reserved += _from_top(_without(clip(memory.ram, 0, DMA32_END), reserved), profile.swiotlb_pages)
    for node in machine.nodes:
        wanted = _memmap_pages(node.ram, profile) + profile.per_cpu_pages * len(node.cpus)
        if node is machine.nodes[-1]:
            wanted += profile.top_pages + tables + (LEVEL_PAGES[2] if profile.kfence else 0)
            if profile.early_hashes:
                wanted += early_hash_pages(
                    memory.ram_pages - memory.ram_pages * profile.struct_page_bytes // PAGE_BYTES
                )
            if above_4g:  # one slot is 2 KiB
                wanted += -(-profile.swiotlb_pages * 2 * profile.swiotlb_slot_bytes // PAGE_BYTES)
        reserved += _from_top(_without(node.ram, reserved), wanted)
    return sorted(reserved)


def _memmap_pages(ram: Sequence[PfnRange], profile: BootProfile) -> int:
    """`struct page` for every page of every memory section that holds RAM."""
    section = profile.section_bytes // PAGE_BYTES
    sections, last = 0, -1
    for part in ram:
        first, end = max(part.start // section, last + 1), (part.end - 1) // section
        sections += max(0, end - first + 1)
        last = max(last, end)
    return sections * section * profile.struct_page_bytes // PAGE_BYTES


def _from_top(free: Sequence[PfnRange], pages: int) -> list[PfnRange]:
    """Take ``pages`` from the highest addresses of ``free``.

    Raises:
        ValueError: There are fewer.
    """
    taken: list[PfnRange] = []
    left = pages
    for part in reversed(free):
        if not left:
            break
        start = max(part.start, part.end - left)
        taken.append(PfnRange(start, part.end))
        left -= part.end - start
    if left:
        raise ValueError(
            f"too little memory to boot: {pages} pages are wanted at the top of a node, {left} are missing"
        )
    return taken


def _without(ranges: Sequence[PfnRange], holes: Sequence[PfnRange]) -> list[PfnRange]:
    """Return ``ranges`` (ascending) without the pages of ``holes`` (disjoint, any order)."""
    rest: list[PfnRange] = []
    for part in ranges:
        start = part.start
        for hole in sorted(clip(holes, *part)):
            if hole.start > start:
                rest.append(PfnRange(start, hole.start))
            start = hole.end
        if start < part.end:
            rest.append(PfnRange(start, part.end))
    return rest


def _split_pfns(memory: MemoryMap, profile: BootProfile, reserved: Sequence[PfnRange]) -> list[int]:
    """Return a page of each region that modules, BPF programs and KFENCE's pool turn to 4K during boot.

    Their pages are the first that the allocator hands out: the leftovers under what memblock took at the top,
    and the low end of the highest zone, whose first 2 MiB are gone by then.
    """
    free = _without(memory.ram, reserved)  # never empty: `_from_top` has seen to it
    zone_low = max(low for _, low, _ in zone_limits(profile.zone_dma) if low < memory.max_pfn)
    above = clip(free, zone_low + 512, memory.max_pfn) or free[-1:]  # a zone may be no larger than what is kept of it
    places = {"top_reserved": free[-1].end - 1, "zone_start": above[0].start}
    pfns = [places[place] for place in profile.late_splits]
    return [*pfns, free[-1].end + LEVEL_PAGES[2] - 1] if profile.kfence else pfns
