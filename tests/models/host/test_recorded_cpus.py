"""Several CPUs of a recorded machine: objects on all of them, and the turns that an emulator gives them."""

from __future__ import annotations

import numpy as np
import pytest

from models.host import recorded_cpus
from models.host.recorded_cpus import Turns, share_slabs, takes_turns
from models.kernel.entities import Task
from models.kernel.kernel import Kernel
from models.kernel.limits import User
from models.workloads.fork_bomb import ForkBomb, ForkBombConfig
from models.workloads.system import System
from models.workloads.thread import Thread
from models.workloads.waits import Wait
from simcore.environment import Environment
from tests.models.kernel.machines import boot

TASKS = 12


def run(cpus: int, patch: pytest.MonkeyPatch, *, turn_ends: int | None) -> list[tuple[int, int]]:
    """CPU of the parent when it forks, and of its child, fork by fork; after one a tick ends the child's turn."""
    kernel = boot({"memory": "256MiB", "cpus": cpus}, {"secretmem": {"accounting": "per_user"}})
    env = Environment()
    system = System(env, kernel, cpus, batching=False)
    user = User("recorded")
    bomb = ForkBomb(
        "bomb", system, user, ForkBombConfig(tasks=TASKS, in_step=True, in_phases=True), np.random.default_rng(0)
    )
    turns = Turns(system, np.random.default_rng(0))
    left: list[int] = []

    def leave(thread: Thread) -> Wait:
        patch.setattr(recorded_cpus, "_TICK_BETWEEN", float(len(left) == turn_ends))
        left.append(thread.cpu)
        return turns.leave(thread)

    bomb.leavers.append(leave)
    bomb.watchers.append(turns.flushed)
    parents: list[int] = []
    fork = Kernel.fork

    def noted(self: Kernel, task: Task, cpu: int) -> Task:
        parents.append(cpu)
        return fork(self, task, cpu)

    patch.setattr(Kernel, "fork", noted)
    thread = Thread(system, kernel.first_task(user), 0)

    def life() -> Wait:
        yield from thread.run()
        yield from bomb.run(thread)

    env.run(env.process(life()))
    return list(zip(parents, left, strict=True))


def test_parent_and_child_keep_their_cpus_while_no_turn_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child gets the CPU that idles, and the parent is woken on its own."""
    assert run(2, monkeypatch, turn_ends=None) == [(0, 1)] * TASKS


def test_they_change_places_when_a_tick_keeps_a_child_from_sleeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next child stays on its parent's CPU, and the parent is woken on the one that is idle by then."""
    assert run(2, monkeypatch, turn_ends=3) == [(0, 1)] * 4 + [(0, 0)] + [(1, 0)] * (TASKS - 5)


def test_with_more_cpus_the_parent_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is always one that idles."""
    places = run(4, monkeypatch, turn_ends=3)
    assert {parent for parent, _ in places} == {0}
    assert {child for _, child in places} == {1, 2, 3}


def test_the_boot_leaves_objects_on_every_cpu() -> None:
    """The known ones on the program's, half a slab on each other one; none of them costs a page."""
    kernel = boot({"memory": "256MiB", "cpus": 4})
    free = int(kernel.store.zones["free_pages"].sum())
    known = {name: spec.boot_free for name, spec in kernel.footprints.caches.items()}
    share_slabs(kernel, 2)
    for number, (name, boot_free) in enumerate(known.items()):
        record, on_cpus = kernel.state.caches[number], kernel.state.cpu_slabs[number]
        half = int(record["objects_per_slab"]) // 2
        assert on_cpus["free_objects"][[0, 1, 3]].tolist() == [half] * 3, name
        assert on_cpus["free_objects"][2] == min(boot_free, record["objects_per_slab"]), name
    assert int(kernel.store.zones["free_pages"].sum()) == free


@pytest.mark.parametrize(
    ("emulator", "in_turns"),
    [
        ("QEMU TCG (no icount; single-threaded round robin, not deterministic)", True),
        ("QEMU 7.2 TCG, thread=single", True),
        ("none: a live machine; other processes ran beside", False),
        ("QEMU TCG, thread=multi", False),
    ],
)
def test_only_one_threads_emulators_takes_turns(emulator: str, in_turns: bool) -> None:
    """By what the recording says."""
    assert takes_turns(emulator) is in_turns
