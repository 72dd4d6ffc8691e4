"""Where tasks were when they forked and began."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from models.host.recorded_schedule import Placement
from models.kernel.entities import Task
from models.kernel.kernel import Kernel


class Places:
    """CPUs of parents at their forks, and on which children began, in that order."""

    def __init__(self) -> None:
        self.parents, self.children = list[int](), list[int]()

    @property
    def placement(self) -> Placement:
        """Both as a recording tells them."""
        return Placement(tuple(self.children), tuple(self.parents))


@contextmanager
def watched() -> Iterator[Places]:
    """Note the CPUs of all that fork and begin meanwhile."""
    places, fork, start = Places(), Kernel.fork, Kernel.start

    def forked(kernel: Kernel, task: Task, cpu: int) -> Task:
        places.parents.append(cpu)
        return fork(kernel, task, cpu)

    def started(kernel: Kernel, task: Task, cpu: int) -> None:
        places.children.append(cpu)
        start(kernel, task, cpu)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "fork", forked)
        patch.setattr(Kernel, "start", started)
        yield places
