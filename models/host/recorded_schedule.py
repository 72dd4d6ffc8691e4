"""Who ran when on a recorded machine, as the events of a recording tell: an input that a simulation may be given.

Events have no times. When a kernel thread had the CPU is told by what tasks had done by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.host.recording import AllocatorRecording
from models.host.recording_events import Events, letter_table
from models.kernel.compaction.control import FOR_EVER

__all__ = ["OWN", "Placement", "Schedule", "Turn", "schedule_of"]

_REQUESTS: Final = letter_table("ABKfgF")
_COMPACTS: Final = letter_table("fILDd")
_DONE: Final = letter_table("fID")
_USERS: Final = letter_table("Mmu")
"""Events that only tasks of the program cause."""
_THREAD: Final = "<kcompactd"
_ENDS_RUN: Final = "release_freepages"
_STACK_PAGES: Final = 4

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Turn:
    """A turn of kswapd or kcompactd on a machine's only CPU.

    Attributes:
        removed: pages that had been removed from the direct map when it began.
        requests: blocks that others had taken or given back since the last of these were to be, or since the start.
        work: what kcompactd did in it (`compaction.control.work_done`), FOR_EVER: it came to the end of its run over
            a zone; None: kswapd had it, and lowered boosted watermarks.
    """

    removed: int
    requests: int
    work: int | None

    @property
    def place(self) -> tuple[int, int]:
        """When it began, in an order."""
        return self.removed, self.requests


@dataclass(frozen=True)
class Placement:
    """CPUs of the tasks of a fork, in the order in which they were forked.

    Attributes:
        children: the CPU on which each child touched its first secret page.
        parents: the CPU on which the parent was when it forked each.
    """

    children: tuple[int, ...]
    parents: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """What a simulation is given of who ran when; nothing of that by default.

    Where kcompactd had no turn, nothing says that it is to have none: the model's own runs by its own rules.

    Attributes:
        turns: of kswapd and kcompactd, in order, on a machine with one CPU.
        placement: of tasks, on a machine with several CPUs.
        timed: that the times of all samples are given, too.
    """

    turns: tuple[Turn, ...] = ()
    placement: Placement | None = None
    timed: bool = False

    @property
    def in_words(self) -> tuple[str, ...]:
        """What is given, for people; empty: nothing."""
        given = ["times of samples"] if self.timed else []
        given += [f"{len(self.turns)} turns of kswapd and kcompactd"] if self.turns else []
        given += [f"CPUs of {len(self.placement.children)} tasks"] if self.placement is not None else []
        return tuple(given)


OWN: Final = Schedule()
"""The model's own: nothing is given."""


def schedule_of(recording: AllocatorRecording) -> Schedule:
    """Read a recording's schedule off its events."""
    if recording.machine.cpus == 1:
        return Schedule(_turns(recording.events), timed=True)
    return Schedule(placement=_placement(recording.events) if recording.workload.type == "fork" else None)


def _placement(events: Events) -> Placement:
    """CPUs of a program's children, which have their numbers in the order of its forks, and its own at these."""
    program = events.pid[events.op == ord("M")][0]
    removals = np.flatnonzero((events.op == ord("m")) & (events.pid != program))
    _, first = np.unique(events.pid[removals], return_index=True)
    stacks = events.cpu[(events.op == ord("K")) & (events.pid == program)][::_STACK_PAGES]
    return Placement(tuple(events.cpu[removals[first]].tolist()), tuple(stacks.tolist()))


def _turns(events: Events) -> tuple[Turn, ...]:
    """Turns of kswapd, of each of which a lowered boost tells, and of kcompactd."""
    own = _compacting(events)
    if not own.any():
        return ()
    places = _Places(events, own)
    lowered = events.op == ord("W")
    begun: list[tuple[int, int | None]] = [(int(index), None) for index in np.flatnonzero(lowered)]
    done, ends = _before(own & _DONE[events.op]), own & _sites(events, _ENDS_RUN)
    for first, last in _stretches(events, own, ends, lowered):
        work = FOR_EVER if ends[last] else int(done[last + 1] - done[first])
        begun += [(first, work)] if work else []
    return tuple(Turn(*places.at(first), work) for first, work in sorted(begun, key=lambda turn: turn[0]))


def _before(marked: Mask) -> NDArray[np.int64]:
    """How many events are marked before each, and in all."""
    return np.concatenate([[0], np.cumsum(marked)])


def _sites(events: Events, function: str) -> Mask:
    """Which events were called by way of a function; those without a call site were not."""
    named = np.array([*(function in site.stack for site in events.sites), False])
    called: Mask = named[events.site]  # -1 is the last one
    return called


def _compacting(events: Events) -> Mask:
    """Which events are kcompactd's, and not those of interrupts that came in its turn."""
    threads = np.unique(events.pid[(events.op == ord("I")) & _sites(events, _THREAD)])
    mine: Mask = np.isin(events.pid, threads) & (events.context <= 0) & _COMPACTS[events.op]
    return mine


def _stretches(events: Events, own: Mask, ends: Mask, lowered: Mask) -> list[tuple[int, int]]:
    """First and last events of a thread between which neither a task nor kswapd did anything, and no run ended."""
    mine = np.flatnonzero(own)
    users = np.isin(events.pid, np.unique(events.pid[_USERS[events.op]])) & ~own
    others = _before(users | lowered)[mine]
    cuts = [0, len(mine)]
    for at, (one, other) in enumerate(pairwise(mine.tolist()), 1):
        if others[at] != others[at - 1] or (ends[one] and not ends[other]):
            cuts.insert(-1, at)
    return [(int(mine[begin]), int(mine[end - 1])) for begin, end in pairwise(cuts)]


class _Places:
    """Where in the tasks' work an event lies."""

    def __init__(self, events: Events, own: Mask) -> None:
        self._removals = np.flatnonzero(events.op == ord("m"))
        self._removed = np.cumsum(events.aux[self._removals, 0])
        self._requests = _before(_REQUESTS[events.op] & (events.pfn != 0) & ~own)

    def at(self, index: int) -> tuple[int, int]:
        """Pages removed before an event, and requests since the last removal began, or since the start."""
        removals, requests = int(np.searchsorted(self._removals, index)), int(self._requests[index])
        if not removals:
            return 0, requests
        return int(self._removed[removals - 1]), requests - int(self._requests[self._removals[removals - 1]])
