"""Worker processes: results and errors come back, deaths are noticed, nothing outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from simcore.errors import ConfigError
from simcore.sweep.errors import WorkerLost
from simcore.sweep.processes import Child, ProcessExecutor
from tests.simcore.sweep.sweep_models import compile_spin, spin


def unpicklable() -> object:
    return lambda: None


def raise_config_error() -> None:
    raise ConfigError("no", key="a.b", line=3, file="x.yaml")


def end_with(code: int) -> None:
    os._exit(code)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def gone(pid: int) -> bool:
    """Return whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return gone(pid)


def test_child_answers_and_raises() -> None:
    """Results come back, errors too, and the child lives on after them."""
    child = Child()
    assert child.call(os.getpid) == child.pid != os.getpid()
    with pytest.raises(ZeroDivisionError):
        child.call(divmod, 1, 0)
    with pytest.raises(RuntimeError, match="function"):
        child.call(unpicklable)
    assert child.call(divmod, 7, 2) == (3, 1)
    child.close()
    assert gone(child.pid)


def test_a_call_that_takes_too_long_is_killed_even_in_compiled_code() -> None:
    """A loop that never returns to Python does not outlive its timeout."""
    child = Child()
    with pytest.raises(TimeoutError):
        child.call(time.sleep, 3600, timeout_s=0.05)
    assert gone(child.pid)
    child = Child()
    child.call(compile_spin)
    with pytest.raises(TimeoutError):
        child.call(spin, timeout_s=0.5)
    assert gone(child.pid)
    assert not child.alive


@pytest.mark.parametrize(("function", "arguments", "cause"), [(kill_self, (), "SIGKILL"), (end_with, (7,), "code 7")])
def test_the_death_of_a_child_is_told_with_its_cause(function: object, arguments: tuple[int, ...], cause: str) -> None:
    child = Child()
    with pytest.raises(WorkerLost, match=cause):
        child.call(function, *arguments)  # type: ignore[arg-type]


def test_a_child_dies_with_its_parent() -> None:
    """When the parent is killed, a child in an endless compiled loop goes too."""
    code = (
        "import os, threading, time\n"
        "from simcore.sweep.processes import Child\n"
        "from tests.simcore.sweep.sweep_models import compile_spin, spin\n"
        "child = Child()\n"
        "child.call(os.getpid)\n"
        "threading.Thread(target=child.call, args=(spin,), daemon=True).start()\n"
        "time.sleep(0.2)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not gone(pid)
    parent.kill()
    parent.wait()
    assert wait_until_gone(pid)


def test_a_lost_worker_fails_one_call_only() -> None:
    """All other calls succeed, also those that were queued behind it."""
    with ProcessExecutor(2) as executor:
        futures = [executor.submit(abs, -number) for number in range(10)]
        lost = executor.submit(kill_self)
        futures += [executor.submit(abs, -number) for number in range(10, 20)]
        assert [future.result() for future in futures] == list(range(20))
        assert isinstance(lost.exception(), WorkerLost)


def test_errors_keep_what_they_tell() -> None:
    with ProcessExecutor(1) as executor:
        error = executor.submit(raise_config_error).exception()
    assert isinstance(error, ConfigError)
    assert "no" in str(error)


def test_workers_end_with_the_executor() -> None:
    """After shutdown no process is left, and no more calls are taken."""
    executor = ProcessExecutor(2)
    wait([executor.submit(time.sleep, 0.05) for _ in range(4)])
    pids = executor.pids
    assert len(pids) == 2
    executor.shutdown()
    assert all(gone(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(abs, 1)


def test_kill_ends_running_calls() -> None:
    """An interrupted sweep need not wait for long runs."""
    executor = ProcessExecutor(1)
    started = executor.submit(os.getpid).result()
    endless = executor.submit(time.sleep, 3600)
    while not endless.running():
        time.sleep(0.01)
    executor.kill()
    assert isinstance(endless.exception(timeout=60), WorkerLost)
    assert wait_until_gone(started)
    executor.shutdown()
