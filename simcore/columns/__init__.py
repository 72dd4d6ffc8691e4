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
merged into it: ``last`` and ``time_ns`` are those of the latest change, ``low`` and ``high`` the extremes of all
changes since the row before. When a new bucket finds no room, ``shift`` grows by one and neighbours merge, until
there is room. ``shift`` is therefore the smallest with no more than ``max_rows`` buckets, whatever way the changes
were delivered; every stored row is a row of the undecimated series; no peak is lost; integrals are kept beside the
rows.

A note that changes no column leaves no row. Times must not decrease. All cells are 8 bytes: int64, or float64
seen through a view of the same memory (times, counts and shifts stay int64).
"""

from simcore.columns.columns import Columns
from simcore.columns.integrals import integral_of
from simcore.columns.notes import append, note, note_steps
from simcore.columns.store import BOOK_LINES, Store, new_store

__all__ = ["BOOK_LINES", "Columns", "Store", "append", "integral_of", "new_store", "note", "note_steps"]
