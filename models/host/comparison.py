"""What a comparison of the model with a recording says: agreement, series, and where it first differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Comparison", "Divergence", "Options", "Row", "Series", "Worst"]


@dataclass(frozen=True)
class Options:
    """What every mode of comparison may be told.

    Attributes:
        placements: How often the unknown order of the free lists is drawn.
        seed: Of the named stream that it is drawn from.
        schedule: What a simulation is given of who ran when: as ``recorded``, or nothing (``own``).
    """

    placements: int = 20
    seed: int = 0
    schedule: Literal["recorded", "own"] = "recorded"


@dataclass(frozen=True)
class Worst:
    """The sample that is furthest off: label, both values, how far apart they may be (None: no limit)."""

    label: str
    simulated: float
    recorded: float
    allowed: float | None


@dataclass(frozen=True)
class Row:
    """Agreement in one respect.

    Attributes:
        what: E.g. ``allocations`` or ``level2_splits``.
        exact: How many of ``total`` agree exactly.
        total: How many there are.
        required: What is asked, in words; empty when nothing is.
        passed: Whether it is met.
        worst: The sample that is furthest off, for values that are compared sample by sample.
    """

    what: str
    exact: int
    total: int
    required: str
    passed: bool
    worst: Worst | None = None

    @classmethod
    def counted(cls, what: str, exact: int, total: int, required: float | None = 1.0) -> Row:
        """Return a row of which the share ``required`` must agree exactly (None: nothing is asked).

        Raises:
            ValueError: More agree than there are.
        """
        if not 0 <= exact <= total:
            raise ValueError(f"{what}: {exact} of {total} agree")
        if required is None:
            return cls(what, exact, total, "", True)
        asked = "all" if required == 1.0 else f"{required:.0%}"
        return cls(what, exact, total, asked, exact >= required * total)

    @property
    def cell(self) -> str:
        """The row as a cell of a table."""
        if self.worst is None:
            return f"{self.exact}/{self.total}"
        return f"{_number(self.worst.simulated)} for {_number(self.worst.recorded)}"


@dataclass(frozen=True)
class Series:
    """Simulated over recorded values at the samples.

    Attributes:
        name: As in `Row.what`.
        time_ns: int64[n], recorded times of the samples.
        recorded: float64[n], NaN where it is not known.
        simulated: float64[n]; the median when there are several runs.
        low: float64[n], least of several runs; None for a single run.
        high: float64[n], greatest of several runs; None for a single run.
    """

    name: str
    time_ns: NDArray[np.int64]
    recorded: NDArray[np.float64]
    simulated: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Divergence:
    """The first place where the model does something else.

    Attributes:
        where: The event index or list, in words.
        recorded: What the recording says there.
        simulated: What the model says.
        states: Title to text, both states around the place.
    """

    where: str
    recorded: str
    simulated: str
    states: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.where}: recorded {self.recorded}; model {self.simulated}"]
        for title, text in self.states.items():
            lines += [f"  {title}:", *(f"    {line}" for line in text.splitlines())]
        return "\n".join(lines)


@dataclass(frozen=True)
class Comparison:
    """The outcome of one mode on one recording.

    Attributes:
        mode: ``replay``, ``simulate`` or ``counters``.
        recording: Name of the recording.
        rows: Agreement, one row for each respect.
        tolerance: What is asked, in words.
        series: For plots; may be empty.
        first_divergence: None when there is none, or when the mode does not look for one.
        schedule: Whose schedule was simulated, as in `Options`; empty in other modes.
        given: What the model was given beside the start and the workload, in words; empty: nothing.
    """

    mode: str
    recording: str
    rows: Sequence[Row]
    tolerance: str
    series: Sequence[Series] = ()
    first_divergence: Divergence | None = None
    schedule: str = ""
    given: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every row is within its tolerance and nothing diverged."""
        return self.first_divergence is None and all(row.passed for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for programs; series as lists, unknown values as None."""
        divergence = self.first_divergence
        return {
            "mode": self.mode,
            "recording": self.recording,
            "passed": self.passed,
            "tolerance": self.tolerance,
            "schedule": self.schedule,
            "given": list(self.given),
            "rows": [asdict(row) for row in self.rows],
            "first_divergence": None
            if divergence is None
            else {**vars(divergence), "states": dict(divergence.states)},
            "series": {
                one.name: {name: _plain(values) for name, values in vars(one).items() if name != "name"}
                for one in self.series
            },
        }


def _plain(values: NDArray[Any] | None) -> list[float | None] | None:
    if values is None:
        return None
    return [None if isinstance(value, float) and np.isnan(value) else value for value in values.tolist()]


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"
