"""Counters, levels, tallies and vectors: what they keep of a run, whatever the chunks they keep it in."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore import recorder
from simcore.columns import note
from simcore.environment import Environment


def wait(env: Environment, delay_ns: int) -> None:
    """Let simulated time pass."""
    env.run(until=env.timeout(delay_ns))


def column(env: Environment, name: str) -> tuple[list[int], list[Any]]:
    found = next(column for column in env.recorder.columns() if column.name == name)
    return found.columns.times.tolist(), found.columns.last(found.position).tolist()


def test_a_level_holds_its_value_until_it_changes() -> None:
    env = Environment()
    level = env.recorder.level("x", initial=2)
    wait(env, 10)
    level.set(5)
    wait(env, 5)
    level.add(-4)
    level.set(1)  # no change
    wait(env, 5)
    assert column(env, "x") == ([0, 10, 15], [2, 5, 1])
    assert env.recorder.statistics(env.now)["x"] == {
        "final": 1,
        "min": 1,
        "max": 5,
        "mean": (2 * 10 + 5 * 5 + 1 * 5) / 20,
        "integral": 50,
    }


def test_a_counter_starts_at_zero_and_only_grows() -> None:
    env = Environment()
    counter = env.recorder.counter("n")
    wait(env, 3)
    counter.add()
    counter.add(4)
    assert column(env, "n") == ([0, 3], [0, 5])
    with pytest.raises(ValueError, match="'n' cannot go back by 2"):
        counter.add(-2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(10**9), 10**9), max_size=200), st.integers(1, 9))
def test_a_tally_does_not_depend_on_chunks(values: list[int], chunk: int) -> None:
    whole = Environment().recorder.tally("t")
    parts = Environment().recorder.tally("t")
    for number, value in enumerate(values):
        whole.observe(value)
        parts.observe(value)
        if number % chunk == 0:
            parts.flush()
    assert whole.statistics() == parts.statistics()
    found = whole.statistics()
    assert found["count"] == len(values)
    if values:
        assert found["mean"] == pytest.approx(statistics.fmean(values), abs=1e-3)
        assert (found["min"], found["max"]) == (min(values), max(values))
    if len(values) > 1:
        assert found["std"] == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-3)


def test_levels_flush_at_their_chunk_without_losing_a_change() -> None:
    env = Environment()
    level = env.recorder.level("x", initial=-1)
    count = 3 * recorder._CHUNK + 7
    for value in range(count):
        level.set_at(value, value)
    times, values = column(env, "x")
    assert times == list(range(count))
    assert values == list(range(count))


def test_a_vector_is_written_by_python_and_compiled_code_alike() -> None:
    env = Environment()
    vector = env.recorder.vector(["a", "b"])
    vector.values[:] = (1, 2)
    vector.note()
    wait(env, 5)
    vector.values[1] = 7
    note(*vector.store, env.now, vector.values)
    vector.note()  # nothing changed since
    vector.values[0] = 9
    vector.note_at(8)
    assert column(env, "a") == ([0, 5, 8], [1, 1, 9])
    assert column(env, "b") == ([0, 5, 8], [2, 7, 7])


def test_finish_records_what_a_vector_was_left_with() -> None:
    env = Environment()
    vector = env.recorder.vector(["a"])
    vector.note()
    wait(env, 4)
    vector.values[0] = 3
    env.recorder.finish()
    assert env.recorder.statistics(env.now)["a"]["final"] == 3


def test_a_level_of_floats_keeps_them_and_one_of_ints_refuses_them() -> None:
    env = Environment()
    env.recorder.level("share", initial=0.0).set(0.25)
    assert column(env, "share") == ([0], [0.25])
    level = env.recorder.level("count")
    level.set(0.5)
    with pytest.raises(TypeError, match=r"'count' holds 64-bit integers, not 0\.5"):
        level.flush()


def test_a_value_beyond_64_bits_is_refused_and_shown() -> None:
    level = Environment().recorder.level("big")
    level.set(2**63)
    with pytest.raises(TypeError, match=str(2**63)):
        level.flush()


@pytest.mark.parametrize("name", ["x", "time_ns", "x.min", "y.max", ""])
def test_names_that_are_taken_are_refused(name: str) -> None:
    env = Environment()
    env.recorder.counter("x")
    with pytest.raises(ValueError, match="series"):
        env.recorder.vector(["z", name])


def test_rows_are_capped_and_the_integral_is_not() -> None:
    env = Environment(max_points=16)
    level = env.recorder.level("x")
    for time in range(1000):
        level.set_at(time, time % 10)
    assert len(column(env, "x")[0]) <= 16
    assert env.recorder.statistics(1000)["x"]["integral"] == sum(time % 10 for time in range(1000))
