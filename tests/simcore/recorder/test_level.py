"""Levels hold their value until it changes, whatever the chunks they are kept in."""

from __future__ import annotations

import pytest

from simcore.environment import Environment
from simcore.recorder.buffered import CHUNK
from tests.simcore.recorder.recorded import column, wait


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


def test_levels_flush_at_their_chunk_without_losing_a_change() -> None:
    env = Environment()
    level = env.recorder.level("x", initial=-1)
    count = 3 * CHUNK + 7
    for value in range(count):
        level.set_at(value, value)
    times, values = column(env, "x")
    assert times == list(range(count))
    assert values == list(range(count))


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


def test_set_and_add_share_one_sequence_of_changes() -> None:
    """Each of the two counts for itself when a chunk is full."""
    env = Environment()
    level = env.recorder.level("x")
    expected = [0]
    for number in range(3 * CHUNK):
        env._now = number + 1
        if number % 3:
            level.add(2)
            expected.append(expected[-1] + 2)
        else:
            level.set(-number)
            expected.append(-number)
        assert level.value == expected[-1]
        assert len(level._times) < 2 * CHUNK
    times, values = column(env, "x")
    changed = [i for i, value in enumerate(expected) if i == 0 or value != expected[i - 1]]
    assert times == changed
    assert values == [expected[i] for i in changed]
