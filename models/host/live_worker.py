"""Starting the worker, waiting for it, and making sure that it is gone: on errors and signals too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from simcore.errors import SimcoreError

__all__ = ["RUN_OF", "WorkerError", "ask_worker"]

RUN_OF = "SIMCORE_LIVE_RUN_OF"
"""Environment variable of every process of a live run: who started it."""
_ROOT = Path(__file__).resolve().parents[2]


class WorkerError(SimcoreError):
    """The worker did not come to its end."""


class _Interrupted(BaseException):
    """A signal asks the run to end; not an error, so that nothing on the way takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def ask_worker(request: Mapping[str, Any], before: Callable[[], None] | None = None) -> dict[str, Any]:
    """Let a worker serve a request.

    Args:
        request: what `models.host.worker` takes.
        before: called when the worker has all it needs and waits, just before it begins.

    The worker leads a session of its own. However this function ends, the whole session is killed and collected before
    it does; if this process is killed itself, the kernel kills the worker, and its children with it.

    Raises:
        WorkerError: It died: by a signal (SIGBUS: no memory, or a limit at the fault), or with an error of its own.
        KeyboardInterrupt: SIGINT or SIGTERM came meanwhile.
    """
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(_ROOT), "LC_ALL": "C"}
    environment[RUN_OF] = str(os.getpid())
    try:
        with _signals():
            # Without site packages it is smaller; it needs none.
            worker = subprocess.Popen(
                [sys.executable, "-S", "-m", "models.host.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=environment, start_new_session=True,
            )  # fmt: skip
            try:
                assert worker.stdin is not None
                assert worker.stdout is not None
                worker.stdin.write((json.dumps({**request, "parent": os.getpid()}) + "\n").encode())
                worker.stdin.flush()
                if worker.stdout.readline() == b"ready\n" and before is not None:
                    before()
                output, errors = worker.communicate(b"go\n")
            finally:
                _end(worker)
    except _Interrupted as interrupted:
        raise KeyboardInterrupt(f"signal {signal.Signals(interrupted.number).name}") from None
    if worker.returncode < 0:
        name = signal.Signals(-worker.returncode).name
        why = ": no memory for a secret page, or a limit at the fault" if name == "SIGBUS" else ""
        raise WorkerError(f"the worker was ended by {name}{why}; everything that it took is given back")
    if worker.returncode:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise WorkerError(f"the worker failed: {last[0]}; everything that it took is given back")
    answer: dict[str, Any] = json.loads(output)
    return answer


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Kill the worker's session and collect the worker; its children die with it."""
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    for stream in (worker.stdin, worker.stdout, worker.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()


@contextmanager
def _signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into an exception, once; only a process's main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised = False

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise _Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
