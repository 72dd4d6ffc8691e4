"""A traced run: the same results, tracks that fit together, counters that are the series."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import simcore
from simcore.result import Result
from simcore.trace import Trace

EXPERIMENT: dict[str, Any] = {
    "name": "traced",
    "machine": {"memory": "2GiB", "cpus": 3},
    "workloads": {"bomb": {"kind": "fork_bomb", "tasks": 60, "secret_pages": 2, "ordinary_before": 3}},
}


def decode(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the Trace Event Format: events by phase, times in exact nanoseconds."""
    document = json.loads(path.read_text(), parse_float=Decimal)
    phases: dict[str, list[dict[str, Any]]] = {}
    for event in document["traceEvents"]:
        for key in ("ts", "dur"):
            if key in event:
                exact = event[key] * 1000
                assert exact == int(exact)
                event[key] = int(exact)
        phases.setdefault(event["ph"], []).append(event)
    return phases


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Mapping[str, list[dict[str, Any]]]]:
    directory = tmp_path_factory.mktemp("traced") / "run"
    trace = Trace()
    result = simcore.run(EXPERIMENT, out=directory, trace=trace, progress=False)
    return Result.open(directory), decode(trace.write(directory / "trace.json", result.series))


def tracks(phases: Mapping[str, list[dict[str, Any]]], group: str) -> dict[str, list[dict[str, Any]]]:
    """Slices of each track of a group, by the track's name."""
    groups = [event for event in phases["M"] if event["name"] == "process_name"]
    pids = [event["pid"] for event in groups if event["args"]["name"] == group]
    found: dict[str, list[dict[str, Any]]] = {}
    for event in phases["M"]:
        if event["name"] == "thread_name" and event["pid"] in pids:
            found[event["args"]["name"]] = [
                part for part in phases["X"] if part["pid"] == event["pid"] and part["tid"] == event["tid"]
            ]
    return found


def test_a_trace_does_not_change_the_run(run: tuple[Result, Any]) -> None:
    """Who looks must not disturb: the fingerprint is that of the run without a trace."""
    assert simcore.run(EXPERIMENT, progress=False).fingerprint == run[0].fingerprint


def test_counters_equal_the_series(run: tuple[Result, Mapping[str, list[dict[str, Any]]]]) -> None:
    """At 100 random times each counter has the value that series.parquet has."""
    result, phases = run
    assert result.directory is not None
    table = pq.read_table(result.directory / "series.parquet")
    times = table["time_ns"].to_numpy()
    moments = np.random.default_rng(4).integers(times[0], int(result.summary["simulated_ns"]) + 1, 100)
    names = [name for name in table.column_names if name != "time_ns" and not name.endswith((".min", ".max"))]
    assert "direct_map.4k_bytes" in names
    assert len(names) >= 13
    for name in names:
        events = [event for event in phases["C"] if event["name"] == name]
        begun = np.array([event["ts"] for event in events])
        values = table[name].to_numpy()
        for moment in moments.tolist():
            row = np.searchsorted(times, moment, side="right") - 1
            event = events[np.searchsorted(begun, moment, side="right") - 1]
            assert event["args"]["value"] == values[row]


def test_slices_of_a_track_nest(run: tuple[Result, Mapping[str, list[dict[str, Any]]]]) -> None:
    """Slices that overlap in part cannot be drawn: each lies inside another one or beside it."""
    for group in ("CPUs", "tasks"):
        found = tracks(run[1], group)
        assert found
        for parts in found.values():
            open_ends: list[int] = []
            for part in parts:
                while open_ends and open_ends[-1] <= part["ts"]:
                    open_ends.pop()
                end = part["ts"] + part["dur"]
                assert not open_ends or end <= open_ends[-1]
                if part["dur"]:
                    open_ends.append(end)


def test_every_task_and_cpu_has_its_track(run: tuple[Result, Mapping[str, list[dict[str, Any]]]]) -> None:
    """Tasks that forked show it, tasks with secret pages show their faults, CPUs what interrupted them."""
    result, phases = run
    cpus, tasks = tracks(phases, "CPUs"), tracks(phases, "tasks")
    assert sorted(cpus) == ["CPU 0", "CPU 1", "CPU 2"]
    assert len(tasks) == 61
    names = [part["name"] for parts in cpus.values() for part in parts]
    assert sum("fork" in name for name in names) == 60
    assert "flush interrupts" in names
    pages = sum(part["args"]["pages"] for parts in tasks.values() for part in parts if part["name"] == "secret faults")
    assert pages == result.summary["workloads.bomb.secret_pages"]


def test_a_cpu_works_for_one_task_at_a_time(run: tuple[Result, Mapping[str, list[dict[str, Any]]]]) -> None:
    """The time that tasks have CPUs cannot exceed the time that there are CPUs."""
    end_ns = int(run[0].summary["simulated_ns"])
    for parts in tracks(run[1], "CPUs").values():
        outer = [part for part in parts if "task" in part["name"]]
        assert sum(part["dur"] for part in outer) <= end_ns


def test_a_window_keeps_what_touches_it(tmp_path: Path) -> None:
    """A window bounds the file: nothing that lies outside, and counters from its start."""
    trace = Trace(500_000, 600_000)
    result = simcore.run(EXPERIMENT, trace=trace, progress=False)
    phases = decode(trace.write(tmp_path / "trace.json", result.series))
    assert phases["X"]
    assert all(part["ts"] < 600_000 and part["ts"] + part["dur"] >= 500_000 for part in phases["X"])
    assert all(500_000 <= event["ts"] < 600_000 for event in phases["C"])
    row = np.searchsorted(result.series.time_ns, 500_000, side="right") - 1
    free = next(event for event in phases["C"] if event["name"] == "memory.free_bytes")
    assert (free["ts"], free["args"]["value"]) == (500_000, result.series["memory.free_bytes"][row])
