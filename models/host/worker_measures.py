"""What calibration measures, made with real system calls in the worker; every figure is nanoseconds per operation."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

from models.host.system_calls import die_with_parent, memfd_secret

__all__ = ["measure"]

PAGE = mmap.PAGESIZE
_COLD_BYTES = 64 << 20
_SYSTEM_CALLS = 20_000
_FORKS = 24
_FILES = 64
_now = time.thread_time_ns
"""Own time on the CPU: what others take of it is not part of an operation's cost."""
_wall = time.perf_counter_ns


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Return each figure's value in every round.

    Args:
        request: ``rounds``, ``pages`` of a secret file, ``cpu`` to stay on, ``others``: CPUs that may be kept busy.
    """
    os.sched_setaffinity(0, {request["cpu"]})
    pages, others = request["pages"], request["others"]
    figures: dict[str, list[float]] = {}

    def add(name: str, value: float | None) -> None:
        if value is not None and value > 0:
            figures.setdefault(name, []).append(value)

    # First, while there are regions that are not at 4K: afterwards these pages' regions are.
    for name, values in _single_faults(pages).items():
        for value in values:
            add(name, value)
    _secret_round(pages)
    for _ in range(request["rounds"]):
        add("null_syscall", _system_call())
        add("ordinary_fault", _touched(_anonymous(pages), pages))
        add("shared_fault", _touched(_shared(pages), pages))
        hot, cold = _clears()
        add("page_clear_hot", hot)
        add("page_clear_cold", cold)
        for name, value in _secret_round(pages).items():
            add(name, value)
        for busy in range(1, len(others) + 1):
            with _busy(others[:busy]):
                add(f"secret_fault_busy_{busy}", _secret_round(pages)["secret_fault"])
        for name, value in _forks().items():
            add(name, value)
        for name, value in _open_files().items():
            add(name, value)
    return {"figures": figures}


def _system_call() -> float:
    def loop(call: Callable[[], Any]) -> float:
        began = _now()
        for _ in repeat(None, _SYSTEM_CALLS):
            call()
        return (_now() - began) / _SYSTEM_CALLS

    return loop(os.getppid) - loop(int)


def _anonymous(pages: int) -> mmap.mmap:
    memory = mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


def _shared(pages: int) -> mmap.mmap:
    return mmap.mmap(-1, pages * PAGE)


def _write(memory: mmap.mmap, pages: int) -> int:
    began = _now()
    for offset in range(0, pages * PAGE, PAGE):
        memory[offset] = 1
    return _now() - began


def _touched(memory: mmap.mmap, pages: int) -> float:
    """Time of a first touch, less that of a second one, which takes no fault."""
    first = _write(memory, pages)
    second = _write(memory, pages)
    memory.close()
    return (first - second) / pages


def _clears() -> tuple[float, float]:
    memory = mmap.mmap(-1, _COLD_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    anchor = ctypes.c_char.from_buffer(memory)
    base, pages = ctypes.addressof(anchor), _COLD_BYTES // PAGE
    ctypes.memset(base, 1, _COLD_BYTES)

    def clear(step: int) -> float:
        began = _now()
        for number in range(pages):
            ctypes.memset(base + number * step, 0, PAGE)
        return (_now() - began) / pages

    def call() -> float:
        began = _now()
        for _ in range(pages):
            ctypes.memset(base, 0, 0)
        return (_now() - began) / pages

    overhead = call()
    hot, cold = clear(0) - overhead, clear(PAGE) - overhead
    del anchor
    memory.close()
    return hot, cold


def _secret_round(pages: int) -> dict[str, float]:
    """One secret file: touched, unmapped, closed; per page."""
    file = memfd_secret()
    os.ftruncate(file, pages * PAGE)
    memory = mmap.mmap(file, pages * PAGE)
    fault = _write(memory, pages) - _write(memory, pages)
    began = _now()
    memory.close()
    unmapped = _now()
    os.close(file)
    closed = _now()
    return {
        "secret_fault": fault / pages, "munmap_page": (unmapped - began) / pages,
        "free_page": (closed - unmapped) / pages,
    }  # fmt: skip


def _open_files() -> dict[str, float]:
    """System calls of secret files that are never touched."""
    took = {"memfd_secret": 0, "ftruncate": 0, "mmap": 0}
    for _ in range(_FILES):
        began = _now()
        file = memfd_secret()
        opened = _now()
        os.ftruncate(file, PAGE)
        sized = _now()
        memory = mmap.mmap(file, PAGE)
        mapped = _now()
        memory.close()
        os.close(file)
        took["memfd_secret"] += opened - began
        took["ftruncate"] += sized - opened
        took["mmap"] += mapped - sized
    return {name: total / _FILES for name, total in took.items()}


def _single_faults(pages: int) -> dict[str, list[float]]:
    """Faults one by one, told apart by what they split."""
    vmstat = os.open("/proc/vmstat", os.O_RDONLY | os.O_CLOEXEC)

    def splits() -> tuple[int, int]:
        found = {}
        for line in os.pread(vmstat, 1 << 16, 0).splitlines():
            if line.startswith(b"direct_map_level"):
                name, value = line.split()
                found[name] = int(value)
        return found.get(b"direct_map_level2_splits", 0), found.get(b"direct_map_level3_splits", 0)

    figures: dict[str, list[float]] = {"fault_with_2m_split": [], "fault_with_1g_and_2m_split": []}
    file = memfd_secret()
    os.ftruncate(file, pages * PAGE)
    with mmap.mmap(file, pages * PAGE) as memory:
        before = splits()
        for number in range(pages):
            began = _now()
            memory[number * PAGE] = 1
            took = _now() - began
            after = splits()
            if after[0] == before[0] + 1:
                figures["fault_with_1g_and_2m_split" if after[1] > before[1] else "fault_with_2m_split"].append(took)
            before = after
    os.close(file)
    os.close(vmstat)
    return figures


def _forks() -> dict[str, float]:
    """A process that ends at once: what the parent waits for in fork, and until it has collected the child.

    Medians: on a busy machine some of them wait for others' time slices.
    """
    fork, whole = [], []
    for _ in range(_FORKS):
        began = _wall()
        child = os.fork()
        if child == 0:
            os._exit(0)
        fork.append(_wall() - began)
        os.waitpid(child, 0)
        whole.append(_wall() - began)
    return {"fork": sorted(fork)[_FORKS // 2], "fork_exit_wait": sorted(whole)[_FORKS // 2]}


@contextmanager
def _busy(cpus: list[int]) -> Iterator[None]:
    """Keep other CPUs busy with a loop each."""
    parent, spinners = os.getpid(), []
    try:
        for cpu in cpus:
            child = os.fork()
            if child == 0:
                die_with_parent(parent)
                os.sched_setaffinity(0, {cpu})
                while True:
                    pass
            spinners.append(child)
        time.sleep(0.02)
        yield
    finally:
        for child in spinners:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
