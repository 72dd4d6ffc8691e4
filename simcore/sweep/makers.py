"""Who makes a worker's runs: the worker itself, or a process of its own that a timeout can kill."""

from __future__ import annotations

import functools
import pickle
import threading
from typing import Protocol

from simcore.sweep.errors import SweepError, WorkerLost
from simcore.sweep.experiments import Experiments, model_version
from simcore.sweep.job_run import KILLED, Row, failure_row, run_job
from simcore.sweep.jobs import Job, Setting
from simcore.sweep.processes import Child

__all__ = ["Maker", "maker"]

START_S = 300.0
"""Seconds that a fresh process may take to import the model, which is not counted against a run's timeout."""


class Maker(Protocol):
    """Makes runs, one by one."""

    def __call__(self, job: Job) -> Row:
        """Make the run of a job and return its row."""


def maker(setting: Setting) -> Maker:
    """Return who makes the runs of a setting: isolated when they have a timeout.

    Raises:
        SweepError: the model's sources here are not those that the sweep was planned with.
    """
    return _Direct(setting) if setting.timeout_s is None else _Isolated(setting)


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
