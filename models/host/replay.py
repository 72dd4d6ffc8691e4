"""Replaying a recorded event stream through the model's allocator: every decision predicted and compared.

The stream's requests drive the model; frames, refills, drains, steals, splits and zones are the model's own. What the
allocator's state cannot tell is taken from the stream: see `GIVEN`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.host.recording import AllocatorRecording
from models.host.replay_compiled import replay_events
from models.host.replay_order import captures, causes
from models.host.restore import restore, restore_direct_map
from models.kernel.direct_map import DirectMap
from models.kernel.pages.layout import NONE, Store

__all__ = ["GIVEN", "PREDICTED", "Replay", "Replayer", "replay"]

GIVEN: Final = "DRVWHUICPLM"
"""Events that are input: drains on request, reclaim, folds, boosts lowered, reserves, compaction, markers."""

PREDICTED: Final = "ABKfgFrdXYmuS"
"""Events whose every field beyond the request is predicted and compared."""


@dataclass(frozen=True)
class Replay:
    """What a replay found.

    Attributes:
        exact: events predicted exactly, by letter, up to the first divergence.
        total: events of the whole stream, by letter.
        diverged_at: index of the first event predicted wrongly, or None.
        predicted: what the model said there: op, zone, order, type, pfn, and up to three numbers more.
        store: the allocator after the last event replayed.
        direct_map: the direct map after it.
    """

    exact: dict[str, int]
    total: dict[str, int]
    diverged_at: int | None
    predicted: tuple[int, ...]
    store: Store
    direct_map: DirectMap


class Replayer:
    """A stream applied part by part to the state that it begins in.

    Attributes:
        store: the allocator after what has been applied.
        direct_map: the direct map after it.
        exact: int64[128], events predicted exactly, by code.
        predicted: int64[8], what the model said of the first event predicted wrongly.
    """

    def __init__(self, recording: AllocatorRecording) -> None:
        """Begin with the initial state of a recording."""
        events = recording.events
        self.store = restore(recording.machine, recording.initial)
        self.direct_map = restore_direct_map(recording.machine, recording.initial.direct_map)
        self.store.config[0]["logging"] = 1
        self.exact = np.zeros(128, np.int64)
        self.predicted = np.full(8, NONE, np.int64)
        self._cpus = recording.machine.cpus
        # One width for all columns, so that the allocator is compiled once, not again for every type of argument.
        columns = (events.op, events.cpu, events.zone, events.order, events.type, events.pfn)
        self._columns = [column.astype(np.int64) for column in (*columns, events.gfp, events.alloc_flags, events.aux)]

    def apply(self, first: int, end: int) -> int:
        """Apply the events from ``first`` to ``end``; returns ``end``, or the first event predicted wrongly.

        A refill, its steals and the allocation that caused them belong together.
        """
        op, cpu, zone, order, kind, pfn, gfp, flags, aux = (column[first:end] for column in self._columns)
        return first + replay_events(
            self.store.handle, self.direct_map.handle, op, cpu, zone, order, kind, pfn, gfp, flags, aux,
            causes(op, cpu, self._cpus), captures(op, cpu, self._cpus), self.exact, self.predicted,
        )  # fmt: skip


def replay(recording: AllocatorRecording) -> Replay:
    """Replay a recording from its initial state to its end, or to the first event that the model predicts wrongly."""
    events, replayer = recording.events, Replayer(recording)
    stopped_at = replayer.apply(0, len(events))
    counts = np.bincount(events.op, minlength=128)
    letters = [chr(code) for code in np.flatnonzero(counts)]
    return Replay(
        exact={letter: int(replayer.exact[ord(letter)]) for letter in letters},
        total={letter: int(counts[ord(letter)]) for letter in letters},
        diverged_at=None if stopped_at == len(events) else stopped_at,
        predicted=tuple(replayer.predicted.tolist()),
        store=replayer.store,
        direct_map=replayer.direct_map,
    )
