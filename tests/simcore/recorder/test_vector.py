"""Vectors: written by Python and by compiled code."""

from __future__ import annotations

import pytest

from simcore.columns import note
from simcore.environment import Environment
from simcore.recorder.buffered import CHUNK
from tests.simcore.recorder.recorded import column, wait


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


def test_notes_do_not_depend_on_when_they_are_handed_over() -> None:
    """Collected in chunks, flushed in between, or written at once because compiled code may write too."""
    seen = []
    for stop in (None, 5, CHUNK - 1, CHUNK, CHUNK + 1):
        for share in (False, True):
            env = Environment()
            vector = env.recorder.vector(["a", "b"])
            for number in range(2 * CHUNK + 3):
                if number == stop:
                    _ = vector.store if share else vector.flush()
                env._now = 2 * number
                vector.values[:] = number // 3, -number
                vector.note()
            seen.append((column(env, "a"), column(env, "b"), env.recorder.statistics(env.now)))
    assert seen[0][1] == (list(range(0, 4 * CHUNK + 6, 2)), [-number for number in range(2 * CHUNK + 3)])
    assert all(each == seen[0] for each in seen)


def test_a_note_before_the_last_is_refused() -> None:
    env = Environment()
    vector = env.recorder.vector(["a"])
    vector.note_at(5)
    vector.values[0] = 1
    with pytest.raises(ValueError, match="before"):
        vector.note_at(4)
