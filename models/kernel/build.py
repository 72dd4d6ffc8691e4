"""A kernel from its configuration: boot, footprints, costs, limits, policy."""

from __future__ import annotations

import numpy as np

from models.kernel.ageing import age_fragmented, age_fresh
from models.kernel.boot import boot_direct_map, boot_pages
from models.kernel.boot_layout import boot_layout
from models.kernel.boot_profile import load_boot_profile
from models.kernel.boot_threads import with_fewer_threads
from models.kernel.config import KernelConfig
from models.kernel.direct_map import DirectMap
from models.kernel.flush_config import FLUSH_MODES, FlushConfig
from models.kernel.footprint_presets import load_footprints
from models.kernel.footprints import Footprints
from models.kernel.kernel import Kernel
from models.kernel.layout import State
from models.kernel.limits import Limits
from models.kernel.merging import make_merging
from models.kernel.migration import Compactor
from models.kernel.pages.layout import MOVABLE, RECLAIMABLE, UNMOVABLE, Store
from models.kernel.programs import compile_programs
from models.kernel.secretmem.registry import find_policy
from models.kernel.slab import cpu_partial_slabs, min_partial, slab_geometry
from models.kernel.slab_caches import prime
from models.kernel.snapshot_pages import snapshot_pages
from models.kernel.snapshot_tiling import snapshot_direct_map
from models.machine.costs import CostPreset
from models.machine.machine import Machine
from models.machine.snapshot import Snapshot

__all__ = ["assemble", "boot_kernel", "set_costs"]

_TYPES = {"unmovable": UNMOVABLE, "movable": MOVABLE, "reclaimable": RECLAIMABLE}
KERNEL_VERSIONS = {"6.1": (6, 1), "6.7": (6, 7)}
PAGE_BYTES = 4096


def boot_kernel(machine: Machine, config: KernelConfig, random: np.random.Generator) -> Kernel:
    """Boot a kernel on a machine and age its memory, or go on from the machine's snapshot.

    Raises:
        ValueError: the machine cannot boot this kernel.
    """
    if machine.snapshot is not None and machine.snapshot.free_blocks and machine.snapshot.zones:
        return _resume(machine, machine.snapshot, config, random)
    profile = load_boot_profile(config.boot)
    if config.version is not None:
        profile = profile.model_copy(update={"kernel_version": KERNEL_VERSIONS[config.version]})
    layout = boot_layout(machine, profile)
    pages, direct_map = boot_pages(machine, layout, profile), boot_direct_map(machine, layout)
    if config.report == "as_linux_6_1":
        reported, counters = layout.tiling.as_linux_6_1, direct_map.counters[0]
        counters["pages_4k"], counters["pages_2m"] = reported.b4_bytes // PAGE_BYTES, reported.b2_bytes // PAGE_BYTES
        counters["pages_1g"] = reported.b1_bytes // PAGE_BYTES
    kernel = assemble(machine, config, pages, direct_map)
    kernel.policy.boot()
    if config.state.profile == "fresh":
        age_fresh(kernel.state, random, kernel.node_of, profile.late_freed_pages)
    elif config.state.profile == "fragmented":
        age_fresh(kernel.state, random, kernel.node_of, profile.late_freed_pages)
        age_fragmented(kernel.state, random, config.state.age, config.state.used)
    return kernel


def _resume(machine: Machine, snapshot: Snapshot, config: KernelConfig, random: np.random.Generator) -> Kernel:
    """Go on from a snapshot; what it does not know is drawn."""
    pages = snapshot_pages(snapshot, machine.cpus, len(machine.nodes), random)
    kernel = assemble(machine, config, pages, snapshot_direct_map(snapshot, machine, pages, random))
    kernel.policy.boot()
    return kernel


def assemble(
    machine: Machine, config: KernelConfig, pages: Store, direct_map: DirectMap, *, fewer_threads: int = 0
) -> Kernel:
    """Put a kernel around the state of an allocator and a direct map.

    Args:
        fewer_threads: kernel threads that this boot has less than the one of the footprints.
    """
    footprints = with_fewer_threads(load_footprints(config.footprints), fewer_threads, machine.cpus)
    programs = compile_programs(footprints, machine.cpus)
    state = State(pages, direct_map, len(footprints.caches), programs.rows, len(programs.spans))
    _set_caches(state, footprints, machine.cpus)
    near, far = machine.topology.remote(0)
    set_costs(state, machine.costs, near, far, config.flush)
    secretmem = config.secretmem
    cap = secretmem.global_limit
    limits = Limits(
        secretmem.accounting, None if cap is None else cap // PAGE_BYTES,
        cap_at_fault=secretmem.global_limit_at_fault, kernel_memory=config.kernel_memory,
    )  # fmt: skip
    node_of = [next(node.id for node in machine.nodes if cpu in node.cpus) for cpu in range(machine.cpus)]
    kernel = Kernel(state, programs, footprints, limits, machine.costs, node_of)
    policy = find_policy(secretmem.policy)
    kernel.policy = policy(kernel, policy.Options.model_validate(secretmem.options))
    kernel.can_set_direct_map = machine.boot.can_set_direct_map(machine.arch)
    kernel.secretmem_enabled = secretmem.enabled and kernel.can_set_direct_map
    if config.merging.policy == "on_request" and machine.arch != "x86_64":
        raise ValueError(f"merging on_request is of x86 (6.15 and later), the machine is {machine.arch}")
    kernel.merging = make_merging(kernel, config.merging)
    kernel.compactor = Compactor(state, direct=config.compaction.direct)
    return kernel


def _set_caches(state: State, footprints: Footprints, cpus: int) -> None:
    for number, spec in enumerate(footprints.caches.values()):
        order, objects_per_slab = slab_geometry(spec.object_bytes, cpus)
        record = state.caches[number]
        record["objects_per_slab"], record["order"] = objects_per_slab, order
        record["migratetype"] = _TYPES[spec.migratetype]
        record["min_partial"] = min_partial(spec.object_bytes)
        record["cpu_partial_slabs"] = cpu_partial_slabs(spec.object_bytes, objects_per_slab)
        record["typesafe_by_rcu"] = spec.typesafe_by_rcu
        prime(state.handle, 0, number, spec.boot_free)


def set_costs(
    state: State, costs: CostPreset, near: int, far: int, flushing: FlushConfig | None = None
) -> None:
    """Work out what single steps cost on a machine where a flush reaches ``near`` and ``far`` other CPUs."""
    record, flush = state.costs[0], costs.flush
    flushing = flushing or FlushConfig()
    record["flush_mode"], record["flush_batch"] = FLUSH_MODES[flushing.mode], flushing.batch_pages
    record["flush_period"], record["local_flush_page"] = flushing.period, flush.local_ns(flushing.batch_pages)
    record["interrupted_all"] = flush.receiver_ns(None)
    record["page_fault"], record["secret_fault"] = costs.ns("ordinary_fault"), costs.ns("secret_fault")
    record["split_2m"] = record["split_1g"] = costs.split(near, far).total_ns
    record["map_step"] = costs.ns("direct_map_entry")
    record["flush_page"], record["flush_all"] = (
        flush.initiator_ns(1, near, far),
        flush.initiator_ns(None, near, far),
    )
    record["local_flush"] = flush.local_ns(None)
    record["interrupted"] = flush.receiver_ns(1)
    record["clear_page"], record["page_table"] = (
        costs.ns("page_clear"),
        costs.ns("table_page") + costs.ns("page_clear"),
    )
    record["free_page"], record["free_secret_page"] = costs.ns("munmap_page"), costs.ns("free_page")
    record["refill"] = costs.part_ns("refill")
    record["scan_table"] = costs.part_ns("scan_table")
    record["read_fault"] = costs.part_ns("read_fault", costs.ns("ordinary_fault") - costs.ns("page_clear"))
    record["pool_fault"] = costs.ns("pool_fault")
    record["chunk_page"] = costs.part_ns("chunk_page", costs.ns("free_page"))
    record["drain_page"], record["truncate_page"] = costs.part_ns("drain_page"), costs.part_ns("truncate_page")
    record["slab"] = costs.part_ns("slab")
    record["pool_chunk"] = costs.pool_chunk_fault_ns - costs.ns("pool_fault")
