"""When the timer ticks."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Ticks"]


@dataclass(frozen=True)
class Ticks:
    """Times of a timer's ticks.

    Attributes:
        period_ns: time between two ticks.
        first_ns: when it ticks first, and from then on in steps of its period.
        early_first_ns: the same for ticks up to `early_until_ns`, where a boot has set its timer otherwise.
        early_until_ns: when the timer is set anew; less than 0: it is not.
    """

    period_ns: int
    first_ns: int = 0
    early_first_ns: int = 0
    early_until_ns: int = -1

    def since(self, clock_ns: int) -> Ticks:
        """Return the same ticks in times that count from a time."""
        return replace(
            self,
            first_ns=self.first_ns - clock_ns,
            early_first_ns=self.early_first_ns - clock_ns,
            early_until_ns=self.early_until_ns - clock_ns,
        )

    def after(self, now_ns: int) -> int:
        """Return when it ticks next, in ns: later than a time, never at it."""
        early_ns = self._after(now_ns, self.early_first_ns)
        if early_ns <= self.early_until_ns:
            return early_ns
        return self._after(max(now_ns, self.early_until_ns), self.first_ns)

    def _after(self, now_ns: int, first_ns: int) -> int:
        return now_ns + self.period_ns - (now_ns - first_ns) % self.period_ns
