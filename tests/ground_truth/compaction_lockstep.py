"""Recorded compaction beside the model's: the events of all others are applied, those of kcompactd are predicted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.host.recorded_kernel import mark_movable
from models.host.recording import AllocatorRecording
from models.host.replay import Replayer
from models.kernel.compaction.control import Compaction
from models.kernel.compaction.zone_run import begin_run, moved, step, suitable
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import NONE

#: What lies on an LRU list once it is allocated.
_ON_LRU = ("anon", "secret")
_ORDER = 9
_WHOLE_ZONE = -1


@dataclass(frozen=True)
class Predicted:
    """How far the prediction went: events predicted, of how many, in how many runs; the first one that is wrong."""

    events: int
    total: int
    runs: int
    wrong: str


class _Runs:
    """The model's kcompactd, event by event: rotations (L), isolations (I), pages given back (f)."""

    def __init__(self, replayer: Replayer, *, unasked: bool) -> None:
        self.store, self.unasked, self.runs = replayer.store, unasked, 0
        self.compaction = Compaction(self.store)
        self._events = self._all()

    def next(self) -> tuple[str, int]:
        """Letter and pfn of the next event; drains are carried out, and not told."""
        return next(self._events)

    def _all(self) -> Iterator[tuple[str, int]]:
        handle, own, settings = self.store.handle, self.compaction.handle, self.store.config[0]
        control = self.compaction.control[0]
        while True:
            assert self.unasked or suitable(handle, 0, _ORDER, 0)
            begin_run(handle, own, 0, 0, _WHOLE_ZONE if self.unasked else _ORDER, self.unasked)
            self.runs += 1
            while control["running"]:
                settings["log_used"] = 0
                _, source, target = step(handle, own)
                yield from self._told()
                if source != NONE:
                    settings["log_used"] = 0
                    moved(handle, own, source, target)
                    yield from self._told()

    def _told(self) -> list[tuple[str, int]]:
        log = self.store.log[: int(self.store.config[0]["log_used"])]
        return [(chr(row["kind"]), int(row["pfn"])) for row in log if chr(row["kind"]) in "LIf"]


def predict(recording: AllocatorRecording, kcompactd: int) -> Predicted:
    """Predict what kcompactd did, each time from the state and at the moment in which it began.

    Args:
        kcompactd: its process id.
    """
    events, replayer = recording.events, Replayer(recording)
    mark_movable(recording, replayer.store)
    unasked = not (events.op == ord("W")).any()
    runs = _Runs(replayer, unasked=unasked)
    kinds = np.array([site.kind in _ON_LRU for site in events.sites])
    listed = np.flatnonzero((events.op == ord("A")) & (events.site >= 0) & kinds[events.site])
    own = events.pid == kcompactd
    told = np.flatnonzero(own & np.isin(events.op, list(b"LIf")))
    done, at = 0, 0
    for index in told.tolist():
        for other in _parts(own, at, index):
            assert replayer.apply(*other) == other[1], events.describe(other[0])
            new = listed[np.searchsorted(listed, other[0]) : np.searchsorted(listed, other[1])]
            replayer.store.pages["flags"][events.pfn[new]] |= LRU
        at = index + 1
        expected = (chr(events.op[index]), int(events.pfn[index]))
        predicted = runs.next()
        if predicted != expected:
            return Predicted(done, len(told), runs.runs, f"{predicted} for {events.describe(index)}")
        done += 1
    return Predicted(done, len(told), runs.runs, "")


def _parts(own: np.ndarray[tuple[int], np.dtype[np.bool_]], first: int, end: int) -> Iterator[tuple[int, int]]:
    """Stretches of events between two that are not kcompactd's."""
    while first < end:
        if own[first]:
            first += 1
            continue
        stop = first
        while stop < end and not own[stop]:
            stop += 1
        yield first, stop
        first = stop
