"""Verifying a run: made again from its own configuration, it must come out the same, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from simcore.experiment import Experiment
from simcore.result import Result, format_value
from simcore.simulation import simulate
from simcore.units import format_ns

__all__ = ["Difference", "first_difference", "verify"]


@dataclass(frozen=True)
class Difference:
    """Where two runs part.

    Attributes:
        what: the series (or the result) that differs first; None when only the final state does.
        time_ns: simulated time of the first difference; None for a result that is no series.
        kept: value in the run directory; None when it has none.
        again: value when made again; None when there is none.
    """

    what: str | None
    time_ns: int | None
    kept: Any
    again: Any

    def __str__(self) -> str:
        if self.what is None:
            return "the fingerprint differs, but nothing that was kept: the final state, or a series not kept"
        place = "" if self.time_ns is None else f" at {format_ns(self.time_ns)} ({self.time_ns} ns)"
        kept, again = (_shown(self.what, value) for value in (self.kept, self.again))
        return f"{self.what}{place} was {kept}, is now {again}"


def verify(directory: Path | str) -> Difference | None:
    """Make a run again from its `config.yaml` and compare.

    Args:
        directory: a run directory.

    Returns:
        None when the fingerprints are equal, else where the runs part.

    Raises:
        OutputError: no whole run is there.
        ConfigError: its configuration cannot be used any more.
    """
    kept = Result.open(directory)
    again = simulate(Experiment.from_mapping(kept.config))
    if again.fingerprint == kept.fingerprint:
        return None
    return first_difference(kept, again)


def first_difference(kept: Result, again: Result) -> Difference:
    """Return the earliest difference of two results: in their series, else in their summaries."""
    found = [
        difference
        for name in sorted({*kept.series.names, *again.series.names})
        if (difference := _series_difference(name, kept, again)) is not None
    ]
    if found:
        return min(found, key=lambda difference: -1 if difference.time_ns is None else difference.time_ns)
    return next(_summary_differences(kept, again), Difference(None, None, None, None))


def _series_difference(name: str, kept: Result, again: Result) -> Difference | None:
    if name not in kept.series or name not in again.series:
        return Difference(
            f"series {name}", None, _presence(name in kept.series), _presence(name in again.series)
        )
    times = np.union1d(kept.series.time_ns, again.series.time_ns)
    for column in (name, f"{name}.min", f"{name}.max"):
        if not all(column in result.series.table.column_names for result in (kept, again)):
            continue
        before, after = _held(kept, column, times), _held(again, column, times)
        unequal = before != after
        if before.dtype.kind == "f" and after.dtype.kind == "f":
            unequal &= ~(np.isnan(before) & np.isnan(after))
        places = np.flatnonzero(unequal)
        if places.size:
            place = places[0]
            return Difference(column, int(times[place]), before[place].item(), after[place].item())
    return None


def _held(result: Result, column: str, times: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return the value that a series holds at each of the times."""
    rows = np.searchsorted(result.series.time_ns, times, side="right") - 1
    held: npt.NDArray[Any] = result.series.to_numpy()[column][np.maximum(rows, 0)]
    return held


def _summary_differences(kept: Result, again: Result) -> Iterator[Difference]:
    for name in sorted({*kept.values, *again.values} - {"fingerprint", "events", "wall_s", "name"}):
        before, after = kept.values.get(name), again.values.get(name)
        if before != after:
            yield Difference(name, None, before, after)
    for name, statistics in kept.summary["statistics"].items():
        others = again.summary["statistics"].get(name, {})
        for key, before in statistics.items():
            if before != others.get(key) and before == before:  # noqa: PLR0124  (NaN differs from itself)
                yield Difference(f"{key}({name})", None, before, others.get(key))


def _presence(there: bool) -> str:
    return "there" if there else "missing"


def _shown(name: str, value: Any) -> str:
    """Return a value as people read it and, where that rounds, exactly too."""
    text, exact = format_value(name, value), str(value)
    return text if text == exact else f"{text} ({exact})"
