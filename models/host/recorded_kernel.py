"""A kernel in the state in which a recording begins, with what the recording does not say as the boot leaves it."""

from __future__ import annotations

import numpy as np

from models.host.recorded_run import policy_config
from models.host.recording import AllocatorRecording
from models.host.restore import restore, restore_direct_map
from models.kernel.boot_profile import boot_profile_names, load_boot_profile
from models.kernel.build import assemble
from models.kernel.config import KernelConfig
from models.kernel.kernel import Kernel
from models.kernel.pages.allocator import ALLOC_DEFAULT
from models.kernel.pages.fallback import ALLOC_NOFRAGMENT, LRU
from models.kernel.pages.layout import USED, Store
from models.kernel.slab_caches import give_object
from models.machine.machine import MachineConfig, build_machine

__all__ = ["mark_movable", "recorded_kernel"]

#: Free inodes that a boot with less memory leaves more: with that, new slabs of them come at the very file in all four
#: recordings of files with 1 and 2 GiB that take any. Kernel threads that it has less: with that, slabs of all that
#: these have come at the very task in the recording of a fork with 1 GiB, whose first task has a number less, too.
_FOUR_GIB, _FREE_INODES_MORE_BELOW_4_GIB, _THREADS_LESS_BELOW_4_GIB = 4 << 30, 2, 1


def recorded_kernel(recording: AllocatorRecording) -> Kernel:
    """Build a kernel in the state in which a recording begins."""
    machine, source = recording.machine, recording.source
    pages = restore(machine, recording.initial)
    kinds = [zone.index for zone in machine.zones]
    settings = pages.config[0]
    settings["alloc_flags"] = ALLOC_DEFAULT | (ALLOC_NOFRAGMENT if len(kinds) > 1 else 0)
    settings["highest_kind"] = max(kinds)
    settings["per_cpu_pages"] = pages.per_cpu["count"].sum()
    settings["free_pages"] = pages.zones["free_pages"].sum() + pages.per_cpu["free_pages_diff"].sum()
    hardware = MachineConfig(
        memory=tuple({"start": start, "end": end, "type": kind} for start, end, kind in machine.e820),
        cpus=machine.cpus,
        costs="recorded_emulation",
    )
    config = KernelConfig.model_validate({"secretmem": policy_config(source.secretmem_policy)})
    direct_map = restore_direct_map(machine, recording.initial.direct_map)
    mark_movable(recording, pages)
    small = machine.memory_bytes < _FOUR_GIB
    # Without huge pages nobody looks for pages to make some of (`khugepaged`).
    fewer_threads = _THREADS_LESS_BELOW_4_GIB * small + (not machine.pcp_high_order_thp)
    kernel = assemble(build_machine(hardware), config, pages, direct_map, fewer_threads=fewer_threads)
    if small:
        slab = int(kernel.state.cpu_slabs[kernel.programs.caches["inode_cache"], 0]["slab"])
        for _ in range(_FREE_INODES_MORE_BELOW_4_GIB):
            give_object(kernel.handle, 0, slab, 0)
    return kernel


def mark_movable(recording: AllocatorRecording, pages: Store) -> None:
    """Take what is in use in movable pageblocks for memory of processes, but for the kernel's image.

    The recording does not say who has it.
    """
    shift = recording.machine.pageblock_order
    for zone in recording.machine.zones:
        frames = np.arange(zone.start_pfn, zone.end_pfn)
        used = pages.block_types[frames >> shift] == 0  # movable reads as zero
        for (listed, order, _), pfns in recording.initial.free_lists.items():
            if listed == zone.index:
                used[(pfns[:, None] + np.arange(1 << order) - zone.start_pfn).ravel()] = False
        for (listed, _), recorded in recording.initial.pcp.items():
            for one in recorded.lists.values() if listed == zone.index else ():
                used[(one.pfns[:, None] + np.arange(1 << one.order) - zone.start_pfn).ravel()] = False
        held = frames[used]
        pages.pages["state"][held] = USED
        pages.pages["flags"][held] |= LRU
    for start, end in _image(recording):
        pages.pages["flags"][start:end] &= ~LRU


def _image(recording: AllocatorRecording) -> tuple[tuple[int, int], ...]:
    """Return the pages of the kernel's image, which lie in movable pageblocks too.

    Which build was booted is told by where its read-only pages are; of an unknown one, only those are known.
    """
    read_only = {
        pfn
        for start, count, level, _, writable in recording.initial.direct_map.runs.tolist()
        if level > 0 and not writable
        for pfn in range(start, start + count)
    }
    for name in boot_profile_names():
        image = load_boot_profile(name).image
        if image and {*range(*image.kept_pfns[0]), *range(*image.kept_pfns[1]), *image.read_only_pfns} <= read_only:
            return image.kept_pfns
    return tuple((pfn, pfn + 1) for pfn in sorted(read_only))
