"""CPUs beside whose threads kswapd is woken."""

from __future__ import annotations

from collections.abc import Callable

from models.workloads.cpus import Cpus

__all__ = ["WatchedCpus"]


class WatchedCpus(Cpus):
    """CPUs that somebody looks at whenever a thread asks whether it should give way, or does.

    Attributes:
        look: called then.
    """

    slice_ns = 0
    look: Callable[[], None] | None = None

    def _look(self) -> None:
        if self.look is not None:
            self.look()

    def gives_way(self, since_ns: int) -> bool:
        """See `Cpus.gives_way`."""
        self._look()
        return super().gives_way(since_ns)

    def release(self, cpu: int, *, sleeps: bool = True) -> None:
        """See `Cpus.release`."""
        self._look()
        super().release(cpu, sleeps=sleeps)
