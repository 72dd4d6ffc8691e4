"""Mode ``counters``: the recorded workload from counters alone, with the order of free lists drawn several times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.host.comparison import Comparison, Options
from models.host.recorded_cpus import takes_turns
from models.host.recorded_notes import Observed
from models.host.recorded_run import policy_config, run_recorded
from models.host.recording_counters import CountersRecording
from models.host.recording_counters_format import Churn, CountersZone, ForkBomb, ManyFiles, OneFile, Spread
from models.host.tolerance import compare_placements
from models.kernel.build import assemble
from models.kernel.config import KernelConfig
from models.kernel.kernel import Kernel
from models.kernel.pages.layout import MAX_ORDER
from models.kernel.snapshot_pages import snapshot_pages
from models.kernel.snapshot_tiling import snapshot_direct_map
from models.kernel.watermarks import min_free_kbytes, recommended_min_free_kbytes
from models.machine.machine import Machine, MachineConfig, build_machine
from models.machine.snapshot import Snapshot
from models.machine.snapshot_parts import (
    DirectMapSnapshot,
    FreeCounts,
    KernelSnapshot,
    NodeSnapshot,
    PerCpuSnapshot,
    ZoneSnapshot,
)
from models.workloads.base import WorkloadConfig
from models.workloads.churn import ChurnConfig
from models.workloads.files import ManyFilesConfig, OneFileConfig
from models.workloads.fork_bomb import ForkBombConfig
from models.workloads.spread import Filler, SpreadConfig
from simcore.streams import Streams

__all__ = ["compare", "snapshot_of", "workload_of"]

#: The named stream that the unknown positions are drawn from.
STREAM = "host.placement"
_FOOTPRINTS = {"distribution": "distribution_6_1", "minimal": "minimal_6_1"}
_FILLERS: dict[str, Filler] = {
    "ordinary": "ordinary", "page_table": "page_tables", "pipe": "pipe", "secret": "secret",
}  # fmt: skip
_ZONE_ORDER = ("DMA", "DMA32", "Normal")
_LOWMEM_RESERVE_RATIO = 256
_KB_PER_PAGE = 4
#: Pageblocks are as large as a huge page where there are any, else as large as the largest block [6.1:
#: pageblock-flags.h]. (That depends on hugetlb, not on transparent huge pages, but who has one has both.)
_HUGE_ORDER = 9
_IDLE_NS = 100_000_000
_SPLITS = ("level2_splits", "level3_splits")


def compare(recording: CountersRecording, options: Options) -> Comparison:
    """Run the workload of ``recording`` from as many drawn placements as ``options`` says."""
    snapshot, config = snapshot_of(recording), workload_of(recording)
    machine = build_machine(
        MachineConfig.model_validate(
            {"memory": [list(line) for line in snapshot.memory], "cpus": snapshot.cpus, "costs": "recorded_emulation"}
        )
    )
    runs: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    for placement in range(options.placements):
        random = Streams(options.seed, placement).get(STREAM)
        kernel = _kernel(recording, snapshot, machine, random)
        observed = run_recorded(
            kernel, snapshot.cpus, config, idle_ns=_IDLE_NS, seed=options.seed + placement,
            in_turns=takes_turns(recording.source.emulator),
        )  # fmt: skip
        for name in _SPLITS:
            runs[name].append(_at_samples(recording, observed, name))
    return compare_placements(recording, runs)


def _kernel(
    recording: CountersRecording, snapshot: Snapshot, machine: Machine, random: np.random.Generator
) -> Kernel:
    pages = snapshot_pages(snapshot, snapshot.cpus, 1, random)
    config = KernelConfig.model_validate(
        {
            "secretmem": policy_config(recording.source.secretmem_policy),
            "footprints": _FOOTPRINTS[recording.source.build or "minimal"],
        }
    )
    return assemble(machine, config, pages, snapshot_direct_map(snapshot, machine, pages, random))


def snapshot_of(recording: CountersRecording) -> Snapshot:
    """Return what a recording tells of its machine at the start."""
    machine = recording.machine
    zones = [name for name in _ZONE_ORDER if name in machine.zones and machine.zones[name].managed]
    tiles = recording.direct_map_tiles
    huge = _has_huge_pages([machine.zones[name] for name in zones])
    return Snapshot(
        taken=recording.name,
        kernel=KernelSnapshot(
            transparent_hugepage="madvise" if huge else "unsupported", gbpages=bool(recording.direct_map_kb.kb_1g)
        ),
        pageblock_order=_HUGE_ORDER if huge else MAX_ORDER - 1,
        memory=tuple((start, end, kind) for start, end, kind in machine.e820),
        cpus=machine.cpus,
        nodes=(NodeSnapshot(id=0, cpus=tuple(range(machine.cpus))),),
        zones=tuple(_zone(recording, name, zones) for name in zones),
        direct_map=DirectMapSnapshot(
            level2_splits=recording.samples[0].level2_splits,
            level3_splits=recording.samples[0].level3_splits,
            tiles=None if tiles is None else tuple((int(a), int(b), int(c)) for a, b, c in tiles),
        ),
        free_blocks=tuple(
            FreeCounts(node=0, zone=name, type=None, blocks=recording.free_blocks[name]) for name in zones
        ),
    )


def _has_huge_pages(zones: Sequence[CountersZone]) -> bool:
    """Return whether the kernel has huge pages: khugepaged has raised the lowest marks then.

    It does not where they are high anyway; such a machine is taken for one that has them.
    """
    managed = sum(zone.managed for zone in zones)
    plain = min_free_kbytes(managed)
    raised = recommended_min_free_kbytes(len(zones), managed, 1 << _HUGE_ORDER)
    # Between the two, as neither is exact: both were computed before the boot had given back its last pages.
    return sum(zone.min for zone in zones) * _KB_PER_PAGE > (plain + raised) / 2 or raised <= plain


def _zone(recording: CountersRecording, name: str, zones: list[str]) -> ZoneSnapshot:
    zone, cpus = recording.machine.zones[name], recording.machine.cpus
    above = [recording.machine.zones[other].managed for other in zones[zones.index(name) + 1 :]]
    reserve = [0] * (_ZONE_ORDER.index(name) + 1)
    reserve += [sum(above[: at + 1]) // _LOWMEM_RESERVE_RATIO for at in range(len(above))]
    return ZoneSnapshot(
        node=0, name=name, start_pfn=_known(zone.start_pfn), spanned=zone.spanned, present=zone.present,
        managed=zone.managed, free=_known(zone.nr_free_pages), min=zone.min, low=zone.low,
        high=2 * zone.low - zone.min, protection=tuple(reserve), pagesets=_pagesets(zone, cpus),
    )  # fmt: skip


def _pagesets(zone: CountersZone, cpus: int) -> tuple[PerCpuSnapshot, ...]:
    held = _known(zone.pcp_count)
    return tuple(
        PerCpuSnapshot(
            cpu=cpu, count=held // cpus + int(cpu < held % cpus), high=_known(zone.pcp_high),
            batch=max(1, _known(zone.pcp_batch)),
        )
        for cpu in range(cpus)
    )  # fmt: skip


def _known(value: int | None) -> int:
    assert value is not None, "zones with memory have it, the reader has seen to that"
    return value


def workload_of(recording: CountersRecording) -> WorkloadConfig:
    """Return the model's workload for what the recorded program did, up to where it stopped."""
    given, samples = recording.workload, recording.samples

    def sampled(label: str) -> tuple[int, ...]:
        return tuple(sample.secret_pages for sample in samples if sample.label == label)

    if isinstance(given, OneFile):
        return OneFileConfig(pages=given.pages, sample_at=sampled("fault"))
    if isinstance(given, ManyFiles):
        files = tuple(pages // given.pages_per_file for pages in sampled("memfd"))
        return ManyFilesConfig(
            files=max(files), pages=given.pages_per_file, reserve=given.files * given.pages_per_file, sample_at=files
        )
    if isinstance(given, ForkBomb):
        return _fork_bomb(recording, given)
    if isinstance(given, Spread):
        return SpreadConfig(
            secret_pages=max(given.pages or 0, len(recording.secret_pfns)), touched=len(recording.secret_pfns),
            filler=_FILLERS[given.filler], filler_pages=given.filler_pages, sample_at=sampled("secret"),
        )  # fmt: skip
    assert isinstance(given, Churn)
    operations = tuple(given.operations)
    steps = [sample for sample in samples if sample.label == "churn"]
    every = max(1, len(operations) // max(1, len(steps)))
    return ChurnConfig(
        steps=len(operations), operations=operations, slots=1 + max(slot for slot, _ in operations),
        sample_at=tuple(every * (at + 1) for at in range(len(steps))),
    )  # fmt: skip


def _fork_bomb(recording: CountersRecording, given: ForkBomb) -> ForkBombConfig:
    """A fork bomb up to the number of tasks that there were; without secret pages the samples do not tell it."""
    growing = [sample for sample in recording.samples if sample.label == "fork"]
    peak = next((sample for sample in recording.samples if sample.label == "peak"), growing[-1])
    if given.secret_pages:
        at = tuple(sample.secret_pages // given.secret_pages for sample in growing)
        tasks = max(peak.secret_pages // given.secret_pages, *at)
    else:
        tasks = given.tasks
        at = tuple(1 << number for number in range(tasks.bit_length()))
    return ForkBombConfig(
        tasks=tasks, secret_pages=given.secret_pages, ordinary_before=given.ordinary_pages_before,
        ordinary_after=given.ordinary_pages_after, in_step=True, in_phases=True, report=True, sample_at=at,
    )  # fmt: skip


def _at_samples(recording: CountersRecording, observed: Observed, name: str) -> NDArray[np.int64]:
    """Give every recorded sample the model's value at as many secret pages, or in the same phase.

    Samples that only the recording has stand for the state before them.
    """
    begin = getattr(recording.samples[0], name)
    values, out, at = observed.values[name], [], 0
    for sample in recording.samples:
        label = "idle" if sample.label.startswith("idle") else sample.label
        label = "fillfreed" if label == "anonfreed" and isinstance(recording.workload, Spread) else label
        following = next((k for k in range(at, len(observed.labels)) if observed.labels[k] == label), None)
        if following is not None:
            out.append(int(values[following]))
            at = following + 1
        else:
            out.append(int(values[max(0, at - 1)]) if at else 0)
    counted: NDArray[np.int64] = np.array(out, np.int64) + begin
    return counted
