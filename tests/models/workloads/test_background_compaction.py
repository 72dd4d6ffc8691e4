"""kcompactd in time: when it looks, what it preempts, how it shares a CPU."""

from __future__ import annotations

from typing import Any

import pytest

from models.host.recorded_kernel import recorded_kernel
from models.host.recording import AllocatorRecording, read_recording
from models.kernel.compaction.background import Background
from models.kernel.kernel import Kernel
from models.workloads.background_compaction import TICK_NS, Kcompactd, WatchedCpus, next_check_ns, timer_ticks
from models.workloads.system import System
from simcore.environment import Environment
from tests.models.host.edited_recordings import ALLOCATOR
from tests.models.kernel.compaction.test_background import boost, use_up_blocks

MS = 1_000_000


def machine(*, proactive: bool = False, check_ns: int = 0) -> tuple[Environment, Kernel, System, Kcompactd]:
    """A machine with memory in pieces and nobody at work."""
    recording = read_recording(ALLOCATOR / "b_page_1g_steal.json.gz")
    assert isinstance(recording, AllocatorRecording)
    kernel = recorded_kernel(recording)
    use_up_blocks(kernel)
    env = Environment()
    system = System(env, kernel, 1, cpus_type=WatchedCpus)
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
    """It compacts as soon as somebody looks, and the CPU is its own for as long as that takes."""
    env, kernel, system, kcompactd = machine()
    env.run(until=MS)
    assert system.cpus.running == 0
    boost(kernel)
    assert not system.cpus.gives_way(env.now)  # asking is what wakes it; there is an idle CPU
    env.run(until=env.now + 1)
    assert system.cpus.running == 1
    env.run(until=200 * MS)
    control = kcompactd.background.compaction.control[0]
    assert system.cpus.running == 0
    assert control["pages_moved"] > 0
    assert kcompactd.background.runs == 1
    assert int(kernel.store.zones["boost"][0]) == 0


def test_it_preempts_and_shares_by_slices() -> None:
    """A task that runs gives way at once, and gets the CPU back at a tick while kcompactd is at work."""
    env, kernel, system, kcompactd = machine()
    turns: list[tuple[int, int]] = []

    def task() -> Any:
        cpu = system.cpus.try_acquire()
        boost(kernel)
        began_ns = env.now
        while env.now < 100 * MS:
            yield env.timeout(MS // 4)
            if system.cpus.gives_way(began_ns):
                turns.append((began_ns, env.now))
                system.cpus.release(cpu)
                cpu = yield system.cpus.acquire()
                began_ns = env.now
        system.cpus.release(cpu)

    env.process(task())
    env.run(until=150 * MS)
    assert turns[0][1] == MS // 4
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
