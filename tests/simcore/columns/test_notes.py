"""Changes in compiled code: one by one, in chunks and by equal steps, they leave the same store."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from simcore.columns import Columns, Store, new_store, note, note_steps
from tests.simcore.columns.change_sequences import Change, changes, contents, filled


@njit
def deliver(rows: Any, book: Any, times: Any, table: Any) -> None:
    """A model's compiled code: keeps its counters in one array and notes each change."""
    values = np.zeros(table.shape[1], dtype=np.int64)
    for i in range(times.shape[0]):
        for c in range(table.shape[1]):
            values[c] = table[i, c]
        note(rows, book, times[i], values)


@settings(max_examples=100, deadline=None)
@given(changes(), st.integers(2, 9))
def test_compiled_notes_equal_python_chunks(rows: list[Change], cap: int) -> None:
    chunked = filled(rows, cap, [3])
    compiled: Store = new_store(2, cap)
    if rows:
        times = np.array([time for time, _ in rows], dtype=np.int64)
        deliver(*compiled, times, np.array([values for _, values in rows], dtype=np.int64))
    count = int(compiled.book[0, 0])
    assert np.array_equal(compiled.rows[:count], chunked.store.rows[: len(chunked)])
    assert np.array_equal(compiled.book, chunked.store.book)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5000), st.integers(0, 900), st.integers(1, 200),
            st.tuples(*[st.integers(-(2**40), 2**40)] * 3),
            st.tuples(*[st.integers(-(2**20), 2**20)] * 3).filter(any),
        ),
        min_size=1, max_size=12,
    ),
    st.integers(2, 60),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_equal_steps_are_noted_together(
    runs: list[tuple[int, int, int, tuple[int, ...], tuple[int, ...]]], cap: int
) -> None:
    """Many changes by equal steps leave the rows, extremes and integrals that they leave one by one."""
    together, alone = Columns(["a", "b", "c"], max_rows=cap), Columns(["a", "b", "c"], max_rows=cap)
    now = 0
    for gap, step_ns, count, values, steps in runs:
        now += gap
        first = np.array(values, dtype=np.int64)
        step = np.array(steps, dtype=np.int64)
        note_steps(*together.store, now, step_ns, count, first, step)
        for i in range(count):
            note(*alone.store, now + i * step_ns, first + i * step)
        now += (count - 1) * step_ns
    assert contents(together) == contents(alone)
    assert together.shift == alone.shift
    for column in range(3):
        assert together.integral(column, now + 7) == alone.integral(column, now + 7)
        assert together.minimum(column) == alone.minimum(column)
        assert together.maximum(column) == alone.maximum(column)
        assert together.final(column) == alone.final(column)
