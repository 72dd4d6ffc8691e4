"""What tasks and CPUs do, told to a trace: which task has a CPU, in which operation it is, what interrupts cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from simcore.trace import Trace

if TYPE_CHECKING:
    from models.kernel.entities import Task
    from models.kernel.kernel import Kernel

__all__ = ["OPERATIONS", "Tracer"]

OPERATIONS: Final = (
    "fork", "start", "exit", "reap", "memfd_secret", "ftruncate", "mmap", "munmap", "close", "fault", "map_ordinary",
    "write_pipe",
)  # fmt: skip
"""Methods of the kernel that a trace shows by name."""


class Tracer:
    """Reports of threads, turned into slices.

    A CPU's track shows the tasks that have it, in each of them its operations, and in those the time that flushes of
    other CPUs took from it, which a CPU pays when its operation ends. A task's track shows its operations, and when it
    waited for a CPU.
    """

    def __init__(self, trace: Trace, kernel: Kernel, cpus: int) -> None:
        """Report to ``trace``; from now on the kernel says which operation it is in."""
        self._trace = trace
        self._cpus = [trace.track("CPUs", f"CPU {cpu}") for cpu in range(cpus)]
        self._numbers: dict[Task, int] = {}
        self._running: dict[int, tuple[int, int]] = {}  # task's track and since when, by CPU
        self._operations: list[str] = []
        self._depth = 0
        for name in OPERATIONS:
            setattr(kernel, name, self._named(name, getattr(kernel, name)))

    def _named(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def named(*arguments: Any, **options: Any) -> Any:
            if self._depth == 0:
                self._operations.append(name)
            self._depth += 1
            try:
                return method(*arguments, **options)
            finally:
                self._depth -= 1

        return named

    def got_cpu(self, task: Task, cpu: int, asked_ns: int, now_ns: int) -> None:
        """A task has a CPU from now on; it asked for one at ``asked_ns``."""
        track = self._track(task)
        if asked_ns < now_ns:
            self._trace.add(track, "waits for a CPU", asked_ns, now_ns)
        self._running[cpu] = (track, now_ns)

    def left_cpu(self, task: Task, cpu: int, now_ns: int) -> None:
        """A task gives its CPU up."""
        track, began_ns = self._running.pop(cpu, (-1, now_ns))
        if track >= 0:
            self._trace.add(self._cpus[cpu], f"{task.user.name}: task {self._numbers[task]}", began_ns, now_ns)

    def operation(self) -> str:
        """What the kernel was asked for since this was last called; to be called before time passes."""
        what = " + ".join(dict.fromkeys(self._operations)) or "kernel"
        self._operations.clear()
        return what

    def worked(self, task: Task, cpu: int, begin_ns: int, end_ns: int, name: str, pages: int = 0) -> None:
        """A task was in an operation, which touched so many pages."""
        arguments = {"pages": pages} if pages else None
        self._trace.add(self._cpus[cpu], name, begin_ns, end_ns, arguments)
        self._trace.add(self._track(task), name, begin_ns, end_ns, arguments)

    def interrupted(self, cpu: int, begin_ns: int, end_ns: int) -> None:
        """A CPU pays for the flushes that interrupted its operation."""
        self._trace.add(self._cpus[cpu], "flush interrupts", begin_ns, end_ns)

    def _track(self, task: Task) -> int:
        number = self._numbers.setdefault(task, len(self._numbers) + 1)
        return self._trace.track("tasks", f"{task.user.name}: task {number}")
