"""The column store behind every recorded series: bounded rows on change, exact integrals, compiled appends.

A store holds ``n`` columns that change together, in two plain arrays that compiled (Numba) code may write to:

``rows``, shape ``(max_rows, 1 + 3 * n)``: one row per bucket of time that saw a change::

    rows[i] = time_ns, last[0..n-1], low[0..n-1], high[0..n-1]

``book``, shape ``(BOOK_LINES, max(n, 4))``: the accounts::

    book[HEADER]  = number of rows, shift, time of the last change, time of the first
    book[SINCE]   = per column: time up to which its integral is settled
    book[CURRENT], book[LOWEST], book[HIGHEST] = per column: value now, extremes ever
    book[AREA:]   = per column: integral of value over time, in pieces (see ``integral_of``)

**Decimation.** A row stands for the bucket ``time >> shift``. A change in the bucket of the last row is
merged into
it: ``last`` and ``time_ns`` are those of the latest change, ``low`` and ``high`` the extremes of all
changes since the row before. When a new bucket finds no room, ``shift`` grows by one and neighbours merge,
until there is room. ``shift`` is therefore the smallest with no more than ``max_rows`` buckets, whatever
way the changes were delivered; every stored row is a row of the undecimated series; no peak is lost;
integrals are kept beside the rows.

A note that changes no column leaves no row. Times must not decrease. All cells are 8 bytes: int64, or float64
seen through a view of the same memory (times, counts and shifts stay int64).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.compiled import jit

__all__ = ["BOOK_LINES", "Columns", "Store", "append", "integral_of", "new_store", "note", "note_steps"]

HEADER, SINCE, CURRENT, LOWEST, HIGHEST, AREA = 0, 1, 2, 3, 4, 5
COUNT, SHIFT, NOW, BEGAN = 0, 1, 2, 3
BOOK_LINES = AREA + 6
_LOW_32 = (1 << 32) - 1
_LOW_31 = (1 << 31) - 1

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


@jit
def _settle_int(book: Int64s, column: int, now: int) -> None:
    """Add value x elapsed time to the integral exactly: 64 x 63 bits, in pieces of 32 bits.

    The elapsed time is split at bit 31 (lines from ``AREA + 3`` on count in units of 2**31 ns), the value
    at bit 32, so that no product leaves 63 bits; carries move up at once, so that no piece ever overflows.
    """
    elapsed = now - book[SINCE, column]
    if elapsed == 0:
        return
    book[SINCE, column] = now
    value = book[CURRENT, column]
    value_low = value & _LOW_32
    value_high = value >> 32
    for piece in range(2):
        factor = (elapsed & _LOW_31) if piece == 0 else (elapsed >> 31)
        if factor == 0:
            continue
        line = AREA + 3 * piece
        product = value_low * factor
        low = book[line, column] + (product & _LOW_32)
        middle = book[line + 1, column] + (product >> 32) + (low >> 32)
        product = value_high * factor
        middle += product & _LOW_32
        book[line, column] = low & _LOW_32
        book[line + 1, column] = middle & _LOW_32
        book[line + 2, column] += (product >> 32) + (middle >> 32)


@jit
def _settle_float(book: Int64s, ledger: Cells, column: int, now: int) -> None:
    elapsed = now - book[SINCE, column]
    book[SINCE, column] = now
    ledger[AREA, column] += ledger[CURRENT, column] * elapsed


@jit
def _coarsen(rows: Int64s, cells: Cells, columns: int, count: int, shift: int) -> int:
    """Merge neighbours that share a bucket at ``shift``; return the number of rows left."""
    kept = 0
    for row in range(1, count):
        if rows[row, 0] >> shift == rows[kept, 0] >> shift:
            for c in range(1, 1 + columns):
                cells[kept, c] = cells[row, c]
                low, high = c + columns, c + 2 * columns
                cells[kept, low] = min(cells[kept, low], cells[row, low])
                cells[kept, high] = max(cells[kept, high], cells[row, high])
        else:
            kept += 1
            if kept != row:
                for c in range(1, 1 + 3 * columns):
                    cells[kept, c] = cells[row, c]
        rows[kept, 0] = rows[row, 0]
    return kept + 1


@jit
def _place(
    rows: Int64s, cells: Cells, book: Int64s, columns: int, now: int, values: Cells, offset: int
) -> None:
    """Write ``values`` as a row of their own, or into the last row when that has the same bucket."""
    count = book[HEADER, COUNT]
    shift = book[HEADER, SHIFT]
    while count > 0:
        row = count - 1
        if rows[row, 0] >> shift == now >> shift:
            rows[row, 0] = now
            for c in range(columns):
                value = values[offset + c]
                cells[row, 1 + c] = value
                cells[row, 1 + columns + c] = min(cells[row, 1 + columns + c], value)
                cells[row, 1 + 2 * columns + c] = max(cells[row, 1 + 2 * columns + c], value)
            return
        if count < rows.shape[0]:
            break
        shift += 1
        count = _coarsen(rows, cells, columns, count, shift)
        book[HEADER, SHIFT] = shift
        book[HEADER, COUNT] = count
    rows[count, 0] = now
    for c in range(columns):
        value = values[offset + c]
        cells[count, 1 + c] = value
        cells[count, 1 + columns + c] = value
        cells[count, 1 + 2 * columns + c] = value
    book[HEADER, COUNT] = count + 1


@jit
def _note(
    rows: Int64s,
    cells: Cells,
    book: Int64s,
    ledger: Cells,
    is_float: bool,
    now: int,
    values: Cells,
    offset: int,
) -> bool:
    """Record ``values[offset:]``; ``cells`` and ``ledger`` are ``rows`` and ``book`` in the values' type."""
    columns = (rows.shape[1] - 1) // 3
    changed: bool = book[HEADER, COUNT] == 0
    if changed:
        book[HEADER, BEGAN] = now
        for c in range(columns):
            value = values[offset + c]
            book[SINCE, c] = now
            ledger[CURRENT, c] = value
            ledger[LOWEST, c] = value
            ledger[HIGHEST, c] = value
    else:
        for c in range(columns):
            value = values[offset + c]
            if value != ledger[CURRENT, c]:
                if now < book[HEADER, NOW]:
                    raise ValueError("a change lies before the one recorded last")
                changed = True
                if is_float:
                    _settle_float(book, ledger, c, now)
                else:
                    _settle_int(book, c, now)
                ledger[CURRENT, c] = value
                ledger[LOWEST, c] = min(ledger[LOWEST, c], value)
                ledger[HIGHEST, c] = max(ledger[HIGHEST, c], value)
    if changed:
        book[HEADER, NOW] = now
        _place(rows, cells, book, columns, now, values, offset)
    return changed


@jit
def note(rows: Int64s, book: Int64s, now: int, values: Int64s) -> bool:
    """Record ``values`` (int64, one per column) at time ``now``; return whether any of them had changed.

    Compiled code calls this on its own arrays: ``note(store.rows, store.book, now, values)``.

    Raises:
        ValueError: ``now`` lies before the last recorded change.
    """
    return _note(rows, rows, book, book, False, now, values, 0)


@jit
def append(rows: Int64s, book: Int64s, times: Int64s, values: Int64s) -> None:
    """Record many changes: at ``times[i]`` the ``n`` columns ``values[i * n : (i + 1) * n]``."""
    columns = (rows.shape[1] - 1) // 3
    for i in range(times.shape[0]):
        _note(rows, rows, book, book, False, times[i], values, i * columns)


@jit
def _append_float(
    rows: Int64s, cells: Cells, book: Int64s, ledger: Cells, times: Int64s, values: NDArray[np.float64]
) -> None:
    columns = (rows.shape[1] - 1) // 3
    for i in range(times.shape[0]):
        for c in range(columns):
            if np.isnan(values[i * columns + c]):
                raise ValueError("a recorded value is not a number")
        _note(rows, cells, book, ledger, True, times[i], values, i * columns)


@jit
def _add_area(book: Int64s, column: int, area: int) -> None:
    """Add a number of 63 bits to the integral."""
    low = book[AREA, column] + (area & _LOW_32)
    middle = book[AREA + 1, column] + (area >> 32) + (low >> 32)
    book[AREA, column] = low & _LOW_32
    book[AREA + 1, column] = middle & _LOW_32
    book[AREA + 2, column] += middle >> 32


@jit
def _place_steps(
    rows: Int64s, book: Int64s, columns: int, first: int, step_ns: int, times: int, values: Int64s, steps: Int64s
) -> None:
    """Write the rows of ``values + i * steps`` at ``first + i * step_ns`` for i from 1 to ``times``."""
    at = 1
    while at <= times:
        now = first + at * step_ns
        count, shift = book[HEADER, COUNT], book[HEADER, SHIFT]
        while count == rows.shape[0] and rows[count - 1, 0] >> shift != now >> shift:
            shift += 1
            count = _coarsen(rows, rows, columns, count, shift)
            book[HEADER, SHIFT], book[HEADER, COUNT] = shift, count
        end = times  # the last one in the same bucket
        if step_ns > 0:
            end = min(times, ((((now >> shift) + 1) << shift) - 1 - first) // step_ns)
        row = count - 1
        if rows[row, 0] >> shift == now >> shift:
            for c in range(columns):
                one, other = values[c] + at * steps[c], values[c] + end * steps[c]
                rows[row, 1 + c] = other
                low, high = 1 + columns + c, 1 + 2 * columns + c
                rows[row, low] = min(rows[row, low], one, other)
                rows[row, high] = max(rows[row, high], one, other)
        else:
            row = count
            book[HEADER, COUNT] = count + 1
            for c in range(columns):
                one, other = values[c] + at * steps[c], values[c] + end * steps[c]
                rows[row, 1 + c] = other
                rows[row, 1 + columns + c] = min(one, other)
                rows[row, 1 + 2 * columns + c] = max(one, other)
        rows[row, 0] = first + end * step_ns
        at = end + 1


@jit
def note_steps(
    rows: Int64s, book: Int64s, first: int, step_ns: int, count: int, values: Int64s, steps: Int64s
) -> None:
    """Record ``count`` changes at equal distances in time, by equal steps in value.

    The same as ``note(rows, book, first + i * step_ns, values + i * steps)`` for i from 0 to ``count - 1``, to the
    bit. At least one step is not 0; ``count**2 * step_ns * steps`` must fit into 63 bits.

    Raises:
        ValueError: ``first`` lies before the last recorded change.
    """
    note(rows, book, first, values)
    times = count - 1
    if times <= 0:
        return
    columns = (rows.shape[1] - 1) // 3
    end = first + times * step_ns
    for c in range(columns):
        step = steps[c]
        if step == 0:
            continue
        _settle_int(book, c, end)
        _add_area(book, c, step * step_ns * (times * (times - 1) // 2))
        value = values[c] + times * step
        book[CURRENT, c] = value
        book[LOWEST, c] = min(book[LOWEST, c], value)
        book[HIGHEST, c] = max(book[HIGHEST, c], value)
    book[HEADER, NOW] = end
    _place_steps(rows, book, columns, first, step_ns, times, values, steps)


def integral_of(book: Int64s, column: int, end_ns: int) -> int:
    """Return the exact integral of an int64 column from its first row to ``end_ns``, in value x ns."""
    total = 0
    for line, weight in ((AREA, 0), (AREA + 3, 31)):
        low, middle, high = (int(piece) for piece in book[line : line + 3, column])
        total += (low + (middle << 32) + (high << 64)) << weight
    return total + int(book[CURRENT, column]) * (end_ns - int(book[SINCE, column]))


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
            _append_float(rows, self._cells, book, self._ledger, times, values)

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
