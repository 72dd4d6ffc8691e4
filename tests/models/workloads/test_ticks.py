"""Ticks: periodic, and elsewhere as long as a boot's timer lasts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.workloads.ticks import Ticks

TIMES = st.integers(-(10**10), 10**10)


@given(now_ns=st.integers(0, 10**10), first_ns=TIMES, period_ns=st.integers(1, 10**7))
def test_ticks_are_a_period_apart(now_ns: int, first_ns: int, period_ns: int) -> None:
    """The next one is later than now, by a period at the most, and a number of periods after the first."""
    tick_ns = Ticks(period_ns, first_ns).after(now_ns)
    assert 0 < tick_ns - now_ns <= period_ns
    assert (tick_ns - first_ns) % period_ns == 0


def test_a_boot_ticks_elsewhere_for_a_while() -> None:
    """Up to its last tick; then the timer is set anew, and none comes twice."""
    ticks, now_ns, seen = Ticks(4, 0, early_first_ns=1, early_until_ns=10), -1, []
    while now_ns < 20:
        now_ns = ticks.after(now_ns)
        seen.append(now_ns)
    assert seen == [1, 5, 9, 12, 16, 20]


@given(now_ns=TIMES, clock_ns=TIMES)
def test_they_are_the_same_by_another_clock(now_ns: int, clock_ns: int) -> None:
    """Counting from a time moves all of them by it."""
    ticks = Ticks(4_000_000, 3, 1_700_000, 900_000_000)
    assert ticks.since(clock_ns).after(now_ns - clock_ns) == ticks.after(now_ns) - clock_ns
