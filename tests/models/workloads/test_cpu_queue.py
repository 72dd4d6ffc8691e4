"""The queue for CPUs against a plain one of deques and sets."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from models.workloads.clocks import Clocks
from models.workloads.cpu_queue import drop_row, release, set_up, take_idle, take_row, wait
from models.workloads.seats import NOBODY


@settings(deadline=None)
@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.sampled_from(("want", "release")), st.integers(-1, 4)), max_size=80),
)
def test_first_come_first_served(cpus: int, steps: list[tuple[str, int]]) -> None:
    """Whoever waits longest gets the next CPU; the CPU idle longest is taken, but for one's last."""
    clocks = Clocks(cpus)
    set_up(clocks.handle)
    idle, waiting = list(range(cpus)), deque[int]()
    for what, number in steps:
        if what == "want":
            last = number if number < cpus else NOBODY
            expected = (last if last in idle else idle[0]) if idle else NOBODY
            assert take_idle(clocks.handle, last) == expected
            if expected != NOBODY:
                idle.remove(expected)
            else:
                row = take_row(clocks.handle)
                assert row not in waiting
                wait(clocks.handle, row)
                waiting.append(row)
        else:
            busy = sorted(set(range(cpus)) - set(idle))
            if not busy:
                continue
            cpu = busy[number % len(busy)]
            expected = waiting.popleft() if waiting else NOBODY
            assert release(clocks.handle, cpu) == expected
            if expected == NOBODY:
                idle.append(cpu)
            else:
                drop_row(clocks.handle, expected)
        assert int(clocks.queue[0]["idle"]) == len(idle)
        assert (int(clocks.queue[0]["first"]) == NOBODY) == (not waiting)
