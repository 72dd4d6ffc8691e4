"""The two arrays of a store, and what lies on which line of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOOK_LINES", "Cells", "Int64s", "Store", "new_store"]

HEADER, SINCE, CURRENT, LOWEST, HIGHEST, AREA = 0, 1, 2, 3, 4, 5
COUNT, SHIFT, NOW, BEGAN = 0, 1, 2, 3
BOOK_LINES = AREA + 6

Int64s = NDArray[np.int64]
Cells = NDArray[Any]


class Store(NamedTuple):
    """The two arrays of a store; ``rows`` and ``book`` are int64, floats live in them as views."""

    rows: Int64s
    book: Int64s


def new_store(columns: int, max_rows: int) -> Store:
    """Return an empty store. Memory is taken from the system as rows are written, not before."""
    return Store(
        np.empty((max_rows, 1 + 3 * columns), dtype=np.int64),
        np.zeros((BOOK_LINES, max(columns, 4)), dtype=np.int64),
    )
