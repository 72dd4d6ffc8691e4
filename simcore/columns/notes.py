"""Changes on their way into a store: one, many, or many by equal steps; for compiled code and for `Columns`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simcore.columns.integrals import add_area, settle_float, settle_int
from simcore.columns.rows import place, place_steps
from simcore.columns.store import BEGAN, COUNT, CURRENT, HEADER, HIGHEST, LOWEST, NOW, SINCE, Cells, Int64s
from simcore.compiled import jit, jit_inline

__all__ = ["append", "append_float", "note", "note_steps"]


@jit_inline
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
                    settle_float(book, ledger, c, now)
                else:
                    settle_int(book, c, now)
                ledger[CURRENT, c] = value
                ledger[LOWEST, c] = min(ledger[LOWEST, c], value)
                ledger[HIGHEST, c] = max(ledger[HIGHEST, c], value)
    if changed:
        book[HEADER, NOW] = now
        place(rows, cells, book, columns, now, values, offset)
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
    """Record many changes: at ``times[i]`` the ``n`` columns ``values[i * n : (i + 1) * n]``.

    Raises:
        ValueError: A time that lies before the last recorded change.
    """
    columns = (rows.shape[1] - 1) // 3
    for i in range(times.shape[0]):
        _note(rows, rows, book, book, False, times[i], values, i * columns)


@jit
def append_float(
    rows: Int64s, cells: Cells, book: Int64s, ledger: Cells, times: Int64s, values: NDArray[np.float64]
) -> None:
    """Like `append`, for float64 ``values``; ``cells`` and ``ledger`` are ``rows`` and ``book`` as float64.

    Raises:
        ValueError: A NaN among the values, or a time before the last recorded change.
    """
    columns = (rows.shape[1] - 1) // 3
    for i in range(times.shape[0]):
        for c in range(columns):
            if np.isnan(values[i * columns + c]):
                raise ValueError("a recorded value is not a number")
        _note(rows, cells, book, ledger, True, times[i], values, i * columns)


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
        settle_int(book, c, end)
        add_area(book, c, step * step_ns * (times * (times - 1) // 2))
        value = values[c] + times * step
        book[CURRENT, c] = value
        book[LOWEST, c] = min(book[LOWEST, c], value)
        book[HIGHEST, c] = max(book[HIGHEST, c], value)
    book[HEADER, NOW] = end
    place_steps(rows, book, columns, first, step_ns, times, values, steps)
