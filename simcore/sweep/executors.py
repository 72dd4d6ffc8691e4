"""Where runs are executed, behind `concurrent.futures.Executor`: here, in processes, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from typing import Any, TypeVar

from simcore.errors import nearest_name
from simcore.sweep.cluster import open_cluster
from simcore.sweep.errors import SweepError, WorkerLost
from simcore.sweep.processes import ProcessExecutor

__all__ = ["EXECUTORS", "Pool", "SerialExecutor", "available_cpus", "open_pool"]

T = TypeVar("T")

EXECUTORS = ("serial", "processes", "dask")
"""Names that `open_pool` knows."""


@dataclass(frozen=True)
class Pool:
    """An executor, and what its user must know about it.

    Attributes:
        executor: any executor of the standard library's kind.
        workers: how many calls it makes at a time.
        lost: exceptions of a future that mean "its worker died", as against an error of the call.
        reopen: makes a new executor when a lost worker breaks the old one; None when it cannot be remade.
        abort: ends running calls at once, for when the user interrupts; None when they must be waited for.
    """

    executor: Executor
    workers: int
    lost: tuple[type[BaseException], ...] = (WorkerLost, BrokenExecutor)
    reopen: Callable[[], Executor] | None = None
    abort: Callable[[], None] | None = None


class SerialExecutor(Executor):
    """Makes every call at once, in the caller's own thread."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call now and return a future that is already done."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def open_pool(name: str = "processes", jobs: int | None = None, scheduler: str | None = None) -> Iterator[Pool]:
    """Open one of the executors that the command line offers, and close it in the end.

    Args:
        name: `serial`, `processes` or `dask`.
        jobs: number of workers; all CPUs of this process by default. Not used with a `scheduler`.
        scheduler: address of a running Dask scheduler, e.g. `tcp://host:8786`; without it `dask` starts a
            local cluster.

    Raises:
        SweepError: an unknown name, a number of jobs below 1, Dask not installed, or no scheduler at the
            address.
    """
    if jobs is not None and jobs < 1:
        raise SweepError(f"{jobs} jobs: at least 1 is needed")
    if scheduler is not None and name != "dask":
        raise SweepError(f"a scheduler goes with the executor dask, not with {name}")
    workers = jobs or available_cpus()
    if name == "serial":
        yield Pool(SerialExecutor(), 1)
    elif name == "processes":
        executor = ProcessExecutor(workers)
        try:
            yield Pool(executor, workers, abort=executor.kill)
        finally:
            executor.shutdown(cancel_futures=True)
    elif name == "dask":
        with open_cluster(workers, scheduler) as (cluster, threads, lost):
            yield Pool(cluster, threads, lost, abort=lambda: None)
    else:
        near = nearest_name(name, EXECUTORS)
        hint = f"; did you mean {near}?" if near else ""
        raise SweepError(f"no executor {name!r}; there are {', '.join(EXECUTORS)}{hint}")


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0))
