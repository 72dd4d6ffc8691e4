"""Counters count from zero, and only up."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.environment import Environment
from simcore.recorder.buffered import CHUNK
from tests.simcore.recorder.recorded import column, wait


def test_a_counter_starts_at_zero_and_only_grows() -> None:
    env = Environment()
    counter = env.recorder.counter("n")
    wait(env, 3)
    counter.add()
    counter.add(4)
    assert column(env, "n") == ([0, 3], [0, 5])
    with pytest.raises(ValueError, match="'n' cannot go back by 2"):
        counter.add(-2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.one_of(st.just(1), st.integers(0, 10**15)), st.booleans()), max_size=60))
def test_what_was_counted_does_not_depend_on_chunks(steps: list[tuple[int, bool]]) -> None:
    env = Environment()
    counter = env.recorder.counter("n")
    for amount, flush in steps:
        wait(env, 2)
        counter.add(amount)
        if flush:
            counter.flush()
    totals = list(accumulate((amount for amount, _ in steps), initial=0))
    assert counter.value == totals[-1]
    # Each total once, at the time when it was reached: adding nothing is no change.
    reached = {total: 2 * number for number, total in reversed(list(enumerate(totals)))}
    assert column(env, "n") == (sorted(reached.values()), sorted(reached))


def test_a_chunk_is_handed_over_without_losing_a_happening() -> None:
    env = Environment()
    counter = env.recorder.counter("n")
    count = 3 * CHUNK + 7
    for number in range(count):
        env._now = number + 1
        counter.add()
    assert column(env, "n") == (list(range(count + 1)), list(range(count + 1)))


def test_a_count_beyond_64_bits_is_refused_and_shown() -> None:
    counter = Environment().recorder.counter("n")
    counter.add(2**63 - 1)
    counter.add()
    with pytest.raises(TypeError, match=f"'n' holds 64-bit integers, not {2**63}"):
        counter.flush()
