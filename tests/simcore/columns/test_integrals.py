"""Integrals and extremes: exact, whatever was merged."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simcore.columns.change_sequences import Change, changes, filled


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
