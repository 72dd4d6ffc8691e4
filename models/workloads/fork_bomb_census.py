"""How many tasks of a fork bomb are where, and the events that others wait for until they are."""

from __future__ import annotations

from simcore.environment import Environment

__all__ = ["Census"]


class Census:
    """The tasks of one bomb, without the forking one.

    Attributes:
        begun: tasks forked so far.
        alive: tasks that have not ended; those of a brood count for themselves.
        growing: tasks that do not have their pages yet, and the forking one as long as it forks.
        freed: tasks that have freed their ordinary memory.
        all_there: everybody has its pages, or has died trying.
        all_freed: every task has freed its ordinary memory.
        may_end: tasks that have freed it may end.
        all_gone: none is alive any more.
    """

    def __init__(self, env: Environment) -> None:
        self.begun = self.alive = self.freed = 0
        self.growing = 1
        self.all_there, self.all_freed, self.may_end, self.all_gone = (env.event() for _ in range(4))

    def fork(self) -> None:
        """A task has been forked."""
        self.begun += 1
        self.alive += 1
        self.growing += 1

    def stand_up(self) -> int:
        """A task has its pages and forks no more, or has died trying; returns how many still grow."""
        self.growing -= 1
        return self.growing

    def free(self) -> None:
        """A task has freed its ordinary memory."""
        self.freed += 1
        self._look_for_freed()

    def end(self, *, in_phases: bool) -> None:
        """A task has ended."""
        self.alive -= 1
        if in_phases and self.alive:
            self._look_for_freed()
        if self.alive == 0 and self.all_there.triggered:
            self.all_gone.succeed()

    def let_go(self) -> None:
        """Nobody waits for tasks any longer, and they wait for nobody."""
        for event in (self.all_there, self.may_end):
            if not event.triggered:
                event.succeed()

    def _look_for_freed(self) -> None:
        if self.freed == self.alive and not self.all_freed.triggered:
            self.all_freed.succeed()
