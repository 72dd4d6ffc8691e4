"""A store with names and a type: the Python face of the arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simcore.columns.integrals import integral_of
from simcore.columns.notes import append, append_float, note
from simcore.columns.store import (
    AREA,
    BEGAN,
    COUNT,
    CURRENT,
    HEADER,
    HIGHEST,
    LOWEST,
    SHIFT,
    SINCE,
    Cells,
    Int64s,
    new_store,
)

__all__ = ["Columns"]


class Columns:
    """A store with names and a type; the Python face of the arrays.

    Args:
        names: One name per column.
        dtype: ``int64`` or ``float64``.
        max_rows: Cap on stored rows.

    Raises:
        ValueError: No names, or a cap below 2.
    """

    def __init__(self, names: Sequence[str], dtype: type[Any] = np.int64, max_rows: int = 65536) -> None:
        if not names:
            raise ValueError("a store needs at least one column")
        if max_rows < 2:
            raise ValueError(f"a store needs room for 2 rows or more, not {max_rows}")
        self.names = tuple(names)
        self.dtype = np.dtype(dtype)
        self.store = new_store(len(self.names), max_rows)
        self._cells: Cells = self.store.rows.view(self.dtype)
        self._ledger: Cells = self.store.book.view(self.dtype)
        self._is_int = self.dtype == np.int64

    def append(self, times: Int64s, values: Cells) -> None:
        """Record many changes.

        Args:
            times: int64 of shape (k,), not decreasing.
            values: Of the store's type, shape (k * columns,): all columns of one change, then of the next.

        Raises:
            ValueError: A time before the last change, shapes that do not fit, or a NaN.
        """
        self._check(values, len(times))
        rows, book = self.store
        if self._is_int:
            append(rows, book, times, values)
        else:
            append_float(rows, self._cells, book, self._ledger, times, values)

    def note(self, now: int, values: Cells) -> None:
        """Record one change of all columns; ``values`` has shape (columns,)."""
        self._check(values, 1)
        if self._is_int:
            note(*self.store, now, values)
        else:
            self.append(np.array([now], dtype=np.int64), values)

    def _check(self, values: Cells, changes: int) -> None:
        """Refuse what compiled code would misread: it checks no bounds, and cuts floats to integers."""
        if values.dtype != self.dtype:
            raise ValueError(f"values are {values.dtype}, the columns {self.dtype}")
        if values.ndim != 1 or len(values) != changes * len(self.names):
            raise ValueError(f"{values.size} values do not fill {changes} rows of {len(self.names)}")

    def __len__(self) -> int:
        return int(self.store.book[HEADER, COUNT])

    @property
    def shift(self) -> int:
        """Buckets are ``2**shift`` ns wide; 0 means that every change has its own row."""
        return int(self.store.book[HEADER, SHIFT])

    @property
    def began_ns(self) -> int:
        """Time of the first change ever, where the integral starts."""
        return int(self.store.book[HEADER, BEGAN])

    @property
    def times(self) -> Int64s:
        """Time of the last change in each row, ns, shape (rows,)."""
        return self.store.rows[: len(self), 0]

    def _part(self, part: int, column: int) -> Cells:
        return self._cells[: len(self), 1 + part * len(self.names) + column]

    def last(self, column: int) -> Cells:
        """Value of a column after each row's last change."""
        return self._part(0, column)

    def low(self, column: int) -> Cells:
        """Smallest value of a column among the changes of each row."""
        return self._part(1, column)

    def high(self, column: int) -> Cells:
        """Largest value of a column among the changes of each row."""
        return self._part(2, column)

    def final(self, column: int) -> int | float:
        """Value now."""
        return self._number(self._ledger[CURRENT, column])

    def minimum(self, column: int) -> int | float:
        """Smallest value ever recorded."""
        return self._number(self._ledger[LOWEST, column])

    def maximum(self, column: int) -> int | float:
        """Largest value ever recorded."""
        return self._number(self._ledger[HIGHEST, column])

    def integral(self, column: int, end_ns: int) -> int | float:
        """Integral of a column over time from its first row to ``end_ns``, in value x ns; exact for int64."""
        if self._is_int:
            return integral_of(self.store.book, column, end_ns)
        elapsed = end_ns - int(self.store.book[SINCE, column])
        return float(self._ledger[AREA, column] + self._ledger[CURRENT, column] * elapsed)

    def _number(self, value: Any) -> int | float:
        return int(value) if self._is_int else float(value)
