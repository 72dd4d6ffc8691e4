"""The worker's side of a sweep: makes the runs of a chunk and writes their rows to the store."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from simcore.sweep.errors import StoreError
from simcore.sweep.job_run import Row
from simcore.sweep.jobs import Chunk, Report, Setting
from simcore.sweep.makers import maker
from simcore.sweep.markers import Marker, marked
from simcore.sweep.store import Store

__all__ = ["run_chunk"]

FLUSH_S = 2.0
"""Seconds of finished work that the death of a worker may cost at most."""


def run_chunk(chunk: Chunk, setting: Setting) -> Report:
    """Make every run of a chunk; their rows are in the store when this returns.

    Raises:
        StoreError: the store cannot be written.
        SweepError: the model's sources here are not those that the sweep was planned with.
    """
    store = Store(setting.store)
    make = maker(setting)
    report, pending = Report(), list[Row]()
    written, flushed_at = 0, time.monotonic()
    with marked(store.marker(chunk.name)) as note, _saved(store, pending):
        for index, job in enumerate(chunk.jobs):
            note(Marker(written, index, report))
            pending.append(make(job))
            if time.monotonic() - flushed_at > FLUSH_S or index == len(chunk.jobs) - 1:
                store.append(pending)
                _count(report, pending)
                pending.clear()
                written, flushed_at = index + 1, time.monotonic()
                note(Marker(written, None, report))
    return report


@contextlib.contextmanager
def _saved(store: Store, pending: list[Row]) -> Iterator[None]:
    """Write what is finished when the chunk is cut short; a row may fit where a run's files did not."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(StoreError):
            store.append(pending)
        raise


def _count(report: Report, rows: list[Row]) -> None:
    for row in rows:
        report.done += row["status"] == "done"
        report.failed += row["status"] != "done"
        report.wall_s += row["wall_s"]
