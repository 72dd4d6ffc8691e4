"""A live run: an experiment's workload made with real system calls, and what the kernel said meanwhile, as a result."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa

from models.host import procfs
from models.host.live_plan import LivePlan, LiveRefusalError, check
from models.host.live_worker import ask_worker
from simcore.environment import Environment
from simcore.errors import ConfigError
from simcore.expect import evaluate
from simcore.experiment import Experiment
from simcore.fingerprint import fingerprint
from simcore.result import Result
from simcore.series import Series, table_of

__all__ = ["NOT_OBSERVED", "LiveRun", "LiveSample", "new_splits", "run_live", "to_result"]

PAGE_BYTES = 4096
NOT_OBSERVED = ("tlb.flushes", "tlb.cost_ns")
"""Series of a simulation that no kernel tells; `tlb.interrupts` is what /proc/interrupts counts of flushes."""


@dataclass(frozen=True)
class LiveSample:
    """Counters at one step, as the kernel's files said them; ``cpu_ns``: the first task's own time on a CPU."""

    label: str
    time_ns: int
    cpu_ns: int
    secret_pages: int
    tasks: int
    meminfo: Mapping[str, int]
    vmstat: Mapping[str, int]
    free_blocks: Mapping[tuple[int, str], tuple[int, ...]]
    per_cpu_pages: int
    interrupts: int | None


@dataclass(frozen=True)
class LiveRun:
    """What a live run left.

    Attributes:
        plan: what was asked for.
        samples: at least the first, ``start``, and the last, ``end``.
        frames: int64, frames of secret pages in the order of their faults; empty where they cannot be read.
        refused: the error that ended the workload early, or None.
        zoneinfo: /proc/zoneinfo at the start.
        wall_s: how long it took, sampling included.
        task: of a fork bomb, ``page_tables`` (pages) and ``mappings`` that a task has when it is forked.
    """

    plan: LivePlan
    samples: Sequence[LiveSample]
    frames: np.ndarray[Any, np.dtype[np.int64]]
    refused: str | None
    zoneinfo: Sequence[procfs.ZoneInfo]
    wall_s: float
    task: Mapping[str, int] = field(default_factory=dict)


def run_live(wanted: LivePlan, before: Callable[[], None] | None = None) -> LiveRun:
    """Run a workload on this kernel. Splits that it causes last until the machine reboots.

    Args:
        wanted: what to run.
        before: called just before it begins, when everything else is in place.

    Raises:
        LiveRefusalError: This machine does not allow it.
        WorkerError: It came to no end.
        KeyboardInterrupt: A signal ended it; everything is given back.
    """
    limits = check(wanted)
    single = wanted.tasks == 0
    began = perf_counter()
    answer = ask_worker(
        {
            "do": "run",
            "workload": wanted.workload,
            "limits": limits,
            "cpu": min(os.sched_getaffinity(0)) if single else None,
            "frames": os.geteuid() == 0,
        },
        before,
    )
    samples = [_parse(sample) for sample in answer["samples"]]
    frames = np.array(answer["frames"], np.int64)
    zones = procfs.parse_zoneinfo(answer["samples"][0]["files"]["zoneinfo"])
    refused = None
    if answer["error"] is not None:
        refused = f"{answer['error']['text']} {answer['error']['what']}".strip()
    run = LiveRun(wanted, samples, frames, refused, zones, perf_counter() - began, answer["task"])
    if refused is not None and not any(sample.secret_pages for sample in samples):
        raise LiveRefusalError(f"the kernel refused before the first secret page: {refused}")
    return run


def _parse(sample: Mapping[str, Any]) -> LiveSample:
    files = sample["files"]
    zones = procfs.parse_zoneinfo(files["zoneinfo"]) if "zoneinfo" in files else []
    return LiveSample(
        label=sample["label"],
        time_ns=sample["time_ns"],
        cpu_ns=sample["cpu_ns"],
        secret_pages=sample["secret_pages"],
        tasks=sample["tasks"],
        meminfo=procfs.parse_meminfo(files["meminfo"]),
        vmstat=procfs.parse_vmstat(files["vmstat"]) if "vmstat" in files else {},
        free_blocks=procfs.parse_buddyinfo(files["buddyinfo"]) if "buddyinfo" in files else {},
        per_cpu_pages=sum(lists.get("count", 0) for zone in zones for lists in zone.pagesets.values()),
        interrupts=procfs.parse_interrupts(files["interrupts"]) if "interrupts" in files else None,
    )


def new_splits(run: LiveRun, level: int) -> int:
    """Return how many entries of 2M (level 2) or 1G (level 3) were split between the first and the last sample."""
    name = f"direct_map_level{level}_splits"
    return run.samples[-1].vmstat.get(name, 0) - run.samples[0].vmstat.get(name, 0)


def _row(sample: LiveSample) -> dict[str, int]:
    """Series of one sample; only what this kernel tells."""
    row = {
        "secretmem.pages": sample.secret_pages,
        "direct_map.unmapped_bytes": sample.secret_pages * PAGE_BYTES,
        "tasks.alive": sample.tasks,
        "memory.free_bytes": sample.meminfo["MemFree"] * 1024,
        "memory.per_cpu_bytes": sample.per_cpu_pages * PAGE_BYTES,
    }
    for size, name in (("4k", "DirectMap4k"), ("2m", "DirectMap2M"), ("1g", "DirectMap1G")):
        if name in sample.meminfo:
            row[f"direct_map.{size}_bytes"] = sample.meminfo[name] * 1024
    for what in ("level2_splits", "level3_splits", "level2_collapses", "level3_collapses"):
        row[f"direct_map.{what}"] = sample.vmstat.get(f"direct_map_{what}", 0)
    if sample.interrupts is not None:
        row["tlb.interrupts"] = sample.interrupts
    return row


def to_result(run: LiveRun, experiment: Experiment) -> Result:
    """Return a live run in the form of a simulation's result, so that plots, reports and tables take it."""
    env = Environment(max_points=experiment.keys.record.max_points)
    rows = [_row(sample) for sample in run.samples]
    vector = env.recorder.vector(list(rows[0]))
    for sample, row in zip(run.samples, rows, strict=True):
        vector.values[:] = [row[name] for name in vector.names]
        vector.note_at(sample.time_ns)
    end_ns = run.samples[-1].time_ns
    env._now = end_ns
    env.recorder.finish()
    statistics = env.recorder.statistics(end_ns)
    finals = {name: entry["final"] for name, entry in statistics.items()}
    own: dict[str, Any] = {
        "real": 1,
        "refused": run.refused or "",
        "splits.new_2m": new_splits(run, 2),
        "splits.new_1g": new_splits(run, 3),
    }
    if len(run.frames):
        own["secretmem.regions_2m"] = len(np.unique(run.frames >> 9))
    quantities = {"machine.memory": run.samples[0].meminfo["MemTotal"] * 1024, "machine.cpus": os.cpu_count() or 1}
    keys = experiment.keys
    digest = sha256(run.frames.tobytes()).digest()
    summary = {
        "name": keys.name,
        "fingerprint": fingerprint(env.recorder, end_ns, digest),
        "events": len(run.samples),
        "wall_s": run.wall_s,
        "simulated_ns": end_ns,
        **finals,
        **own,
        "expect": _verdicts(experiment, {**quantities, **finals, **own}, statistics),
        "quantities": quantities,
        "statistics": statistics,
    }
    labels = pa.table({"time_ns": [s.time_ns for s in run.samples], "label": [s.label for s in run.samples]})
    return Result(
        series=Series(table_of(env.recorder, keys.record.max_points, keys.record.series)),
        summary=summary,
        config=experiment.effective(),
        manifest=_manifest(experiment, str(summary["fingerprint"])),
        tables={"samples": labels, "frames": pa.table({"pfn": run.frames})},
    )


def _verdicts(experiment: Experiment, values: Mapping[str, Any], statistics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the verdicts of the conditions that can be judged: those that name only what a kernel tells."""
    verdicts = []
    for one in experiment.checks:
        try:
            verdicts += [verdict.to_json() for verdict in evaluate([one], values, statistics)]
        except (ConfigError, KeyError):
            continue
    return verdicts


def _manifest(experiment: Experiment, mark: str) -> dict[str, Any]:
    uname = platform.uname()
    return {
        "kind": "simcore run",
        "format": 1,
        "name": experiment.keys.name,
        "model": experiment.keys.model,
        "model_class": "the kernel itself",
        "kernel": {"release": uname.release, "version": uname.version, "machine": uname.machine},
        "not_observed": list(NOT_OBSERVED),
        "source": None if experiment.loaded.path is None else str(experiment.loaded.path),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": mark,
        "versions": {"simcore": version("simcore"), "python": platform.python_version()},
        "until_reached": False,
    }


def to_json(run: LiveRun) -> str:
    """Return the figures of a run for programs."""
    last = run.samples[-1]
    figures = {"new_2m_splits": new_splits(run, 2), "new_1g_splits": new_splits(run, 3), "time_ns": last.time_ns}
    return json.dumps({**figures, "refused": run.refused}, indent=2)
