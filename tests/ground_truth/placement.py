"""The recorded fork workload with every task on the CPU that it had there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.host.comparison import Comparison
from models.host.recording import AllocatorRecording
from models.host.simulate import simulate
from models.host.tolerance import compare_simulation
from models.kernel.entities import Task
from models.workloads.on_cpu import OnCpu
from models.workloads.waits import AT_ONCE, Wait
from tests.ground_truth.recorded import read

_STACK_PAGES = 4
_LOOK_AGAIN_NS = 100


class Placement:
    """CPUs as the events of a recording tell them.

    Attributes:
        children: CPU on which each child touched its secret page.
        parents: CPU on which the parent was when it forked each.
    """

    def __init__(self, recording: AllocatorRecording) -> None:
        events = recording.events
        self.children = events.cpu[events.op == ord("m")].tolist()
        self.parents = events.cpu[events.op == ord("K")][::_STACK_PAGES].tolist()
        self._parent: Task | None = None

    def wanted(self, thread: OnCpu) -> int:
        """The CPU that a thread that wants one is to get; -1: any."""
        if self._parent is None:
            self._parent = thread.task
        forked = self._parent.forks
        if thread.task is self._parent:
            return self.parents[forked] if forked < len(self.parents) else -1
        return self.children[forked - 1] if thread._last < 0 else -1

    def run(self, thread: OnCpu) -> Wait:
        """Take the place of `OnCpu.run`."""
        if thread.cpu >= 0:
            return
        system, cpu = thread.system, self.wanted(thread)
        while cpu >= 0 and not system.clocks.seats[cpu]["idle"]:
            yield system.env.timeout(_LOOK_AGAIN_NS)
        thread.cpu = system.cpus.try_acquire(thread._last if cpu < 0 else cpu)
        yield from AT_ONCE if thread.cpu >= 0 else thread._wait_for_cpu()
        thread._got_cpu(system.env.now)


def compare_as_placed(name: str, patch: pytest.MonkeyPatch) -> Comparison:
    """Compare a simulation in which the tasks of a recording run where they ran; CPUs take no turns then."""
    recording = read("allocator", name)
    assert isinstance(recording, AllocatorRecording)
    placement = Placement(recording)

    def run(thread: OnCpu) -> Wait:
        return placement.run(thread)

    patch.setattr(OnCpu, "run", run)
    source = recording.source.model_copy(update={"emulator": "CPUs side by side"})
    return compare_simulation(recording, *simulate(replace(recording, source=source)))
