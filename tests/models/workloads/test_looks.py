"""Pages looked at as soon as they are there: many in one event are the same as each fault and each look in its own."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy

from models.kernel.limits import UNLIMITED, User
from models.workloads import looks
from models.workloads.looks import touch_and_look
from models.workloads.system import System
from models.workloads.thread import Thread
from models.workloads.waits import Killed
from models.workloads.watched_cpus import WatchedCpus
from simcore.environment import Environment
from tests.models.kernel.machines import boot

Life = Generator[simpy.Event, Any, Any]

POLICIES: dict[str, dict[str, Any]] = {
    "page": {"policy": "page"},
    "pool": {"policy": "pmd_pool"},
    "pages of a pool": {"policy": "pmd_pool", "options": {"removal": "page"}},
    "cache": {"policy": "unmapped_cache"},
}
LENGTHS = (1, 40, 700, 3)


class Machine:
    """A machine of which one task fills files, page by page, while a timer rings and a watermark is boosted."""

    def __init__(self, secretmem: dict[str, Any], cpus: int, *, memory: str = "128MiB", batching: bool = True) -> None:
        kernel = boot({"memory": memory, "cpus": cpus}, {"secretmem": {**secretmem, "accounting": "per_user"}})
        self.user = User("user", memlock_pages=UNLIMITED)
        self.system = System(Environment(), kernel, cpus, batching=batching, cpus_type=WatchedCpus)
        self.looked_ns: list[int] = []
        self.ended_ns: list[int] = []
        self.death = ""
        self.system.cpus.look = self.look  # type: ignore[attr-defined]

    def look(self) -> None:
        """As kcompactd does: something happens only where a watermark has been boosted."""
        boosted = self.system.kernel.store.zones["boosted"]
        if boosted.any():
            boosted[:] = 0
            self.looked_ns.append(self.system.env.now)

    def disturb(self) -> Life:
        for number in range(300):
            yield self.system.env.timeout(7_901)
            if number % 5 == 0:
                self.system.kernel.store.zones["boosted"][0] = 1

    def fill(self, thread: Thread, lengths: tuple[int, ...]) -> Life:
        yield from thread.run()
        for pages in lengths:
            file = yield from thread.open_secret(min(pages, 900))
            mapping = yield from thread.map_secret(file, pages)
            times = np.arange(pages, dtype=np.int64) % 50 + 900
            try:
                yield from touch_and_look(thread, mapping, times[: pages // 2])
                yield from touch_and_look(thread, mapping, times[pages // 2 :])
            except Killed as death:
                self.death = death.signal
            self.ended_ns += [self.system.env.now, file.present]
            if self.death:
                return

    def run(self, lengths: tuple[int, ...]) -> tuple[Any, ...]:
        """Let the task live; returns all that can be told of it."""
        system, env = self.system, self.system.env
        thread = Thread(system, system.kernel.first_task(self.user))
        env.process(self.disturb())
        life = env.process(self.fill(thread, lengths))
        thread.task.process = life
        while env.advance(1000):
            pass
        names = ("secret_pages", "secret_faults", "flush_ns")
        counts = {name: int(system.kernel.state.counts[0][name]) for name in names}
        told = (system.secret_faults, system.secret_fault_ns, self.user.secret_pages, system.kernel.spent_ns)
        return tuple(self.ended_ns), tuple(self.looked_ns), self.death, counts, told, system.kernel.state_digest()


def both_ways(monkeypatch: pytest.MonkeyPatch, *machine: Any, lengths: tuple[int, ...], **more: Any) -> tuple[Any, ...]:
    together = Machine(*machine, **more).run(lengths)
    monkeypatch.setattr(looks, "_room_pages", lambda *_: 0)
    assert Machine(*machine, **more).run(lengths) == together
    return together


@pytest.mark.parametrize("batching", [True, False])
@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("policy", POLICIES)
def test_together_or_one_by_one(policy: str, cpus: int, batching: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times, frames, counts, and when the kernel's own threads were woken."""
    ended, looked, death, *_ = both_ways(monkeypatch, POLICIES[policy], cpus, lengths=LENGTHS, batching=batching)
    assert ended[1::2] == LENGTHS
    assert looked
    assert not death


@pytest.mark.parametrize("policy", POLICIES)
def test_beyond_the_end_of_a_file(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGBUS with the pages that there were, at the same time."""
    ended, _, death, *_ = both_ways(monkeypatch, POLICIES[policy], 1, lengths=(1_000,))
    assert (ended[1], death) == (900, "SIGBUS")


@pytest.mark.parametrize("policy", POLICIES)
def test_without_memory(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last fault gets nothing, and takes its time all the same; for want of a chunk it is retried for ever."""
    _, _, death, counts, *_ = both_ways(monkeypatch, POLICIES[policy], 1, lengths=(900,) * 20, memory="48MiB")
    assert 900 < counts["secret_faults"] < 20 * 900
    assert (death == "SIGKILL") == (policy in ("page", "cache"))


def test_what_can_be_told_in_one_event_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked page by page."""
    asked = 0
    touch = Thread.touch_secret

    def counted(*arguments: Any) -> Life:
        nonlocal asked
        asked += 1
        return touch(*arguments)

    monkeypatch.setattr(Thread, "touch_secret", counted)
    Machine(POLICIES["page"], 1).run((500,))
    assert asked == 0
