"""Rows of a store: one per bucket of time that saw a change, merged with their neighbours when room runs out."""

from __future__ import annotations

from simcore.columns.store import COUNT, HEADER, SHIFT, Cells, Int64s
from simcore.compiled import jit, jit_inline

__all__ = ["place", "place_steps"]


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


@jit_inline
def place(
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
def place_steps(
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
