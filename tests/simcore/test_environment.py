"""The clock: whole nanoseconds only, a known next event, and an end that is where it was asked for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy

from simcore.environment import NEVER_NS, Environment


def ticking(env: Environment, gap_ns: int, times: list[int]) -> Generator[simpy.Event, Any, None]:
    while True:
        yield env.timeout(gap_ns)
        times.append(env.now)


@pytest.mark.parametrize("delay", [1.0, 0.5, "3", None, True, np.float64(2)])
def test_a_delay_that_is_not_whole_is_refused_and_shown(delay: Any) -> None:
    with pytest.raises(TypeError, match="whole number of nanoseconds"):
        Environment().timeout(delay)


def test_a_negative_delay_is_refused_and_shown() -> None:
    with pytest.raises(ValueError, match="-5 ns"):
        Environment().timeout(-5)


def test_numpy_integers_are_integers() -> None:
    env = Environment()
    env.timeout(np.int64(7))  # type: ignore[arg-type]
    assert env.next_event_ns == 7
    env.advance(10)
    assert env.now == 7
    assert type(env.now) is int


def test_timeout_carries_its_value_as_simpy_does() -> None:
    env = Environment()
    assert env.run(until=env.timeout(3, "done")) == "done"


def test_next_event_is_the_soonest_or_the_end() -> None:
    """Batched work may go up to this moment and no further."""
    env = Environment()
    assert env.next_event_ns == NEVER_NS
    env.timeout(50)
    env.timeout(20)
    assert env.next_event_ns == 20
    env.until_ns = 10
    assert env.next_event_ns == 10


def test_advance_leaves_events_at_the_end_undone_as_simpy_does() -> None:
    env, reference = Environment(), simpy.Environment()
    times: list[int] = []
    env.process(ticking(env, 10, times))
    env.until_ns = 40
    while env.advance(1):
        pass
    seen: list[float] = []

    def tick() -> Generator[simpy.Event, Any, None]:
        while True:
            yield reference.timeout(10)
            seen.append(reference.now)

    reference.process(tick())
    reference.run(until=40)
    assert times == seen == [10, 20, 30]
    assert env.now == 40


def test_without_events_the_clock_stays_at_the_last_one() -> None:
    env = Environment()
    env.timeout(7)
    env.until_ns = 1000
    assert not env.advance(100)
    assert env.now == 7


def test_slices_do_not_change_what_happens() -> None:
    results = []
    for size in (1, 3, 1000):
        env = Environment()
        times: list[int] = []
        env.process(ticking(env, 3, times))
        env.process(ticking(env, 5, times))
        env.until_ns = 100
        while env.advance(size):
            pass
        results.append((times, env.events))
    assert results[0] == results[1] == results[2]


def test_stop_at_ends_the_run_at_that_event() -> None:
    env = Environment()
    env.process(ticking(env, 10, []))
    env.stop_at(env.timeout(25))
    assert not env.advance(1000)
    assert env.now == 25


def test_a_failed_process_is_not_swallowed() -> None:
    env = Environment()

    def broken() -> Generator[simpy.Event, Any, None]:
        yield env.timeout(1)
        raise KeyError("broken")

    env.process(broken())
    with pytest.raises(KeyError, match="broken"):
        env.advance(10)


def test_events_counts_what_was_scheduled_and_reading_it_does_not() -> None:
    env = Environment()
    for _ in range(3):
        env.timeout(1)
        env.events  # noqa: B018 - a read must leave no trace
    assert env.events == 3
    assert env.events == 3
