"""Batching changes how a run is executed, never its result: all series, integrals and final owners are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from simcore.experiment import Experiment
from simcore.result import Result
from simcore.simulation import simulate

CONFIGS = Path(__file__).parents[3] / "configs"
CAPS = {
    "tasks": 200, "pages": 1500, "files": 150, "steps": 200, "secret_pages": 300, "filler_pages": 40, "slots": 16,
    "repeat": 2, "operations": 200,
}  # fmt: skip
"""Largest value of a workload's key when a configuration is shrunk."""


def run_both_ways(experiment: Experiment, **more: Any) -> tuple[Result, Result]:
    on, off = (
        simulate(Experiment.from_mapping({**experiment.effective(), **more, "batching": batching}))
        for batching in (True, False)
    )
    return on, off


def same(on: Result, off: Result) -> bool:
    """Everything but what a run cost: the fingerprint covers series and owners, the rest is compared besides."""
    costs = {"wall_s", "events"}
    one, other = ({key: value for key, value in r.summary.items() if key not in costs} for r in (on, off))
    return one == other


def machine(cpus: int, memory: str = "4GiB") -> dict[str, Any]:
    return {"machine": {"memory": memory, "cpus": cpus}, "users": {"user": {"memlock": "1TiB"}}}


def files(number: int, pages: int) -> dict[str, Any]:
    return {f"file{i}": {"kind": "one_file", "pages": pages, "start": 997 * i} for i in range(number)}


CASES: dict[str, dict[str, Any]] = {
    "one task": {**machine(1), "workloads": files(1, 5000)},
    "one task on a busy machine": {
        **machine(2),
        "workloads": {**files(1, 4000), "beat": {"kind": "churn", "steps": 200, "slots": 4, "max_pages": 3}},
    },
    "a few CPUs": {**machine(4), "workloads": files(4, 900)},
    "all at the same instant": {
        **machine(8), "workloads": {f"file{i}": {"kind": "one_file", "pages": 400} for i in range(8)},
    },
    "more tasks than CPUs": {**machine(3), "workloads": files(8, 1200)},
    "time slices on one CPU": {**machine(1), "workloads": files(3, 1500)},
    "two nodes": {"machine": {"memory": "8GiB", "cpus": 8, "nodes": 2}, "workloads": files(6, 700),
                  "users": {"user": {"memlock": "1TiB"}}},
    "a tree of tasks": {
        **machine(8),
        "workloads": {
            "bomb": {"kind": "fork_bomb", "tasks": 150, "growth": "tree", "secret_pages": 6, "ordinary_before": 3},
        },
    },
    "a limit that two tasks share": {
        "machine": {"memory": "4GiB", "cpus": 4}, "users": {"user": {"memlock": "4MiB"}},
        "kernel": {"secretmem": {"accounting": "per_user"}},
        "workloads": {f"file{i}": {"kind": "one_file", "pages": 500} for i in range(4)},
    },
    "a cap that a system call meets": {
        "machine": {"memory": "192MiB", "cpus": 5, "costs": "zen5_guest_2cpu"}, "seed": 208,
        "kernel": {"secretmem": {"global_limit": "1MiB"}}, "users": {"other": {"memlock": "1TiB"}},
        "workloads": {
            "bomb": {"kind": "fork_bomb", "tasks": 182},
            "file": {"kind": "one_file", "pages": 61_015, "start": 1_674_911, "hold": 0, "user": "other"},
        },
    },
    "a group's limit": {
        **machine(4), "groups": {"g": {"limit": "12MiB"}}, "users": {"user": {"group": "g", "memlock": "1TiB"}},
        "workloads": files(4, 1500),
    },
    "memory runs out": {**machine(4, "1GiB"), "workloads": files(4, 90_000)},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_batching_changes_nothing(name: str) -> None:
    """One compiled loop over the faults of all CPUs gives what one event per fault gives, to the bit."""
    on, off = run_both_ways(Experiment.from_mapping({"name": "case", "seed": 7, **CASES[name]}))
    assert same(on, off)
    assert on.summary["secretmem.pages"] == off.summary["secretmem.pages"]


def test_one_event_does_the_work_of_many() -> None:
    """The comparison is between two ways of execution, not of one with itself."""
    on, off = run_both_ways(Experiment.from_mapping({"name": "case", **CASES["a few CPUs"]}))
    assert on.summary["events"] * 10 < off.summary["events"]


@pytest.mark.parametrize("flush", ["deferred", "batched"])
def test_other_ways_to_flush(flush: str) -> None:
    """Flushes that are put off couple faults in another way; the order of events is kept there too."""
    case = {"name": "case", "kernel": {"flush": {"mode": flush}}, **CASES["a few CPUs"]}
    on, off = run_both_ways(Experiment.from_mapping(case))
    assert same(on, off)


@pytest.mark.parametrize("name", ["a few CPUs", "one task"])
def test_a_run_that_is_cut_short(name: str) -> None:
    """At any time the state is that of all faults begun until then, and of none that comes later."""
    for until_ns in (1, 777_777, 2_000_003):
        on, off = run_both_ways(Experiment.from_mapping({"name": "case", **CASES[name]}), until=until_ns)
        assert same(on, off)


def shrunk(path: Path) -> dict[str, Any]:
    """An experiment with its workloads cut down to what takes no more than a second."""
    experiment = Experiment.load(path).effective()
    for workload in experiment["workloads"].values():
        for key, most in CAPS.items():
            if isinstance(workload.get(key), int) and not isinstance(workload[key], bool):
                workload[key] = min(workload[key], most)
        workload["sample_at"] = []
    experiment.pop("expect", None)
    experiment["until"] = min(experiment.get("until") or 20_000_000, 20_000_000)
    return experiment


def experiments() -> list[Path]:
    """Configurations of single runs: sweeps have a design, presets no workloads; a mere base begins with `_`."""
    found = []
    for path in sorted(CONFIGS.rglob("*.yaml")):
        keys = yaml.safe_load(path.read_text())
        names = set(keys) if isinstance(keys, dict) else set()
        if names & {"workloads", "base"} and not names & {"design", "replications"} and not path.name.startswith("_"):
            found.append(path)
    return found


@pytest.mark.long
@pytest.mark.parametrize("path", experiments(), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_batching_changes_no_configuration(path: Path) -> None:
    """Whatever is configured here, and however the kernel is set: both ways give the same."""
    on, off = (
        simulate(Experiment.from_mapping({**shrunk(path), "batching": batching})) for batching in (True, False)
    )
    assert same(on, off)
