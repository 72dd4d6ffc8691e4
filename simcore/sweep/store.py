"""The store of a sweep: Parquet parts that workers append, the plan, and the one table that they make.

Every part is either whole or not there. Each row is one run, known by its identity; when a run was recorded more
than once (it was killed between the two, or merged) the best row counts: done before failed, then the newest.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from simcore.sweep.errors import StoreError
from simcore.sweep.rows import BOOKKEEPING, FIXED_TYPES, ORIGIN, VOLATILE, best_rows, concatenate, to_arrow
from simcore.sweep.store_files import parquet_bytes, write_whole, writing

__all__ = ["MERGE_FROM", "Store"]

MERGE_FROM = 64
"""Parts from which it pays to merge them into one."""


class Store:
    """The directory of one sweep.

    Attributes:
        directory: holds `plan.parquet`, `parts/`, `runs/` (for `keep: series` and `all`) and `running/`.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.parts = self.directory / "parts"
        self.runs = self.directory / "runs"
        self.running = self.directory / "running"

    @classmethod
    def open(cls, directory: Path | str) -> Store:
        """Return the store of a sweep that has been started.

        Raises:
            StoreError: there is none.
        """
        store = cls(directory)
        if not (store.directory / "plan.parquet").is_file():
            raise StoreError(f"{directory} holds no sweep (no plan.parquet)")
        return store

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Make the directory and keep every other sweep out of it; clears what a killed sweep left over.

        Raises:
            StoreError: another process is running a sweep there, or it cannot be written.
        """
        with writing(self.directory):
            for directory in (self.parts, self.running):
                directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(f"{self.directory} is in use by another running sweep") from None
            for leftover in (*self.parts.glob(".*.tmp"), *self.running.iterdir()):
                leftover.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as one new part.

        Raises:
            StoreError: no space, or the directory cannot be written; no part is left half-written.
        """
        if rows:
            self._write_part(to_arrow(rows))

    def write_plan(self, plan: pa.Table) -> None:
        """Replace the plan: one row per run with `identity, point, replication` and the parameters.

        Raises:
            StoreError: it cannot be written.
        """
        write_whole(self.directory / "plan.parquet", parquet_bytes(plan), self.directory)

    def plan(self) -> pa.Table:
        """Return the plan as it was last written."""
        return pq.read_table(self.directory / "plan.parquet")

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a small JSON file into the sweep's directory, whole or not at all."""
        write_whole(self.directory / name, json.dumps(content, indent=2, default=str).encode(), self.directory)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table beside the parts, whole or not at all."""
        write_whole(self.directory / name, parquet_bytes(table), self.directory)

    def recorded(self) -> dict[str, tuple[str, float]]:
        """Return status and wall time in seconds of every run that was recorded, by identity."""
        table = self._rows(["identity", "status", "started_at", "wall_s"])
        values = zip(table["status"].to_pylist(), table["wall_s"].to_pylist(), strict=True)
        return dict(zip(table["identity"].to_pylist(), values, strict=True))

    def has_rows(self) -> bool:
        """Return whether any run was recorded."""
        return next(iter(self.parts.glob("*.parquet")), None) is not None

    def wall_seconds(self) -> tuple[int, float]:
        """Return how many runs were done, and the seconds that they took together."""
        table = self._rows(["identity", "status", "started_at", "wall_s"])
        done = table.filter(pc.equal(table["status"], "done"))
        return done.num_rows, float(pc.sum(done["wall_s"]).as_py() or 0.0)

    def to_table(self, plan: pa.Table | None = None) -> pa.Table:
        """Return one row per recorded run of a plan (the last written, by default), by point and replication.

        Columns: `identity, point, replication`, the parameters, `status, error`, the metrics by name, and how the run
        was executed (`VOLATILE`). The same plan gives the same rows, order and types, whoever ran it.
        """
        plan = self.plan() if plan is None else plan
        rows = self._rows(None)
        parameters = [name for name in plan.column_names if name not in BOOKKEEPING]
        recorded = {identity: row for row, identity in enumerate(rows["identity"].to_pylist())}
        found = [recorded.get(identity) for identity in plan["identity"].to_pylist()]
        planned = plan.filter(pa.array([row is not None for row in found], pa.bool_()))
        rows = rows.take(pa.array([row for row in found if row is not None], pa.int64()))
        metrics = sorted(set(rows.column_names) - set(BOOKKEEPING) - set(parameters))
        columns = {name: planned[name] for name in ("identity", "point", "replication", *parameters)}
        for name in ("status", "error", *metrics, *VOLATILE):
            column = rows[name]
            if name in metrics and column.null_count == len(column):
                continue  # a metric of runs that are no longer in the plan
            columns[name] = column
        return pa.table(columns)

    def manifest(self) -> pa.Table:
        """Return identity, status, failure with traceback, versions and wall time of every recorded run."""
        return self._rows(["identity", "replication", "status", "error", *VOLATILE, *ORIGIN])

    def merge(self) -> None:
        """Put many parts into one; safe to be killed at any moment, because duplicates count once.

        Raises:
            StoreError: no space; the parts are as they were.
        """
        paths = self._part_paths()
        if len(paths) < MERGE_FROM:
            return
        self._write_part(best_rows(concatenate(pq.read_table(path) for path in paths)))
        for path in paths:
            path.unlink(missing_ok=True)

    def kept(self, identity: str) -> Path:
        """Return the directory that holds what a run with this identity left."""
        return self.runs / identity[:2] / identity

    def marker(self, chunk: str) -> Path:
        """Return the file in which a worker notes how far it is in a chunk."""
        return self.running / chunk

    def _rows(self, columns: list[str] | None) -> pa.Table:
        tables = []
        for path in self._part_paths():
            try:
                tables.append(pq.read_table(path, columns=columns))
            except (pa.ArrowInvalid, OSError) as error:
                raise StoreError(f"{path} cannot be read: {error}") from None
        if not tables:
            return pa.table({name: pa.array([], type_) for name, type_ in FIXED_TYPES.items()})
        return best_rows(concatenate(tables))

    def _part_paths(self) -> list[Path]:
        return sorted(self.parts.glob("*.parquet"))

    def _write_part(self, table: pa.Table) -> None:
        write_whole(self.parts / f"{uuid.uuid4().hex}.parquet", parquet_bytes(table), self.directory)
