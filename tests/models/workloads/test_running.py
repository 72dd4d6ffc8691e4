"""Operations in progress end in the order in which one event for each would find them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.workloads.clocks import Clocks
from models.workloads.running import cancel, next_end, pop, push

CPUS = 8


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "end", "cancel"]), st.integers(0, CPUS - 1),
            st.integers(0, 50), st.integers(0, 20),
        ),
        max_size=80,
    )
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_every_interrupt_puts_off_all_others(steps: list[tuple[str, int, int, int]]) -> None:
    """The heap of ideal ends tells the same ends as a list in which every interrupt moves every entry."""
    clocks = Clocks(CPUS)
    ends: dict[int, tuple[int, int]] = {}
    now = number = 0
    for what, cpu, duration_ns, interrupt_ns in steps:
        if what == "begin" and cpu not in ends:
            number += 1
            for other, (end, began) in ends.items():
                ends[other] = (end + interrupt_ns, began)
            clocks.clock["interrupted_ns"] += interrupt_ns
            ends[cpu] = (now + duration_ns, number)
            push(clocks.handle, cpu, now + duration_ns)
        elif what == "end" and ends:
            first = min(ends, key=lambda each: ends[each])
            assert next_end(clocks.handle) == ends[first][0]
            now = max(now, ends.pop(first)[0])
            pop(clocks.handle)
        elif what == "cancel":
            assert cancel(clocks.handle, cpu) == (cpu in ends)
            ends.pop(cpu, None)
        assert int(clocks.clock[0]["in_progress"]) == len(ends)
        if ends:
            assert next_end(clocks.handle) == min(ends.values())[0]


def test_of_two_that_end_together_the_older_ends_first() -> None:
    """Ties do not depend on how the heap lies in memory."""
    clocks = Clocks(CPUS)
    order = np.random.default_rng(1).permutation(CPUS)
    for cpu in order:
        push(clocks.handle, int(cpu), 100)
    ended = []
    for _ in range(CPUS):
        ended.append(int(clocks.running[0]["cpu"]))
        pop(clocks.handle)
    assert ended == order.tolist()
