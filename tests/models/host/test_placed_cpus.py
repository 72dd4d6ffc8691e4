"""CPUs that give each task of a fork the CPU that it had."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.host.placed_cpus import PlacedCpus
from models.host.recorded_schedule import Placement
from models.kernel.limits import User
from models.workloads.clocks import Clocks
from models.workloads.fork_bomb import ForkBomb, ForkBombConfig
from models.workloads.system import System
from models.workloads.thread import Thread
from models.workloads.waits import Wait
from simcore.environment import Environment
from tests.models.host.fork_places import watched
from tests.models.kernel.machines import boot

CPUS = 3


def run(placement: Placement, tasks: int) -> Placement:
    """CPUs on which a parent forks and its children begin; tasks beyond a placement may be anywhere."""
    kernel = boot({"memory": "256MiB", "cpus": CPUS}, {"secretmem": {"accounting": "per_user"}})
    env = Environment()
    system = System(env, kernel, CPUS, batching=False, cpus_type=partial(PlacedCpus, placement=placement))
    user = User("recorded")
    config = ForkBombConfig(tasks=tasks, in_step=True, in_phases=True)
    bomb = ForkBomb("bomb", system, user, config, np.random.default_rng(0))
    thread = Thread(system, kernel.first_task(user), 0)

    def life() -> Wait:
        yield from thread.run()
        yield from bomb.run(thread)

    with watched() as places:
        env.run(env.process(life()))
    assert system.cpus.running == 1  # the parent's
    return places.placement


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    places=st.lists(st.tuples(st.integers(0, CPUS - 1), st.integers(0, CPUS - 1)), min_size=1, max_size=8),
    more=st.integers(0, 3),
)
def test_tasks_are_where_they_were(places: list[tuple[int, int]], more: int) -> None:
    """Also where the child begins on its parent's CPU, when that waits; all tasks end, those without a place, too."""
    children, parents = zip(*places, strict=True)
    got = run(Placement(children, parents), len(places) + more)
    assert got.children[: len(places)] == children
    assert got.parents[: len(places)] == parents
    assert len(got.children) == len(places) + more


def test_who_waits_for_a_cpu_of_its_own_gets_it_first_and_may_leave() -> None:
    """Before all who want any; somebody else may have another one meanwhile."""
    env, kernel = Environment(), boot({"memory": "256MiB", "cpus": CPUS})
    cpus = PlacedCpus(env, Clocks(CPUS), Placement((1, 1), (0, 0, 0)))
    system = System(env, kernel, CPUS)
    parent, child = (Thread(system, kernel.first_task(User("u"))) for _ in range(2))
    assert cpus.try_acquire(0, parent) == 0
    parent.task.forks = 1
    assert cpus.try_acquire(1) == 1
    assert cpus.try_acquire(-1, child, new=True) == -1
    left, waits = cpus.acquire(child, new=True), cpus.acquire(child, new=True)
    assert cpus.try_acquire() == 2
    cpus.leave_queue(left)
    anybody = cpus.acquire()
    cpus.release(1)
    assert waits.value == 1
    assert not anybody.triggered
    cpus.release(1)
    assert anybody.value == 1
    cpus.leave_queue(cpus.acquire())
    cpus.release(1)
    assert cpus.running == 2
