"""Sampling `/proc` from inside a live run, on the clock of its work: the time that sampling takes is left out."""

from __future__ import annotations

import os
import time
from typing import Any

__all__ = ["Sampler"]

_FILES = ("meminfo", "vmstat", "zoneinfo", "buddyinfo", "interrupts")


class Sampler:
    """Reads counters at steps of a workload; the text is kept and parsed after the run.

    Attributes:
        samples: What was read, with label, time in ns since the start, and what the workload says of itself.
        secret_pages: Secret pages held now.
        tasks: Tasks alive now, the first one included.
    """

    def __init__(self) -> None:
        self._files = {}
        for name in _FILES:
            try:
                self._files[name] = os.open(f"/proc/{name}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # the parent has said what is missing
        self.samples: list[dict[str, Any]] = []
        self.secret_pages = 0
        self.tasks = 1
        self._paused_ns = 0
        self._began_ns = time.perf_counter_ns()
        self._cpu_ns = self._cpu_paused_ns = 0

    def start(self) -> None:
        """Begin to count time; the first sample."""
        self._paused_ns = self._cpu_paused_ns = 0
        self._began_ns, self._cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        self.sample("start")

    def now_ns(self) -> int:
        """Return the time that the workload has worked."""
        return time.perf_counter_ns() - self._began_ns - self._paused_ns

    def sample(self, label: str) -> None:
        """Read the counters."""
        before_ns, cpu_before_ns = time.perf_counter_ns(), time.process_time_ns()
        cpu_ns = cpu_before_ns - self._cpu_ns - self._cpu_paused_ns
        time_ns = before_ns - self._began_ns - self._paused_ns
        texts = {name: os.pread(file, 1 << 20, 0).decode("ascii", "replace") for name, file in self._files.items()}
        self.samples.append(
            {
                "label": label,
                "time_ns": time_ns,
                "cpu_ns": cpu_ns,
                "secret_pages": self.secret_pages,
                "tasks": self.tasks,
                "files": texts,
            }
        )
        self._paused_ns += time.perf_counter_ns() - before_ns
        self._cpu_paused_ns += time.process_time_ns() - cpu_before_ns

    def pause(self, wait: Any) -> None:
        """Do something whose time does not count."""
        before_ns, cpu_before_ns = time.perf_counter_ns(), time.process_time_ns()
        wait()
        self._paused_ns += time.perf_counter_ns() - before_ns
        self._cpu_paused_ns += time.process_time_ns() - cpu_before_ns
