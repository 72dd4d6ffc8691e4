"""What happened when, as a file for ui.perfetto.dev: slices on tracks that a model reports, series as counters.

The format is the JSON of Chrome's trace viewer ("Trace Event Format", Google 2016): complete events (``X``) on tracks
(``tid``) in groups (``pid``), counters (``C``), names as metadata (``M``). Times are microseconds with three decimals,
so that every nanosecond survives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simcore.environment import NEVER_NS
from simcore.run_directory import write_atomically
from simcore.series import Series

__all__ = ["MAX_SLICES", "Slice", "Trace"]

MAX_SLICES = 500_000
_COUNTERS = "counters"


class Slice(NamedTuple):
    """Something that lasted.

    Attributes:
        begin_ns: When it began.
        lasted_ns: How long.
        track: On which track, as ``Trace.track`` numbered it.
        name: What it was.
        arguments: Further facts, by name.
    """

    begin_ns: int
    lasted_ns: int
    track: int
    name: str
    arguments: Mapping[str, int | str] | None


class Trace:
    """Slices of a run, within a window of simulated time.

    Attributes:
        begin_ns: Start of the window.
        end_ns: End of the window; slices that lie outside are not kept.
        dropped: Slices of the window for which there was no room.
    """

    def __init__(self, begin_ns: int = 0, end_ns: int = NEVER_NS, max_slices: int = MAX_SLICES) -> None:
        """Start an empty trace.

        Args:
            begin_ns: Start of the window.
            end_ns: End of the window.
            max_slices: How many slices are kept at most: the first ones.

        Raises:
            ValueError: The window is empty.
        """
        if not 0 <= begin_ns < end_ns:
            raise ValueError(f"a window from {begin_ns} ns to {end_ns} ns holds nothing")
        self.begin_ns = begin_ns
        self.end_ns = end_ns
        self.dropped = 0
        self.slices: list[Slice] = []
        self._max_slices = max_slices
        self._tracks: dict[tuple[str, str], int] = {}

    def track(self, group: str, name: str) -> int:
        """Return the number of a track, new or not."""
        return self._tracks.setdefault((group, name), len(self._tracks))

    def add(
        self, track: int, name: str, begin_ns: int, end_ns: int, arguments: Mapping[str, int | str] | None = None
    ) -> None:
        """Keep a slice if it touches the window. Slices of a track lie inside or beside each other."""
        if end_ns < self.begin_ns or begin_ns >= self.end_ns:
            return
        if len(self.slices) >= self._max_slices:
            self.dropped += 1
            return
        self.slices.append(Slice(begin_ns, end_ns - begin_ns, track, name, arguments))

    def write(self, path: Path, series: Series) -> Path:
        """Write the trace, with each series of the run as a counter.

        Raises:
            OutputError: The disk refuses.
        """
        write_atomically(path, lambda temporary: self._write(temporary, series))
        return path

    def _write(self, path: Path, series: Series) -> None:
        names = [_COUNTERS, *dict.fromkeys(group for group, _ in self._tracks)]
        groups = {group: number for number, group in enumerate(names, 1)}
        with path.open("w", encoding="utf-8") as file:
            file.write('{"displayTimeUnit":"ns","otherData":' + json.dumps({"dropped slices": self.dropped}))
            file.write(',"traceEvents":[\n')
            separator = ""
            for events in (self._names(groups), self._slices(groups), self._counters(groups, series)):
                for event in events:
                    file.write(separator + event)
                    separator = ",\n"
            file.write("\n]}\n")

    def _names(self, groups: Mapping[str, int]) -> Iterator[str]:
        for group, number in groups.items():
            yield _event(ph="M", pid=number, name="process_name", args={"name": group})
            yield _event(ph="M", pid=number, name="process_sort_index", args={"sort_index": number})
        used = {part.track for part in self.slices}
        for (group, name), number in self._tracks.items():
            if number not in used:
                continue
            yield _event(ph="M", pid=groups[group], tid=number, name="thread_name", args={"name": name})
            yield _event(ph="M", pid=groups[group], tid=number, name="thread_sort_index", args={"sort_index": number})

    def _slices(self, groups: Mapping[str, int]) -> Iterator[str]:
        group_of = {number: groups[group] for (group, _), number in self._tracks.items()}
        # Of slices that begin together the longest comes first: it holds the others.
        for part in sorted(self.slices, key=lambda part: (part.begin_ns, -part.lasted_ns)):
            arguments = "" if part.arguments is None else f',"args":{json.dumps(dict(part.arguments))}'
            yield (
                f'{{"ph":"X","pid":{group_of[part.track]},"tid":{part.track},"ts":{_us(part.begin_ns)},'
                f'"dur":{_us(part.lasted_ns)},"name":{json.dumps(part.name)}{arguments}}}'
            )

    def _counters(self, groups: Mapping[str, int], series: Series) -> Iterator[str]:
        """Yield every change of every series in the window, and its value at the window's start."""
        pid, times = groups[_COUNTERS], series.time_ns
        if len(times) == 0:
            return
        first = max(int(np.searchsorted(times, self.begin_ns, side="right")) - 1, 0)
        last = int(np.searchsorted(times, self.end_ns, side="left"))
        for name in series:
            values = series[name][first:last]
            known = ~np.isnan(values)
            changed = known & np.append(True, values[1:] != values[:-1])
            label = json.dumps(name)
            for place in np.flatnonzero(changed).tolist():
                time_ns = max(int(times[first + place]), self.begin_ns)
                value = values[place].item()
                yield f'{{"ph":"C","pid":{pid},"ts":{_us(time_ns)},"name":{label},"args":{{"value":{value}}}}}'


def _event(**fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _us(time_ns: int) -> str:
    """Return nanoseconds as microseconds, exactly."""
    return f"{time_ns // 1000}.{time_ns % 1000:03d}"
