"""Reading columns out of whatever table the user has: Arrow, pandas, polars, or a mapping of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from simcore.errors import SimcoreError, nearest_name

__all__ = ["AnalysisError", "column", "groups", "numbers"]


class AnalysisError(SimcoreError):
    """A table or a sample that a statistic cannot be computed on."""


def column(table: Any, name: str) -> list[Any]:
    """Return one column as a list of Python values.

    Args:
        table: `pyarrow.Table`, pandas or polars frame, or a mapping of names to sequences.
        name: the column.

    Raises:
        AnalysisError: the table has no such column.
    """
    known = _column_names(table)
    if name not in known:
        near = nearest_name(name, known)
        raise AnalysisError(
            f"no column {name!r} in the table" + (f"; did you mean {near!r}?" if near else "")
        )
    values = table[name]
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    return list(values)


def numbers(table: Any, name: str) -> npt.NDArray[np.float64]:
    """Return one column as floats, with NaN where a value is missing.

    Raises:
        AnalysisError: no such column, or a value in it is no number.
    """
    values = column(table, name)
    try:
        return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        bad = next(value for value in values if value is not None and not _is_number(value))
        raise AnalysisError(f"column {name!r} holds {bad!r}, which is no number") from None


def groups(table: Any, by: Sequence[str]) -> dict[tuple[Any, ...], npt.NDArray[np.int64]]:
    """Return the row numbers of every combination of values of the columns `by`, in table order."""
    rows: dict[tuple[Any, ...], list[int]] = {}
    if not by:
        names = _column_names(table)
        count = len(column(table, names[0])) if names else 0
        return {(): np.arange(count)}
    for row, key in enumerate(zip(*(column(table, name) for name in by), strict=True)):
        rows.setdefault(key, []).append(row)
    return {key: np.array(members) for key, members in rows.items()}


def _column_names(table: Any) -> list[str]:
    if isinstance(table, Mapping):
        return list(table)
    if hasattr(table, "column_names"):
        return list(table.column_names)
    return [str(name) for name in table.columns]


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
