"""Rows of runs as Arrow tables: their bookkeeping columns, one type per column, and the best of duplicates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

__all__ = ["BOOKKEEPING", "FIXED_TYPES", "ORIGIN", "VOLATILE", "as_scalar", "best_rows", "concatenate", "to_arrow"]

VOLATILE = ("wall_s", "started_at", "worker", "attempts")
"""Columns that tell how a run was executed, and so differ from one execution to the next."""

ORIGIN = ("traceback", "model_version", "simcore_version", "python_version")
"""Columns of the manifest that `to_table` leaves out."""

BOOKKEEPING = ("identity", "point", "replication", "status", "error", *VOLATILE, *ORIGIN)
"""Columns that are neither parameters nor metrics."""

FIXED_TYPES: dict[str, pa.DataType] = {
    "identity": pa.string(),
    "replication": pa.int64(),
    "status": pa.string(),
    "error": pa.string(),
    "wall_s": pa.float64(),
    "started_at": pa.float64(),
    "worker": pa.string(),
    "attempts": pa.int64(),
    "traceback": pa.string(),
    "model_version": pa.string(),
    "simcore_version": pa.string(),
    "python_version": pa.string(),
}
"""Types of the columns that every row has."""


def as_scalar(value: Any) -> bool | int | float | str | None:
    """Return a value that a table's column can hold: scalars as they are, anything else as JSON."""
    if value is None or isinstance(value, bool | str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, float):
        return value
    return json.dumps(value, sort_keys=True, default=str)


def to_arrow(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table with a column for every name that any of them has."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        columns[name] = pa.array(values, FIXED_TYPES[name]) if name in FIXED_TYPES else _column(values)
    return pa.table(columns)


def _column(values: list[Any]) -> pa.Array:
    """Return an Arrow array of scalars, as text when they are of kinds that no one type holds."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def concatenate(tables: Iterable[pa.Table]) -> pa.Table:
    """Return all rows; a column that no one type holds becomes text, however its rows were grouped."""
    chunks = list(tables)
    try:
        return pa.concat_tables(chunks, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        kinds: dict[str, set[pa.DataType]] = {}
        for table in chunks:
            for field in table.schema:
                kinds.setdefault(field.name, set()).add(field.type)
        mixed = {name for name, types in kinds.items() if len(types - {pa.null()}) > 1}
        mixed = {name for name in mixed if kinds[name] & {pa.string(), pa.bool_()}}
        return pa.concat_tables([_texts(table, mixed) for table in chunks], promote_options="permissive")


def _texts(table: pa.Table, names: set[str]) -> pa.Table:
    for name in names & set(table.column_names):
        values = [None if value is None else _text(value) for value in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    return table


def best_rows(table: pa.Table) -> pa.Table:
    """Return one row per identity: done before anything else, then the newest."""
    identities = table["identity"].to_pylist()
    if len(set(identities)) == len(identities):
        return table
    done = [status == "done" for status in table["status"].to_pylist()]
    started = table["started_at"].to_pylist()
    best: dict[str, int] = {}
    for row, identity in enumerate(identities):
        other = best.get(identity)
        if other is None or (done[row], started[row]) > (done[other], started[other]):
            best[identity] = row
    return table.take(pa.array(sorted(best.values()), pa.int64()))
