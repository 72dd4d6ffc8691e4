"""Sequences of changes, and stores filled with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from simcore.columns import Columns

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
