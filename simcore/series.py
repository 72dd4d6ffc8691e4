"""Series of a run as one table: a row per moment of change, a column per series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from simcore.errors import SimcoreError, nearest_name
from simcore.recorder import Column, Recorder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Series", "table_of"]


class Series:
    """The series of a run, over an Arrow table.

    ``time_ns`` (int64) and a column per series; every row tells the value of every series from that moment
    on. Where rows stand for buckets of time, ``<name>.min`` and ``<name>.max`` are the extremes since the
    row before. A value that lasted no time shows in the summary's statistics alone.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @property
    def names(self) -> list[str]:
        """Names of the series, sorted."""
        return [name for name in self.table.column_names if name != "time_ns" and not _is_extreme(name)]

    @property
    def time_ns(self) -> NDArray[np.int64]:
        """Moments of change, ns, shape (rows,)."""
        return self._column("time_ns")

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the values of a series, shape (rows,).

        Raises:
            SimcoreError: No such series, with the nearest name.
        """
        return self._column(name)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def low(self, name: str) -> NDArray[Any]:
        """Return the smallest values since the row before; the values themselves where nothing was merged."""
        return self._column(f"{name}.min" if f"{name}.min" in self.table.column_names else name)

    def high(self, name: str) -> NDArray[Any]:
        """Return the largest values since the row before; the values themselves where nothing was merged."""
        return self._column(f"{name}.max" if f"{name}.max" in self.table.column_names else name)

    @property
    def decimated(self) -> bool:
        """Whether any row stands for more than one moment of change."""
        return any(_is_extreme(name) for name in self.table.column_names)

    def to_numpy(self) -> dict[str, NDArray[Any]]:
        """Return all columns by name."""
        return {name: self._column(name) for name in self.table.column_names}

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame; pandas must be installed."""
        return self.table.to_pandas()

    def __repr__(self) -> str:
        return f"<Series: {len(self)} rows of {', '.join(self.names)}>"

    def _column(self, name: str) -> NDArray[Any]:
        if name not in self.table.column_names:
            nearest = nearest_name(name, self.names)
            hint = f"; did you mean {nearest!r}?" if nearest else ""
            raise SimcoreError(f"there is no series {name!r}{hint}")
        values: NDArray[Any] = self.table.column(name).to_numpy()
        return values


def _is_extreme(name: str) -> bool:
    return name.endswith((".min", ".max"))


def table_of(recorder: Recorder, max_rows: int, patterns: Sequence[str] = ("*",)) -> pa.Table:
    """Join all series of a recorder on the union of their times.

    When that is more than ``max_rows`` moments, rows are merged by the rule of ``simcore.columns``: one row
    per ``time >> shift``, at its latest moment, with the smallest shift that fits.

    Args:
        recorder: A finished recorder.
        max_rows: Cap on rows.
        patterns: Which series to take, by shell patterns.
    """
    columns = [
        column
        for column in recorder.columns()
        if any(fnmatchcase(column.name, pattern) for pattern in patterns)
    ]
    stores = {id(column.columns): column.columns for column in columns}
    times = _union([store.times for store in stores.values()])
    shift = 0
    while len(ends := _bucket_ends(times, shift)) > max_rows:
        shift += 1
    times = times[ends]
    arrays: dict[str, NDArray[Any]] = {"time_ns": times}
    for column in columns:
        arrays |= _joined(column, times, shift)
    # A tally has no value before its first observation: NaN here, null in the table, NaN again in NumPy.
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in arrays.items()})


def _union(times: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    if not times:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.concatenate(times))


def _bucket_ends(times: NDArray[np.int64], shift: int) -> NDArray[np.intp]:
    """Return the index of the last time in each bucket."""
    if shift == 0 or len(times) == 0:
        return np.arange(len(times))
    buckets = times >> shift
    return np.append(np.flatnonzero(buckets[1:] != buckets[:-1]), len(times) - 1)


def _joined(column: Column, times: NDArray[np.int64], shift: int) -> dict[str, NDArray[Any]]:
    """Return a series, and its extremes if rows were merged, at ``times`` (which end their buckets)."""
    name, store, position = column
    last = store.last(position)
    # The row that holds at each time: the latest not after it; before the first, the first.
    held = np.searchsorted(store.times, times, side="right") - 1
    values = last[np.maximum(held, 0)]
    if store.dtype == np.float64 and held[0] < 0:
        values = values.copy()
        values[held < 0] = np.nan
    if shift == 0 and store.shift == 0:
        return {name: values}
    low, high = values.copy(), values.copy()
    # Each own row lies in the interval that ends with the first of `times` not before it.
    intervals = np.searchsorted(times, store.times, side="left")
    starts = np.flatnonzero(np.append(True, intervals[1:] != intervals[:-1]))
    low[intervals[starts]] = np.minimum.reduceat(store.low(position), starts)
    high[intervals[starts]] = np.maximum.reduceat(store.high(position), starts)
    return {name: values, f"{name}.min": low, f"{name}.max": high}
