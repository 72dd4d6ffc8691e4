"""The counters in which a live run and its simulations are compared, each as a difference to its start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.host.live import LiveRun, LiveSample, new_splits
from simcore.result import Result

__all__ = ["SPLITS_2M", "live_counters", "simulated_counters"]

SPLITS_2M = "new 2M splits"
_KB = 1024


def live_counters(run: LiveRun) -> dict[str, float]:
    """Return the counters of a live run, as differences to its first sample."""
    first, last, peak = run.samples[0], run.samples[-1], _peak(run.samples)
    values: dict[str, float] = {SPLITS_2M: new_splits(run, 2), "new 1G splits": new_splits(run, 3)}
    for size in ("4k", "2M", "1G"):
        name = f"DirectMap{size}"
        if name in first.meminfo:
            values[f"{name} change (kB)"] = last.meminfo[name] - first.meminfo[name]
    # Of one task its own time on the CPU: others run here too, while the simulated machine is otherwise idle.
    single = run.plan.tasks == 0
    values["time to the peak (ms)"] = (peak.cpu_ns if single else peak.time_ns) / 1e6
    values["time in all (ms)"] = (last.cpu_ns if single else last.time_ns) / 1e6
    values["memory taken at the peak (MiB)"] = (_free(first) - _free(peak)) / (1 << 20)
    return values


def _free(sample: LiveSample) -> int:
    return sample.meminfo["MemFree"] * _KB + sample.per_cpu_pages * 4096


def _peak(samples: Sequence[LiveSample]) -> LiveSample:
    for sample in samples:
        if sample.label == "peak":
            return sample
    return max(samples, key=lambda sample: sample.secret_pages)


def simulated_counters(result: Result) -> dict[str, float]:
    """Return the same counters of a simulation."""
    series = result.series

    def change(name: str, unit: int = 1) -> float:
        values = series[name]
        return float(int(values[-1]) - int(values[0])) / unit

    pages = series["secretmem.pages"]
    peak = int(np.argmax(pages))
    free = series["memory.free_bytes"] + series["memory.per_cpu_bytes"]
    return {
        SPLITS_2M: change("direct_map.level2_splits"),
        "new 1G splits": change("direct_map.level3_splits"),
        "DirectMap4k change (kB)": change("direct_map.4k_bytes", _KB),
        "DirectMap2M change (kB)": change("direct_map.2m_bytes", _KB),
        "DirectMap1G change (kB)": change("direct_map.1g_bytes", _KB),
        "time to the peak (ms)": float(series.time_ns[peak]) / 1e6,
        # Until the last secret page is given back; what waits for a grace period comes later.
        "time in all (ms)": float(series.time_ns[int(np.flatnonzero(np.diff(pages))[-1]) + 1]) / 1e6,
        "memory taken at the peak (MiB)": float(int(free[0]) - int(free[peak])) / (1 << 20),
    }
