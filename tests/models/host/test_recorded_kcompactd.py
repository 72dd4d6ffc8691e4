"""kswapd and kcompactd in given turns: when they begin, when they end, and what is passed over."""

from __future__ import annotations

from models.host.recorded_kcompactd import RecordedKcompactd
from models.host.recorded_kernel import recorded_kernel
from models.host.recorded_schedule import Schedule, Turn
from models.kernel.compaction.background import Background
from models.kernel.compaction.control import FOR_EVER
from models.kernel.kernel import Kernel
from models.kernel.pages.allocator import ALLOC_DEFAULT, alloc_from_zone
from models.kernel.pages.layout import MOVABLE
from models.workloads.fair_cpus import FairCpu
from models.workloads.system import System
from simcore.environment import Environment
from tests.models.host.made_streams import machine_of
from tests.models.kernel.compaction.test_background import boost, use_up_blocks

MS = 1_000_000
TASK = "task"


class Machine:
    """Memory in pieces, and a task that has the CPU."""

    def __init__(self, *turns: Turn) -> None:
        self.kernel: Kernel = recorded_kernel(machine_of("b_page_1g_steal"))
        use_up_blocks(self.kernel)
        self.env = Environment()
        system = System(self.env, self.kernel, 1, batching=False, cpus_type=FairCpu)
        assert system.fair is not None
        self.cpu: FairCpu = system.fair
        background = Background(self.kernel.state, self.kernel.costs, proactive=False)
        self.kcompactd = RecordedKcompactd(system, background, Schedule(turns))
        self.env.run(until=MS)
        assert self.cpu.try_acquire(who=TASK) == 0

    def request(self, count: int) -> None:
        """The task takes pages."""
        for _ in range(count):
            assert alloc_from_zone(self.kernel.store.handle, 0, 0, 0, MOVABLE, ALLOC_DEFAULT) > 0

    def asked(self) -> bool:
        """The task asks whether it is to give way, and does."""
        self.env.run(until=self.env.now + 1)
        if not self.cpu.gives_way(0):
            return False
        self.cpu.release(0, sleeps=False)
        back = self.cpu.acquire(TASK)
        self.env.run(until=back)
        return True

    @property
    def done(self) -> int:
        """What kcompactd has done so far."""
        return self.kcompactd.background.work_done


def test_turns_begin_at_their_places_and_end_by_what_was_done() -> None:
    """Not before as many requests, at the first question after them; the run goes on in the next turn."""
    machine = Machine(Turn(0, 3, None), Turn(0, 3, 40), Turn(0, 5, 25), Turn(9, 0, 40))
    boost(machine.kernel)
    before = machine.kcompactd._base
    machine.request(2)
    assert not machine.asked()
    machine.request(3 - (int(machine.kernel.store.config[0]["requests"]) - before))
    assert machine.asked()
    assert 40 <= machine.done < 80
    first = machine.done
    assert not machine.asked()
    machine.request(2)
    assert machine.asked()
    assert first + 25 <= machine.done < first + 60
    assert machine.kcompactd.background.runs == 1
    assert machine.kcompactd.passed_over == 0


def test_a_last_turn_goes_on_to_the_end_of_the_run() -> None:
    """However long that takes."""
    machine = Machine(Turn(0, 0, None), Turn(0, 0, FOR_EVER))
    boost(machine.kernel)
    assert machine.asked()
    assert not machine.kcompactd.background.compaction.control[0]["running"]
    assert machine.done > 100


def test_kcompactd_has_no_turn_when_nobody_has_asked_for_it() -> None:
    """The turn is passed over, and kswapd waits for the boost that is still to come."""
    machine = Machine(Turn(0, 0, 40), Turn(0, 1, None), Turn(0, 1, 40))
    assert not machine.asked()
    assert machine.kcompactd.passed_over == 1
    machine.request(1)
    assert not machine.asked()
    boost(machine.kernel)
    assert machine.asked()
    assert machine.done >= 40


def test_a_boost_that_never_comes_is_passed_over_at_kswapds_next_turn() -> None:
    """Else all later ones would wait for it."""
    machine = Machine(Turn(0, 0, None), Turn(0, 0, 40), Turn(0, 2, None), Turn(0, 2, 40))
    machine.request(2)
    assert not machine.asked()
    assert machine.kcompactd.passed_over == 2
    boost(machine.kernel)
    assert machine.asked()


def test_when_no_turn_is_left_a_run_goes_on_to_its_end() -> None:
    """Else the pages that it holds would be lost."""
    machine = Machine(Turn(0, 0, None), Turn(0, 0, 40))
    boost(machine.kernel)
    assert machine.asked()
    assert not machine.kcompactd.background.compaction.control[0]["running"]
    assert machine.done > 100


def test_a_place_is_told_by_what_was_removed_and_requested_since() -> None:
    """Requests that a removal makes itself count after it."""
    machine = Machine(Turn(0, 0, None), Turn(2, 1, FOR_EVER))
    boost(machine.kernel)
    counts, settings = machine.kernel.state.counts[0], machine.kernel.store.config[0]
    machine.request(5)
    assert not machine.asked()
    counts["removed_at"] = settings["requests"]
    counts["removed_pages"] = 2
    assert not machine.asked()
    machine.request(1)
    assert machine.asked()
