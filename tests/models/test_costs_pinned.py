"""What a run costs, without a clock: events, the allocator's operations, draws. A regression of speed shows here.

These numbers follow from the code alone. Whoever changes one on purpose puts the new one here, and says why.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from simcore.experiment import Experiment
from simcore.simulation import simulate
from simcore.streams import Streams

MACHINE = {"machine": {"memory": "4GiB", "cpus": 4}, "users": {"user": {"memlock": "1TiB"}}}


class Cost(NamedTuple):
    events: int
    refills: int
    drains: int
    steals: int
    draws: int


CASES: dict[str, tuple[dict[str, Any], Cost, Cost]] = {
    # name: workloads, cost with batching, cost without
    "one large file": (
        {"file": {"kind": "one_file", "pages": 20_000}},
        Cost(27, 389, 28, 23, 4020), Cost(20045, 389, 28, 23, 4020),
    ),
    "four CPUs faulting at once": (
        {f"file{i}": {"kind": "one_file", "pages": 1000} for i in range(4)},
        Cost(55, 135, 15, 7, 4020), Cost(4055, 135, 15, 7, 4020),
    ),
    "a fork bomb": (
        {"bomb": {"kind": "fork_bomb", "tasks": 300, "secret_pages": 2}},
        Cost(1824, 212, 17, 10, 4020), Cost(3322, 212, 17, 10, 4020),
    ),
    "a fork bomb whose children need no process": (
        {"bomb": {"kind": "fork_bomb", "tasks": 300}},
        Cost(31, 206, 40, 9, 4020), Cost(3021, 206, 40, 9, 4020),
    ),
    "churn": (
        {"churn": {"kind": "churn", "steps": 300, "slots": 16, "max_pages": 8}},
        Cost(17, 72, 0, 3, 5044), Cost(1312, 72, 0, 3, 5044),
    ),
}  # fmt: skip


def draws(monkeypatch: pytest.MonkeyPatch, experiment: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Run, and count how often all streams together were advanced."""
    used: dict[str, np.random.Generator] = {}
    get = Streams.get

    def remember(self: Streams, name: str) -> np.random.Generator:
        used[name] = get(self, name)
        return used[name]

    monkeypatch.setattr(Streams, "get", remember)
    summary = simulate(Experiment.from_mapping(experiment)).summary
    fresh, count = Streams(experiment.get("seed", 0), 0), 0
    for name, stream in used.items():
        begin, end = get(fresh, name).bit_generator, stream.bit_generator.state["state"]
        while begin.state["state"] != end:
            begin.random_raw()
            count += 1
    return summary, count


@pytest.mark.parametrize("batching", [True, False], ids=["batching", "one by one"])
@pytest.mark.parametrize("name", CASES)
def test_a_run_costs_what_it_did(name: str, batching: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that does things twice, an event too many, a draw too many: all change one of these numbers."""
    workloads, *pinned = CASES[name]
    experiment = {"name": "cost", "seed": 11, **MACHINE, "workloads": workloads, "batching": batching}
    summary, drawn = draws(monkeypatch, experiment)
    cost = Cost(
        summary["events"], summary["memory.refills"], summary["memory.drains"], summary["memory.steals"], drawn
    )
    assert cost == pinned[0 if batching else 1]


def test_the_cost_of_a_fault_does_not_grow_with_the_cpus() -> None:
    """Events per fault of many CPUs at once: interrupts are accounts and no events, however many there are."""
    events = {}
    for cpus in (2, 64):
        workloads = {f"file{i}": {"kind": "one_file", "pages": 128 // cpus * 20} for i in range(cpus)}
        experiment = {
            "name": "cost", "machine": {"memory": "16GiB", "cpus": cpus}, "users": {"user": {"memlock": "1TiB"}},
            "workloads": workloads, "batching": False,
        }  # fmt: skip
        events[cpus] = simulate(Experiment.from_mapping(experiment)).summary["events"]
    assert events[64] < 1.5 * events[2]
