"""What every workload shares: its configuration, its start, its report of how it ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import simpy
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from models.kernel.entities import Mapping, SecretFile
from models.kernel.errors import KernelRefusal
from models.kernel.limits import User
from models.workloads.looks import touch_and_look
from models.workloads.system import System
from models.workloads.thread import Thread
from models.workloads.waits import Killed, Wait
from simcore.units import Nanoseconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Count", "Looker", "Positive", "Rate", "Wait", "Workload", "WorkloadConfig"]

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]


_PERIODS_S = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _read_rate(given: Any) -> Any:
    """Read ``20/h`` as a number per second.

    Raises:
        ValueError: it is no number by s, min, h or d.
    """
    if not isinstance(given, str):
        return given
    number, slash, period = given.partition("/")
    try:
        return float(number) / _PERIODS_S[period.strip()] if slash else float(number)
    except (KeyError, ValueError):
        raise ValueError(f"a rate is a number per second, or like 20/h (s, min, h, d), got {given!r}") from None


Rate = Annotated[float, BeforeValidator(_read_rate), Field(gt=0)]
"""Per second; ``20/h`` and the like will do."""


class WorkloadConfig(BaseModel):
    """Keys that every workload has.

    Attributes:
        kind: which workload it is.
        user: whose processes; a name under ``users``, or one with default limits.
        start: when it begins.
        rate: operations (files, tasks, steps) begun per second at the most; None: as fast as it can.
        sample_at: numbers of operations (of pages, for one file) after which it reads the kernel's counters in /proc;
            it also does so between its phases when there are any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    user: str = "user"
    start: Nanoseconds = 0
    rate: Rate | None = None
    sample_at: tuple[Count, ...] = ()


class Looker(Protocol):
    """Looks at what a task has done: the task's own calls, which take its time."""

    def look_up(self, done: str) -> Iterable[int]:
        """Look at all that is new when something has been done; returns how long each call takes, in ns."""

    def page_times(self, mapping: Mapping) -> NDArray[np.int64]:
        """How long the call takes that looks at a page of a mapping as soon as it is there, for each page, in ns."""


class Workload(ABC):
    """A workload: processes that call the kernel.

    Attributes:
        name: its key under ``workloads``.
        system: kernel, CPUs and time.
        user: whose processes these are.
        random: its own stream of random numbers.
        progress: what it has done so far, by name; becomes part of the summary.
        beginners: called with a label and a CPU when it begins to read the kernel's counters, before that takes time.
        readers: called with a label when it has read the kernel's counters.
        watchers: called with each secret file when it has been filled.
        leavers: called with a thread that has woken another one and goes to sleep; generators, that take their time.
        looker: looks at what the task has done, which takes the task's time.
    """

    Config: type[WorkloadConfig]
    COUNTS: ClassVar[tuple[str, ...]] = (
        "tasks", "files", "secret_pages", "killed_SIGBUS", "killed_SIGKILL",
        "refused_EAGAIN", "refused_EMFILE", "refused_ENOMEM", "refused_ENOSYS",
    )  # fmt: skip
    """What workloads may count; conditions find 0 for what did not happen."""

    def __init__(
        self, name: str, system: System, user: User, config: Any, random: np.random.Generator
    ) -> None:
        self.name = name
        self.system = system
        self.user = user
        user.workloads += 1
        self.config = config
        self.random = random
        self.progress: dict[str, int] = {}
        self.beginners: list[Callable[[str, int], None]] = []
        self.readers: list[Callable[[str], None]] = []
        self.watchers: list[Callable[[SecretFile], None]] = []
        self.leavers: list[Callable[[Thread], Wait]] = []
        self.looker: Looker | None = None
        self._sample_at = frozenset(config.sample_at)

    def process(self) -> Wait:
        """The workload's life: wait for its start, run, end its first task."""
        yield self.system.env.timeout(self.config.start)
        task = self.system.kernel.first_task(self.user)
        thread = Thread(self.system, task)
        task.process = self.system.env.active_process
        try:
            yield from thread.run()
            yield from self.run(thread)
        except KernelRefusal as refusal:
            self.count(f"refused_{refusal.name}")
        except Killed as death:
            self.died(death.signal)
        except simpy.Interrupt as interrupt:
            self.died(str(interrupt.cause))
        task.process = None
        yield from thread.exit()

    def died(self, signal: str) -> None:
        """Count a task that a signal has ended."""
        self.system.note_death(signal)
        self.count(f"killed_{signal}")

    def count(self, what: str, number: int = 1) -> None:
        """Add to what the workload has done."""
        self.progress[what] = self.progress.get(what, 0) + number

    def paced(self, thread: Thread, begun: int) -> Wait:
        """Wait until the next operation may begin under the workload's rate."""
        if self.config.rate is None:
            return
        due_ns = self.config.start + round(begun * 1e9 / self.config.rate)
        env = self.system.env
        if due_ns > env.now:
            thread.sleep()
            yield env.timeout(due_ns - env.now)
            yield from thread.run()

    def sample(self, thread: Thread, label: str, done: int | None = None) -> Wait:
        """Read the kernel's counters, if the configuration wants that.

        Args:
            label: what has just been done.
            done: operations done so far; None: the counters are read between two phases.
        """
        if done in self._sample_at if done is not None else self._sample_at:
            yield from self.look_at(thread, label)
            self.system.kernel.read_counters(thread.task, thread.cpu)
            for beginner in self.beginners:
                beginner(label, thread.cpu)
            yield from thread.spend()
            # It tells what it has read, and waits until that is written.
            self.system.switches += 1
            for reader in self.readers:
                reader(label)

    def look_into_proc(self, thread: Thread) -> Wait:
        """Open the counters in /proc for the first time, if the configuration wants them read."""
        if self._sample_at:
            self.system.kernel.read_proc(thread.cpu)
            yield from thread.spend()

    def filled(self, file: SecretFile) -> None:
        """Tell those who watch that a file has all its pages."""
        for watcher in self.watchers:
            watcher(file)

    def touch_secret(self, thread: Thread, mapping: Mapping, pages: int = 1) -> Wait:
        """Fault in the next pages of a secret mapping; who looks at pages looks at each as soon as it is there."""
        if self.looker is None:
            return thread.touch_secret(mapping, pages)
        times = self.looker.page_times(mapping)
        return touch_and_look(thread, mapping, times[mapping.touched : mapping.touched + pages])

    def look_at(self, thread: Thread, done: str) -> Wait:
        """Make the calls that look at what has been done, one after the other."""
        for spent_ns in self.looker.look_up(done) if self.looker is not None else ():
            self.system.kernel.spent_ns += spent_ns
            yield from thread.spend()

    def hold(self, thread: Thread, delay_ns: int) -> Wait:
        """Sleep, without a CPU."""
        thread.sleep()
        yield self.system.env.timeout(delay_ns)
        yield from thread.run()

    @abstractmethod
    def run(self, thread: Thread) -> Wait:
        """What the first task does, on a CPU."""
