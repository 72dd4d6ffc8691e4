"""kcompactd in time: when it looks, what it preempts, how it shares a CPU."""

from __future__ import annotations

from typing import Any

import pytest

from models.host.recorded_kernel import recorded_kernel
from models.host.recording import AllocatorRecording, read_recording
from models.kernel.compaction.background import Background
from models.kernel.kernel import Kernel
from models.workloads.background_compaction import TICK_NS, Kcompactd, next_check_ns, timer_ticks
from models.workloads.cpus import Cpus
from models.workloads.fair_cpus import FairCpu
from models.workloads.system import System
from models.workloads.watched_cpus import WatchedCpus
from simcore.environment import Environment
from tests.models.host.edited_recordings import ALLOCATOR
from tests.models.kernel.compaction.test_background import boost, use_up_blocks

MS = 1_000_000


def machine(
    *, proactive: bool = False, check_ns: int = 0, cpus_type: type[Cpus] = FairCpu
) -> tuple[Environment, Kernel, System, Kcompactd]:
    """A machine with memory in pieces and nobody at work."""
    recording = read_recording(ALLOCATOR / "b_page_1g_steal.json.gz")
    assert isinstance(recording, AllocatorRecording)
    kernel = recorded_kernel(recording)
    use_up_blocks(kernel)
    env = Environment()
    system = System(env, kernel, 1, cpus_type=cpus_type)
    kcompactd = Kcompactd(system, Background(kernel.state, kernel.costs, proactive=proactive), check_ns)
    return env, kernel, system, kcompactd


@pytest.mark.parametrize(
    ("ticks", "rings"), [(1, 2), (62, 63), (63, 64), (125, 128), (503, 504), (504, 512), (8000, 8192)]
)
def test_long_timers_ring_late(ticks: int, rings: int) -> None:
    """The wheel keeps them by levels, each eight times as coarse."""
    assert timer_ticks(ticks) == rings


def test_kcompactd_looks_every_512_ms() -> None:
    """125 ticks of 4 ms, rounded up to steps of 8 ticks."""
    first = next_check_ns(0, 0)
    assert first == 128 * TICK_NS
    assert next_check_ns(0, first + 1) == first + 512 * MS
    assert next_check_ns(7 * MS, 0, 3 * MS) % (8 * TICK_NS) == 3 * MS


def test_a_boost_wakes_it_and_the_time_passes() -> None:
    """It compacts as soon as somebody looks and sleeps, and the CPU is its own for as long as that takes."""
    env, kernel, system, kcompactd = machine()
    env.run(until=MS)
    cpu = system.cpus.try_acquire()
    boost(kernel)
    assert not system.cpus.gives_way(env.now)  # that wakes kswapd, behind whom nobody is by enough
    assert kcompactd.background.runs == 0
    system.cpus.release(cpu)
    env.run(until=env.now + 1)
    assert system.cpus.running == 1
    env.run(until=200 * MS)
    control = kcompactd.background.compaction.control[0]
    assert system.cpus.running == 0
    assert control["pages_moved"] > 0
    assert kcompactd.background.runs == 1
    assert int(kernel.store.zones["boost"][0]) == 0


def test_it_preempts_and_shares_by_slices() -> None:
    """A task that has run for long gives way at once, and gets the CPU back at a tick while kcompactd is at work."""
    env, kernel, system, kcompactd = machine()
    turns: list[tuple[int, int]] = []

    def task() -> Any:
        cpu = system.cpus.try_acquire()
        yield env.timeout(10 * MS)
        boost(kernel)
        began_ns = env.now
        while env.now < 100 * MS:
            yield env.timeout(MS // 4)
            if system.cpus.gives_way(began_ns):
                turns.append((began_ns, env.now))
                system.cpus.release(cpu, sleeps=False)
                cpu = yield system.cpus.acquire()
                began_ns = env.now
        system.cpus.release(cpu)

    env.process(task())
    env.run(until=150 * MS)
    assert turns[0][1] == 10 * MS + MS // 4
    assert kcompactd.background.runs == 1
    for began_ns, ended_ns in turns[1:]:
        assert ended_ns - began_ns >= 3 * MS
    assert all(began_ns % TICK_NS < 64_000 for began_ns, _ in turns[1:-1])


@pytest.mark.parametrize("proactive", [True, False])
def test_unasked_it_works_at_its_next_look(proactive: bool) -> None:
    """Not before, and not at all when that is switched off."""
    env, _, _, kcompactd = machine(proactive=proactive, check_ns=20 * MS)
    env.run(until=20 * MS - 1)
    assert kcompactd.background.runs == 0
    env.run(until=30 * MS)
    assert kcompactd.background.runs == int(proactive)


def test_a_task_that_goes_on_is_preempted_by_kswapd_after_a_tick_at_the_latest() -> None:
    """kswapd is not behind by enough when it is woken; ticks look after it though nothing else waits for one."""
    env, kernel, system, kcompactd = machine()

    def task() -> Any:
        cpu = system.cpus.try_acquire()
        yield env.timeout(MS // 2)
        boost(kernel)
        while env.now < 20 * MS:
            if system.cpus.gives_way(0):
                system.cpus.release(cpu, sleeps=False)
                cpu = yield system.cpus.acquire()
            yield env.timeout(MS // 4)
        system.cpus.release(cpu)

    env.process(task())
    env.run(until=TICK_NS - 1)
    assert kernel.store.zones["boost"].any()
    env.run(until=TICK_NS + MS)
    assert not kernel.store.zones["boost"].any()
    assert kcompactd.background.runs == 1


@pytest.mark.parametrize("cpus_type", [FairCpu, WatchedCpus])
def test_a_look_of_its_own_while_it_waits_for_a_cpu_asks_for_no_second_one(cpus_type: type[Cpus]) -> None:
    """kswapd has woken it when its time has come, but a task keeps the CPU."""
    env, kernel, system, kcompactd = machine(proactive=True, check_ns=2 * MS, cpus_type=cpus_type)
    cpu = system.cpus.try_acquire(who="task")
    env.run(until=MS)
    boost(kernel)
    system.cpus.gives_way(env.now)
    if system.fair is not None:
        system.fair.settle()
    env.run(until=3 * MS)
    system.cpus.release(cpu)
    env.run(until=200 * MS)
    assert kcompactd.background.runs >= 1
    assert system.cpus.running == 0
