"""A Dask cluster as an executor: a local one, or a real one behind a scheduler's address (extra `cluster`)."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from simcore.sweep.errors import SweepError, WorkerLost

__all__ = ["DaskExecutor", "open_cluster"]

T = TypeVar("T")

GATHER_S = 10.0
"""Seconds for a finished call's small result to arrive, after which it is taken to be lost with its worker."""


class DaskExecutor(Executor):
    """Calls on the workers of a Dask client; each future ends, also when its worker dies.

    `Client.get_executor` is not used: its futures never end when a worker dies between finishing a call and handing
    over the result.
    """

    def __init__(self, client: Any) -> None:
        """Use a connected `distributed.Client`, which stays the caller's to close."""
        self.client = client

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call on the cluster."""
        future: Future[T] = Future()
        remote = self.client.submit(fn, *args, **kwargs, pure=False)
        remote.add_done_callback(lambda done: _hand_over(done, future))
        return future


def _hand_over(remote: Any, future: Future[Any]) -> None:
    """Give a remote call's outcome to a future; a lost result is a lost worker."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        if remote.status == "error":
            future.set_exception(remote.exception())
        else:
            future.set_result(remote.result(timeout=GATHER_S))
    except BaseException as error:
        remote.cancel(force=True)
        future.set_exception(WorkerLost(f"the cluster lost a result: {type(error).__name__}: {error}"))


@contextlib.contextmanager
def open_cluster(
    workers: int, scheduler: str | None
) -> Iterator[tuple[DaskExecutor, int, tuple[type[BaseException], ...]]]:
    """Connect to a scheduler, or start a cluster here.

    Args:
        workers: processes of a local cluster.
        scheduler: address of a running scheduler; None for a local cluster.

    Yields:
        The executor, how many calls it makes at a time, and the errors that mean a lost worker.

    Raises:
        SweepError: Dask is not installed, does not start, or no scheduler with workers is at the address.
    """
    try:
        dask = importlib.import_module("dask")
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise SweepError("the executor dask needs: pip install 'simcore[cluster]'") from None
    # The sweep retries lost runs itself, one by one and with a record of it; Dask must not do so behind its back.
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.worker.daemon": False}
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        address: Any = scheduler
        if scheduler is None:
            try:
                address = distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=":0",
                    silence_logs=50,
                )
            except Exception as error:
                raise SweepError(f"the local Dask cluster does not start: {error}") from error
            stack.enter_context(address)
        try:
            client = stack.enter_context(distributed.Client(address, set_as_default=False))
        except OSError as error:
            raise SweepError(f"no Dask scheduler answers at {scheduler}: {error}") from None
        threads = sum(client.nthreads().values())
        if threads == 0:
            raise SweepError(f"the Dask scheduler at {scheduler} has no workers")
        yield DaskExecutor(client), threads, (distributed.KilledWorker, WorkerLost)
