"""The Python face of a store: what it refuses, and columns of floats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.columns import Columns
from tests.simcore.columns.change_sequences import contents


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
