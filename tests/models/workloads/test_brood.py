"""Children without a process each: the same result as with one, whatever stops them on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.direct_map_model import DirectMapConfig, DirectMapModel
from models.workloads.waits import Wait
from simcore.environment import Environment
from simcore.experiment import Experiment
from simcore.simulation import simulate
from tests.models.workloads.test_batching import run_both_ways, same

ANY_NUMBER = {"processes": 1 << 30}


def bomb(tasks: int, cpus: int, memory: str = "4GiB", **keys: Any) -> dict[str, Any]:
    return {
        "name": "brood", "seed": 3, "machine": {"memory": memory, "cpus": cpus}, "users": {"user": ANY_NUMBER},
        "workloads": {"bomb": {"kind": "fork_bomb", "tasks": tasks, **keys}},
    }  # fmt: skip


def beside(case: dict[str, Any], **workloads: Any) -> dict[str, Any]:
    others = {name: {"user": name, **workload} for name, workload in workloads.items()}
    return {**case, "workloads": {**case["workloads"], **others}}


CHURN = {"kind": "churn", "steps": 150, "slots": 8, "max_pages": 4}
CASES: dict[str, dict[str, Any]] = {
    "many CPUs": bomb(900, 64),
    "one CPU": bomb(200, 1),
    "more tasks than CPUs, and time slices": bomb(1500, 3),
    "they end at once": bomb(500, 4, hold=0),
    "they end at once, on one CPU": bomb(200, 1, hold=0),
    "a rate": bomb(80, 3, rate=20_000),
    "two nodes": {**bomb(1200, 8), "machine": {"memory": "4GiB", "cpus": 8, "nodes": 2}},
    "threads on the same CPUs": beside(bomb(500, 3), churn=CHURN, file={"kind": "one_file", "pages": 600}),
    "two bombs": beside(bomb(300, 4), other={"kind": "fork_bomb", "tasks": 250, "start": "700us"}),
    "a limit on processes": {**bomb(600, 4), "users": {"user": {"processes": 350}}},
    "a limit on processes of one of two bombs": {
        **beside(bomb(57, 3), other={"kind": "fork_bomb", "tasks": 400, "hold": 0}),
        "users": {"user": {"processes": 48}, "other": ANY_NUMBER},
    },
    "others are killed in their control group": {
        **beside(bomb(800, 4), others={"kind": "fork_bomb", "tasks": 8, "ordinary_before": 400, "start": "100us"}),
        "groups": {"small": {"limit": "4MiB"}}, "users": {"user": ANY_NUMBER, "others": {"group": "small"}},
    },
    "memory runs out": bomb(20_000, 4, "512MiB"),
    "memory runs out on one CPU": bomb(20_000, 1, "512MiB"),
    "somebody else takes the memory": {
        **beside(bomb(9000, 8, "1GiB"), thief={"kind": "one_file", "pages": 250_000}),
        "users": {"user": ANY_NUMBER, "thief": {"memlock": "1TiB"}},
    },
    "somebody else takes the memory while they sleep": {
        **beside(bomb(2500, 4, "1GiB", rate=20_000), thief={"kind": "one_file", "pages": 250_000, "start": "20ms"}),
        "users": {"user": ANY_NUMBER, "thief": {"memlock": "1TiB"}},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_nobody_can_tell_them_from_processes(name: str) -> None:
    """All series, all results and the owner of every page are those of a run with a process for every child."""
    on, off = run_both_ways(Experiment.from_mapping(CASES[name]))
    assert same(on, off)


@pytest.mark.parametrize("until", ["90us", "1ms", "3217us", "6ms"])
def test_a_run_that_is_cut_short(until: str) -> None:
    """At any time children have done what they would have done with a process each."""
    case = {**bomb(500, 4), "until": until}
    on, off = run_both_ways(Experiment.from_mapping(case))
    assert same(on, off)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 400), st.sampled_from((None, 0)), st.integers(0, 5_000_000),
    st.sampled_from(("160MiB", "2GiB")), st.integers(0, 120_000),
)  # fmt: skip
def test_whatever_runs_beside_them(
    cpus: int, tasks: int, hold: int | None, start_ns: int, memory: str, pages: int
) -> None:
    """Threads come and go on the same CPUs, memory lasts or does not."""
    case = bomb(tasks, cpus, memory, hold=hold)
    case = beside(
        case, churn={**CHURN, "steps": 30}, file={"kind": "one_file", "pages": max(1, pages), "start": start_ns}
    )
    case["users"]["file"] = {"memlock": "1TiB"}
    on, off = run_both_ways(Experiment.from_mapping(case))
    assert same(on, off)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9), st.sampled_from((None, 0)), st.integers(1, 12_000_000), st.booleans(),
    st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 1, exclude_max=True)), max_size=3),
)  # fmt: skip
def test_whoever_is_killed(
    cpus: int, hold: int | None, begin_ns: int, full: bool, kills: list[tuple[int, float]]
) -> None:
    """At any time somebody may look at what tasks hold, and kill children or their parent."""

    def kill(model: DirectMapModel, env: Environment) -> Wait:
        system = model.system
        yield env.timeout(begin_ns)
        for delay_ns, place in kills:
            system.ranges.tell()
            system.broods.disband()
            living = [task for task in system.kernel.tasks if task.process is not None and not task.killed]
            living.sort(key=lambda task: (full and -system.kernel.held_pages(task), task.holder))
            if living:
                victim = living[int(place * len(living))]
                victim.killed = True
                victim.process.interrupt("SIGKILL")
            yield env.timeout(delay_ns)

    class Killer(DirectMapModel):
        def __init__(self, env: Environment, config: DirectMapConfig) -> None:
            super().__init__(env, config)
            env.process(kill(self, env))

    case = beside(bomb(250, cpus, hold=hold), file={"kind": "one_file", "pages": 900})
    results = []
    for batching in (True, False):
        experiment = Experiment.from_mapping({**case, "batching": batching})
        results.append(simulate(replace(experiment, model=Killer)))
    assert same(*results)


def test_they_cost_no_events() -> None:
    """A thousand lives are a few dozen events: ticks, and whoever starts and ends the run."""
    assert simulate(Experiment.from_mapping(bomb(1000, 16))).summary["events"] < 60


@pytest.mark.parametrize("name", [name for name in CASES if "memory" in name])
def test_some_are_killed_or_refused_where_memory_runs_out(name: str) -> None:
    """In those cases children do become processes, since only such can be chosen by the OOM killer or refused."""
    summary = simulate(Experiment.from_mapping(CASES[name])).summary
    assert summary["tasks.oom_kills"] + summary.get("refused.ENOMEM", 0) > 0
