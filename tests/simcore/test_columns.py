"""The column store: decimation and integrals depend on the changes, never on how they were delivered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from simcore.columns import Columns, Store, new_store, note, note_steps

Change = tuple[int, tuple[int, ...]]
INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def changes(draw: st.DrawFn, columns: int = 2) -> list[Change]:
    """Times that do not decrease, with gaps from 0 to years, and values from tiny to 64 bits."""
    gaps = draw(
        st.lists(st.one_of(st.integers(0, 3), st.integers(0, 10**4), st.integers(0, 2**55)), max_size=60)
    )
    value = st.one_of(st.integers(-3, 3), INT64)
    rows: list[Change] = []
    now = 0
    for gap in gaps:
        now += gap
        rows.append((now, tuple(draw(st.tuples(*[value] * columns)))))
    return rows


def effective(rows: Sequence[Change]) -> list[Change]:
    """The changes that change anything."""
    kept: list[Change] = []
    for row in rows:
        if not kept or row[1] != kept[-1][1]:
            kept.append(row)
    return kept


def expected_rows(rows: Sequence[Change], cap: int) -> tuple[int, list[tuple[Any, ...]]]:
    """Decimation as documented, from all changes at once: the smallest shift whose buckets fit."""
    kept = effective(rows)
    shift = 0
    while len({time >> shift for time, _ in kept}) > cap:
        shift += 1
    table = []
    for _, group in groupby(kept, key=lambda row: row[0] >> shift):
        bucket = list(group)
        columns = list(zip(*(values for _, values in bucket), strict=True))
        table.append((bucket[-1][0], *bucket[-1][1], *map(min, columns), *map(max, columns)))
    return shift, table


def contents(store: Columns) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store.store.rows[: len(store)].tolist()]


def filled(rows: Sequence[Change], cap: int, chunks: Sequence[int]) -> Columns:
    """Deliver the changes in chunks of these sizes; size 0 stands for a single note."""
    store = Columns(["a", "b"], np.int64, cap)
    at = 0
    sizes = list(chunks) or [1]
    turn = 0
    while at < len(rows):
        size = sizes[turn % len(sizes)]
        turn += 1
        part = rows[at : at + max(size, 1)]
        at += max(size, 1)
        if size == 0:
            store.note(part[0][0], np.array(part[0][1], dtype=np.int64))
        else:
            times = np.array([time for time, _ in part], dtype=np.int64)
            store.append(times, np.array([values for _, values in part], dtype=np.int64).ravel())
    return store


@njit
def deliver(rows: Any, book: Any, times: Any, table: Any) -> None:
    """A model's compiled code: keeps its counters in one array and notes each change."""
    values = np.zeros(table.shape[1], dtype=np.int64)
    for i in range(times.shape[0]):
        for c in range(table.shape[1]):
            values[c] = table[i, c]
        note(rows, book, times[i], values)


@settings(max_examples=200, deadline=None)
@given(changes(), st.integers(2, 9), st.lists(st.integers(0, 7), max_size=5))
def test_rows_are_those_of_the_documented_rule_however_delivered(
    rows: list[Change], cap: int, chunks: list[int]
) -> None:
    store = filled(rows, cap, chunks)
    shift, table = expected_rows(rows, cap)
    assert (store.shift, contents(store)) == (shift, table)


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


@settings(max_examples=200, deadline=None)
@given(changes(), st.integers(2, 9), st.integers(0, 2**50))
def test_integral_and_extremes_are_exact_beside_decimation(
    rows: list[Change], cap: int, rest_ns: int
) -> None:
    store = filled(rows, cap, [4])
    if not rows:
        return
    end_ns = rows[-1][0] + rest_ns
    held = [*rows, (end_ns, rows[-1][1])]
    for column in range(2):
        area = sum(now[1][column] * (later[0] - now[0]) for now, later in pairwise(held))
        assert store.integral(column, end_ns) == area
        values = [values[column] for _, values in rows]
        assert (store.minimum(column), store.maximum(column)) == (min(values), max(values))
        assert store.final(column) == values[-1]
        # The peaks are in the decimated rows too.
        assert (store.low(column).min(), store.high(column).max()) == (min(values), max(values))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(-1e6, 1e6)), min_size=1, max_size=60),
    st.integers(2, 9),
    st.integers(1, 7),
)
def test_float_columns_do_not_depend_on_chunks(gaps: list[tuple[int, float]], cap: int, size: int) -> None:
    times = np.cumsum([gap for gap, _ in gaps]).astype(np.int64)
    values = np.array([value for _, value in gaps])
    whole = Columns(["x"], np.float64, cap)
    whole.append(times, values)
    parts = Columns(["x"], np.float64, cap)
    for at in range(0, len(times), size):
        parts.append(times[at : at + size], values[at : at + size])
    assert contents(whole) == contents(parts)
    assert np.array_equal(whole.store.book, parts.store.book)
    assert whole.maximum(0) == values.max()


def test_a_change_before_the_last_is_refused() -> None:
    """Batched code that mixes up its clock must not pass unnoticed."""
    store = Columns(["x"])
    store.note(10, np.array([1]))
    with pytest.raises(ValueError, match="before"):
        store.note(9, np.array([2]))


def test_nan_is_refused() -> None:
    store = Columns(["x"], np.float64)
    with pytest.raises(ValueError, match="not a number"):
        store.append(np.array([0]), np.array([np.nan]))


def test_shapes_that_do_not_fit_are_refused() -> None:
    """Compiled code does not check bounds: a wrong shape would read foreign memory."""
    with pytest.raises(ValueError, match="3 values do not fill 2 rows of 1"):
        Columns(["x"]).append(np.array([0, 1]), np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="fill"):
        Columns(["x", "y"]).note(0, np.array([1]))
    with pytest.raises(ValueError, match="float64"):
        Columns(["x"]).note(0, np.array([1.5]))


@pytest.mark.parametrize(("names", "cap"), [([], 10), (["x"], 1)])
def test_impossible_stores_are_refused(names: list[str], cap: int) -> None:
    with pytest.raises(ValueError, match="needs"):
        Columns(names, np.int64, cap)


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
