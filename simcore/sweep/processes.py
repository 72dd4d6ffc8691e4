"""Worker processes that can be killed one by one, and an executor over them.

`concurrent.futures.ProcessPoolExecutor` is not used here because the death of one of its processes fails
every pending call, and because it cannot end a call that takes too long.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from multiprocessing import Pipe
from typing import Any, TypeVar

from simcore.sweep.errors import WorkerLost

__all__ = ["Child", "ProcessExecutor"]

T = TypeVar("T")

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""One process per CPU is the parallelism; threads inside would only take it from each other."""


class Child:
    """A fresh interpreter that makes calls for this process, one at a time."""

    def __init__(self) -> None:
        self._connection, far = Pipe()
        environment = {
            **os.environ,
            **_ONE_THREAD,
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simcore.sweep.child", str(far.fileno()), str(os.getpid())],
            pass_fds=(far.fileno(),),
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        far.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def call(self, function: Callable[..., T], *arguments: Any, timeout_s: float | None = None) -> T:
        """Return what `function(*arguments)` returns in the child.

        Raises:
            TimeoutError: no answer within `timeout_s` seconds; the child has been killed.
            WorkerLost: the child died.
            Exception: whatever the function raised.
        """
        message = pickle.dumps((function, arguments))
        try:
            self._connection.send_bytes(message)
            if not self._connection.poll(timeout_s):
                self.kill()
                raise TimeoutError(f"no answer within {timeout_s:g} s")
            succeeded, result = pickle.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError):
            raise WorkerLost(self._cause()) from None
        if not succeeded:
            raise result
        answer: T = result
        return answer

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def interrupt(self) -> None:
        """End the process at once, from any thread; a call under way in another raises `WorkerLost`."""
        self._process.kill()

    def close(self) -> None:
        """Let the process end by itself; it does when the line closes, or with this process."""
        self._connection.close()
        self._process.wait()

    def _cause(self) -> str:
        code = self._process.wait()
        self._connection.close()
        if code < 0:
            return f"worker killed by {signal.Signals(-code).name}"
        return f"worker ended with exit code {code}"


class ProcessExecutor(Executor):
    """An executor over worker processes; a lost worker fails the one call it was making, and is replaced."""

    def __init__(self, workers: int) -> None:
        """Start `workers` threads, each of which minds one process."""
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = (
            queue.SimpleQueue()
        )
        self._closed = False
        self._children: dict[int, Child] = {}
        self._threads = [
            threading.Thread(target=self._mind, args=(number,), name=f"sweep-worker-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that have started."""
        return [child.pid for child in list(self._children.values()) if child.alive]

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call; functions and arguments must be picklable.

        Raises:
            RuntimeError: after shutdown.
        """
        if self._closed:
            raise RuntimeError("the executor is shut down")
        if kwargs:
            raise TypeError("keyword arguments are not sent to worker processes")
        future: Future[T] = Future()
        self._calls.put((future, fn, args))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Finish (or with `cancel_futures` drop) what is queued, and end the workers."""
        self._closed = True
        if cancel_futures:
            while True:
                try:
                    call = self._calls.get_nowait()
                except queue.Empty:
                    break
                if call is not None:
                    call[0].cancel()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def kill(self) -> None:
        """End all workers at once; the calls that they make fail with `WorkerLost`."""
        for child in list(self._children.values()):
            child.interrupt()

    def _mind(self, number: int) -> None:
        """Give one process call after call, and replace it when it dies."""
        while (call := self._calls.get()) is not None:
            future, function, arguments = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                child = self._children.get(number)
                if child is None or not child.alive:
                    child = self._children[number] = Child()
                future.set_result(child.call(function, *arguments))
            except BaseException as error:
                future.set_exception(error)
        if number in self._children:
            self._children.pop(number).close()
