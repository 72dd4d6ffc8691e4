"""The only CPU of a machine, given to whoever has had least of it."""

from __future__ import annotations

from typing import Any

from models.workloads.clocks import Clocks
from models.workloads.fair_cpus import FairCpu
from models.workloads.run_queue import Entity
from simcore.environment import Environment

MS = 1_000_000


def fair_cpu() -> tuple[Environment, FairCpu]:
    """One that idles, and whose ticks nobody sees to."""
    env = Environment()
    cpus = FairCpu(env, Clocks(1))
    cpus.contend = lambda: None
    return env, cpus


def test_an_idle_cpu_is_there_at_once() -> None:
    """And is gone then, until it is given back."""
    env, cpus = fair_cpu()
    assert cpus.try_acquire(who="a") == 0
    assert (cpus.running, cpus.contended) == (1, False)
    assert cpus.try_acquire(who="b") < 0
    waits = cpus.acquire("b")
    assert cpus.contended
    env.run(until=MS)
    assert not waits.triggered
    cpus.release(0)
    assert waits.value == 0
    assert (cpus.running, cpus.contended) == (1, False)
    cpus.release(0)
    assert cpus.running == 0


def test_who_wants_an_idle_cpu_by_an_event_gets_it() -> None:
    """Nobody has it."""
    _, cpus = fair_cpu()
    assert cpus.acquire("a").value == 0


def test_who_is_behind_gets_it_and_who_gives_way_comes_back() -> None:
    """The one that has slept for long; after it the other one, which was not asleep."""
    env, cpus = fair_cpu()
    cpus.try_acquire(who="a")
    env.run(until=100 * MS)
    waits = cpus.acquire("b")
    assert not cpus.calm
    assert cpus.gives_way(0)
    assert cpus.gives_way(0)  # it has been found already
    cpus.release(0, sleeps=False)
    back = cpus.acquire("a")
    assert waits.triggered
    assert not back.triggered
    assert cpus.calm
    cpus.release(0)
    assert back.value == 0


def test_kernel_threads_run_when_the_cpu_is_given_away_or_settled() -> None:
    """They take no time, so that who has it keeps it; but another task has to wait until who runs asks."""
    for asks in (True, False):
        env, cpus = fair_cpu()
        ran = list[str]()
        thread = Entity(lambda ran=ran: ran.append("thread"))  # type: ignore[misc]
        cpus.try_acquire(who="a")
        env.run(until=100 * MS)
        cpus.wake(thread)
        if asks:
            assert not cpus.gives_way(0)
        else:
            cpus.settle()
        assert ran == ["thread"]
        assert cpus.calm
        waits = cpus.acquire("b")
        cpus.settle()
        assert not waits.triggered
        assert not cpus.calm
        assert cpus.gives_way(0)


def test_while_it_idles_kernel_threads_run() -> None:
    """Nobody has it afterwards."""
    _, cpus = fair_cpu()
    ran = list[str]()
    cpus.wake(Entity(lambda: ran.append("thread")))
    cpus.settle()
    assert ran == ["thread"]
    assert cpus.running == 0


def test_ticks_look_after_a_kernel_thread_that_has_to_wait() -> None:
    """It is not behind by enough when it is woken; once the task has run for longer it gets the CPU."""
    env, cpus = fair_cpu()
    ran, asked = list[str](), list[int]()
    cpus.contend = lambda: asked.append(1)
    cpus.try_acquire(who="a")
    env.run(until=MS // 2)
    cpus.wake(Entity(lambda: ran.append("thread")))
    assert cpus.calm
    assert asked == [1]
    env.run(until=4 * MS)
    cpus.queue.tick(env.now)
    assert not cpus.calm
    cpus.settle()
    assert ran == ["thread"]
    assert cpus.calm


def test_who_was_killed_while_it_waited_is_passed_over() -> None:
    """The next one gets the CPU."""
    env, cpus = fair_cpu()
    cpus.try_acquire(who="a")
    first, second = cpus.acquire("b"), cpus.acquire("c")
    cpus.leave_queue(first)
    cpus.release(0)
    assert not first.triggered
    assert second.triggered
    assert env.now == 0


def test_a_new_task_waits_behind_its_parent_and_one_that_wakes_does_not() -> None:
    """The parent keeps the CPU after a fork; when it has slept it preempts its child."""
    env, cpus = fair_cpu()
    cpus.try_acquire(who="parent")
    env.run(until=100 * MS)
    child = cpus.acquire("child", new=True)
    assert not cpus.gives_way(0)
    cpus.release(0)
    assert child.triggered
    env.run(until=101 * MS)
    parent: Any = cpus.acquire("parent")
    assert cpus.gives_way(0)
    cpus.release(0, sleeps=False)
    assert parent.triggered


def test_somebody_looks_whenever_a_thread_asks_or_sleeps() -> None:
    """As kcompactd does."""
    _, cpus = fair_cpu()
    looked = list[int]()
    cpus.look = lambda: looked.append(1)
    cpus.try_acquire(who="a")
    cpus.gives_way(0)
    cpus.release(0)
    assert len(looked) == 2


def test_who_preempts_gets_the_cpu_at_the_next_question() -> None:
    """Though it has just had it, and the other one would go on; an idle CPU it gets at once."""
    env, cpus = fair_cpu()
    assert cpus.preempt("a").value == 0
    cpus.release(0)
    cpus.try_acquire(who="b")
    env.run(until=MS)
    waits = cpus.preempt("a")
    assert not waits.triggered
    assert cpus.gives_way(0)
    cpus.release(0, sleeps=False)
    assert waits.value == 0


def test_who_asks_often_is_never_calm() -> None:
    """So that faults are taken one by one, with a question after each."""
    _, cpus = fair_cpu()
    assert cpus.calm
    cpus.asks_often = True
    assert not cpus.calm
