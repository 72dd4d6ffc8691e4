"""The worker's side of a sweep: makes the runs of a chunk and writes their rows to the store."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import pickle
import platform
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from simcore.sweep.dotted_names import flatten
from simcore.sweep.errors import StoreError, SweepError, WorkerLost
from simcore.sweep.experiments import Experiments, model_version
from simcore.sweep.jobs import Chunk, Job, Report, Setting
from simcore.sweep.processes import Child
from simcore.sweep.rows import VOLATILE, as_scalar
from simcore.sweep.store import Store

__all__ = ["KILLED", "Marker", "failure_row", "read_marker", "run_chunk", "run_job"]

FLUSH_S = 2.0
"""Seconds of finished work that the death of a worker may cost at most."""

START_S = 300.0
"""Seconds that a fresh process may take to import the model, which is not counted against a run's timeout."""

TRACEBACK_LIMIT = 8000
"""Characters of a traceback that are kept, from its end."""

KILLED = "worker killed while it made this run, twice"
"""What the table says of a run that two workers died on."""

Row = dict[str, Any]


def run_chunk(chunk: Chunk, setting: Setting) -> Report:
    """Make every run of a chunk; their rows are in the store when this returns.

    Raises:
        StoreError: the store cannot be written.
        SweepError: the model's sources here are not those that the sweep was planned with.
    """
    store = Store(setting.store)
    make: _Maker = _Direct(setting) if setting.timeout_s is None else _Isolated(setting)
    report, pending = Report(), list[Row]()
    written, flushed_at = 0, time.monotonic()
    with _marked(store.marker(chunk.name)) as note, _saved(store, pending):
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


def run_job(job: Job, setting: Setting, experiments: Experiments | None = None) -> Row:
    """Make one run and return its row, whether it succeeds or fails.

    Raises:
        StoreError: there is no space for what the run leaves.
    """
    experiments = experiments or Experiments(setting.base)
    started_at, begin = time.time(), time.perf_counter()
    metrics: Mapping[str, Any] = {}
    status, message, trace = "done", None, None
    try:
        metrics = experiments.run(job, setting)
    except (Exception, SystemExit) as error:
        if _is_full(error):
            raise StoreError(
                f"no space left for {setting.store}: everything that was finished is kept; "
                "the same command continues from there once there is space"
            ) from error
        status, message = "failed", f"{type(error).__name__}: {error}"[:500]
        trace = "".join(traceback.format_exception(error))[-TRACEBACK_LIMIT:]
    row = _row(job, setting, status, message, trace)
    row |= {"started_at": started_at, "wall_s": time.perf_counter() - begin}
    for name, value in flatten(metrics).items():
        if name not in row and name not in VOLATILE:
            row[name] = as_scalar(value)
    return row


def failure_row(job: Job, setting: Setting, status: str, message: str, wall_s: float = 0.0) -> Row:
    """Return the row of a run that could not tell its end by itself."""
    return _row(job, setting, status, message, None) | {"started_at": time.time(), "wall_s": wall_s}


@dataclass(frozen=True)
class Marker:
    """How far a worker is in its chunk, noted in a file so that it outlives the worker.

    Attributes:
        written: jobs of the chunk, from the first, whose rows are in the store.
        current: number of the job being made; None between jobs.
        report: counts over the written jobs.
    """

    written: int
    current: int | None
    report: Report


def read_marker(path: Path) -> Marker:
    """Return what a worker noted last; nothing done when it never began."""
    try:
        noted = json.loads(path.read_text())
    except (OSError, ValueError):
        return Marker(0, None, Report())
    return Marker(noted["written"], noted["current"], Report(noted["done"], noted["failed"], noted["wall_s"]))


class _Maker(Protocol):
    def __call__(self, job: Job) -> Row: ...


class _Direct:
    """Makes runs in this very process."""

    def __init__(self, setting: Setting) -> None:
        _check_sources(setting)
        self._setting = setting
        self._experiments = Experiments(setting.base)

    def __call__(self, job: Job) -> Row:
        return run_job(job, self._setting, self._experiments)


class _Isolated:
    """Makes runs in a process of its own that is killed when one takes too long, in compiled code too."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._packed = pickle.dumps(setting)

    def __call__(self, job: Job) -> Row:
        timeout_s = self._setting.timeout_s
        assert timeout_s is not None
        for last in (False, True):
            try:
                return self._child().call(_make_packed, job, self._packed, timeout_s=timeout_s)
            except TimeoutError:
                return failure_row(job, self._setting, "timeout", f"took longer than {timeout_s:g} s", timeout_s)
            except WorkerLost:
                if last:
                    return failure_row(job, self._setting, "killed", KILLED)
        raise AssertionError("unreachable")

    def _child(self) -> Child:
        holder = _children(threading.get_ident())
        if not holder or not holder[-1].alive:
            holder[:] = [Child()]
            holder[-1].call(_prepare, self._packed, timeout_s=START_S)
        return holder[-1]


def _make_packed(job: Job, packed: bytes) -> Row:
    """Make a run in an isolated process, which unpacks the setting only when it is a new one."""
    return _unpack(packed)(job)


def _prepare(packed: bytes) -> None:
    """Import the model before the first run, whose timeout must not pay for that."""
    _unpack(packed)


@functools.lru_cache(maxsize=1)
def _unpack(packed: bytes) -> _Direct:
    return _Direct(pickle.loads(packed))


@functools.cache
def _children(thread: int) -> list[Child]:
    """Return the holder of this thread's child: kept between chunks, because starting one takes a second."""
    return []


@functools.cache
def _sources_here(model: str) -> str:
    return model_version(model)


def _check_sources(setting: Setting) -> None:
    """Import the model, and refuse to mix two versions of it in one sweep."""
    found, wanted = _sources_here(setting.versions["model"]), setting.versions["model_version"]
    if found != wanted:
        raise SweepError(
            f"the sources of the model {setting.versions['model']} changed while the sweep ran "
            f"(or differ on this worker): {wanted[:12]} planned, {found[:12]} found; start the sweep again"
        )


@contextlib.contextmanager
def _marked(path: Path) -> Iterator[Any]:
    """Yield a function that notes a marker in the file: one small write, in place."""
    with _no_space_is_fatal(path):
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC)

    def note(marker: Marker) -> None:
        report = marker.report
        content = {"written": marker.written, "current": marker.current, "done": report.done,
                   "failed": report.failed, "wall_s": report.wall_s}  # fmt: skip
        with _no_space_is_fatal(path):
            os.pwrite(descriptor, json.dumps(content).ljust(160).encode(), 0)

    try:
        yield note
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _no_space_is_fatal(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write {path.parent}: {error.strerror}; everything finished is kept") from error


def _row(job: Job, setting: Setting, status: str, message: str | None, trace: str | None) -> Row:
    return {
        **{name: as_scalar(value) for name, value in job.columns.items()},
        "identity": job.identity,
        "replication": job.replication,
        "status": status,
        "error": message,
        "worker": f"{platform.node()}:{os.getpid()}",
        "attempts": job.attempt,
        "traceback": trace,
        "model_version": setting.versions["model_version"],
        "simcore_version": setting.versions["simcore_version"],
        "python_version": setting.versions["python_version"],
    }


def _count(report: Report, rows: list[Row]) -> None:
    for row in rows:
        report.done += row["status"] == "done"
        report.failed += row["status"] != "done"
        report.wall_s += row["wall_s"]


def _is_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is behind an error, however it was wrapped."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
