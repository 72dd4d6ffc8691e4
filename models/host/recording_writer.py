"""Writing a live run as a recording in the `counters` format, so that a machine's behaviour becomes a test case."""

from __future__ import annotations

import gzip
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.host.live import LiveRun, LiveSample
from models.machine.snapshot import Snapshot
from simcore.errors import SimcoreError

__all__ = ["frame_runs", "to_recording", "write_recording"]

PAGE_BYTES = 4096
_FILLERS = {"page_tables": "page_table", "ordinary": "anon"}


def write_recording(run: LiveRun, snapshot: Snapshot, path: Path) -> Path:
    """Write a recording as JSON, gzipped when the name ends in ``.gz``.

    Raises:
        SimcoreError: The machine has several nodes, or no 4K/2M counters: the format has no place for that.
    """
    text = json.dumps(to_recording(run, snapshot, path.name.split(".")[0]), separators=(",", ":")).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path


def to_recording(run: LiveRun, snapshot: Snapshot, name: str) -> dict[str, Any]:
    """Return a live run as the recording's JSON; `secret_pfns` is empty where frames cannot be read."""
    if len({zone.node for zone in run.zoneinfo}) != 1 or "DirectMap2M" not in run.samples[0].meminfo:
        raise SimcoreError("a recording describes a machine of one node whose kernel counts 4K and 2M entries")
    first = run.samples[0]
    uname = platform.uname()
    return {
        "format": 1,
        "name": name,
        "tier": "counters",
        "source": {
            "kernel": f"{uname.system} {uname.release} {uname.version}",
            "secretmem_policy": "page",
            "accounting": snapshot.secretmem.accounting,
            "emulator": "none: a live machine; other processes ran beside",
        },
        "machine": {
            "memory_bytes": sum(end - start for start, end, kind in snapshot.memory if kind == "usable"),
            "cpus": snapshot.cpus,
            "e820": [list(line) for line in snapshot.memory],
            "zones": _zones(run, first),
        },
        "initial": {
            "direct_map_kb": _direct_map(first),
            "direct_map_tiles": None
            if snapshot.direct_map.tiles is None
            else [list(t) for t in snapshot.direct_map.tiles],
            "free_blocks": _free_blocks(first),
        },
        "workload": _workload(run),
        "samples": [_sample(sample, run, run.frames) for sample in run.samples],
        "secret_pfns": frame_runs(run.frames),
        "repeatable": False,
    }


def _zones(run: LiveRun, first: LiveSample) -> dict[str, dict[str, int]]:
    zones = {}
    for zone in run.zoneinfo:
        values = zone.fields
        blocks = first.free_blocks.get((zone.node, zone.name), ())
        lists = list(zone.pagesets.values())
        zones[zone.name] = {
            **{key: values[key] for key in ("min", "low", "spanned", "present", "managed", "start_pfn")},
            # Both files are read one after the other, while others allocate: what the lists hold is what counts.
            "nr_free_pages": sum(count << order for order, count in enumerate(blocks)),
            "pcp_count": sum(one.get("count", 0) for one in lists),
            "pcp_high": max((one.get("high", 0) for one in lists), default=0),
            "pcp_batch": max((one.get("batch", 1) for one in lists), default=1),
        }
    return zones


def _workload(run: LiveRun) -> dict[str, Any]:
    config = run.plan.workload
    kind = config["kind"]
    if kind == "one_file":
        return {"type": kind, "pages": config["pages"]}
    if kind == "many_files":
        return {"type": kind, "files": config["files"], "pages_per_file": config["pages"]}
    if kind == "fork_bomb":
        return {
            "type": kind,
            "tasks": config["tasks"],
            "secret_pages": config["secret_pages"],
            "ordinary_pages_before": config["ordinary_before"],
            "ordinary_pages_after": config["ordinary_after"],
        }
    if kind == "churn":
        return {"type": kind, "operations": [[place, pages] for place, pages, _ in config["operations"]]}
    filler = _FILLERS.get(config["filler"], config["filler"])
    return {
        "type": "spread",
        "filler": filler,
        "filler_pages": config["filler_pages"],
        "pages": config["secret_pages"],
        "rounds": 1,
    }


def _direct_map(sample: LiveSample) -> dict[str, int]:
    names = {"4k": "DirectMap4k", "2m": "DirectMap2M", "1g": "DirectMap1G"}
    return {key: sample.meminfo.get(name, -1) for key, name in names.items()}


def _free_blocks(sample: LiveSample) -> dict[str, list[int]]:
    return {zone: list(blocks) for (_, zone), blocks in sample.free_blocks.items() if any(blocks)}


def _sample(sample: LiveSample, run: LiveRun, frames: NDArray[np.int64]) -> dict[str, Any]:
    held = frames[: sample.secret_pages] if len(frames) >= run.plan.secret_pages else None
    known = held is not None and sample.secret_pages > 0
    return {
        "label": sample.label,
        "time_ns": sample.time_ns,
        "secret_pages": sample.secret_pages,
        "direct_map_kb": _direct_map(sample),
        "level2_splits": sample.vmstat.get("direct_map_level2_splits", 0),
        "level3_splits": sample.vmstat.get("direct_map_level3_splits", 0),
        "free_kb": sample.meminfo["MemFree"],
        "page_tables_kb": sample.meminfo.get("PageTables", 0),
        "secret_2m_regions": len(np.unique(held >> 9)) if known and held is not None else -1,
        "secret_1g_regions": len(np.unique(held >> 18)) if known and held is not None else -1,
        "free_blocks": _free_blocks(sample),
    }


def frame_runs(frames: Sequence[int] | NDArray[np.int64]) -> list[list[int]]:
    """Return frames as runs of first index, pfn, count, step."""
    runs: list[list[int]] = []
    for index, pfn in enumerate(np.asarray(frames, np.int64).tolist()):
        if runs:
            _, start, count, step = runs[-1]
            if count == 1 and pfn != start:
                runs[-1][2:] = [2, pfn - start]
                continue
            if count > 1 and pfn == start + count * step:
                runs[-1][2] += 1
                continue
        runs.append([index, pfn, 1, 0])
    return runs
