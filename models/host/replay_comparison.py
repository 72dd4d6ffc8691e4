"""Mode ``replay``: what a replay predicted, by kind of event, and the end state list by list."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from models.host.comparison import Comparison, Divergence, Options
from models.host.recording import AllocatorRecording
from models.host.recording_fields import MIGRATETYPES
from models.host.recording_state import DirectMapState
from models.host.replay import Replay, replay
from models.host.restore import differences, list_pfns
from models.host.tolerance import compare_replay
from models.kernel.direct_map import ABSENT
from models.kernel.pages.layout import MAX_ORDER, PCP_LISTS
from models.kernel.pages.lists import buddy_list, per_cpu_list

__all__ = ["KINDS", "compare"]

#: Kinds of predicted events by the letters of their operations.
KINDS = {
    "allocations": "ABK",
    "refills": "r",
    "drains": "d",
    "steals": "XY",
    "frees": "fgF",
    "splits": "S",
}
_AROUND = 4
_SHOWN_PFNS = 4
_PAGES_PER_2M = 512


def compare(recording: AllocatorRecording, options: Options) -> Comparison:
    """Replay ``recording`` and return the outcome; ``options`` has nothing for this mode."""
    del options
    outcome = replay(recording)
    counts = {
        kind: (_sum(outcome.exact, letters), _sum(outcome.total, letters)) for kind, letters in KINDS.items()
    }
    wrong = differences(outcome.store, recording.machine, recording.final)
    counts |= _end_lists(recording, wrong)
    counts["end direct map"] = _end_direct_map(recording, outcome)
    counts["end mapped pages"] = _end_presence(recording, outcome)
    return compare_replay(recording, counts, _divergence(recording, outcome, list(wrong)))


def _sum(by_letter: dict[str, int], letters: str) -> int:
    return sum(by_letter.get(letter, 0) for letter in letters)


def _end_lists(recording: AllocatorRecording, wrong: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return how many lists, CPUs and zones are at the end as recorded, of how many."""
    zones, cpus = recording.machine.zones, recording.machine.cpus

    def right(heads: Iterable[str]) -> int:
        return sum(not any(place.startswith(head) for place in wrong) for head in heads)

    lists = [
        f"free list {zone.name}, order {order}, type {kind}"
        for zone in zones
        for order in range(MAX_ORDER)
        for kind in range(len(MIGRATETYPES))
    ]
    per_cpu = [f"per-CPU lists {zone.name}, CPU {cpu}," for zone in zones for cpu in range(cpus)]
    counted = [f"zone {zone.name}," for zone in zones]
    return {
        "end free lists": (right(lists), len(lists)),
        "end per-CPU lists": (right(per_cpu), len(per_cpu)),
        "end zones": (right(counted), len(counted)),
    }


def _end_direct_map(recording: AllocatorRecording, outcome: Replay) -> tuple[int, int]:
    """Return how many 2M regions are tiled at the end as recorded, and tables placed, of how many."""
    final, model = recording.final.direct_map, outcome.direct_map
    right = total = 0
    for start, pages, level, *_ in final.runs.tolist():
        regions = range(start // _PAGES_PER_2M * _PAGES_PER_2M, start + pages, _PAGES_PER_2M)
        if level > 0:
            total += len(regions)
            right += sum(model.level(max(pfn, start)) == level for pfn in regions)
    before = {tuple(row) for row in recording.initial.direct_map.tables.tolist()}
    for first, level, table in final.tables.tolist():
        if (first, level, table) not in before:
            total += 1
            right += model.table(first, level) == table
    return right, total


def _end_presence(recording: AllocatorRecording, outcome: Replay) -> tuple[int, int]:
    """Return for how many pages the end says as recorded whether they are mapped, of how many."""
    before, after = (_present(state.direct_map) for state in (recording.initial, recording.final))
    pages = min(len(before), recording.machine.end_pfn)
    absent = (outcome.store.pages["flags"][:pages] & ABSENT) != 0
    return int(np.count_nonzero((before[:pages] & ~absent) == after[:pages])), pages


def _present(direct_map: DirectMapState) -> NDArray[np.bool_]:
    """Return for every page whether it is mapped and present."""
    _, pages, level, present, _ = direct_map.runs.T
    return np.repeat((level > 0) & (present == 1), pages)


def _divergence(recording: AllocatorRecording, outcome: Replay, wrong: list[str]) -> Divergence | None:
    """Return the first event predicted wrongly, or else the first place of the end state that differs."""
    events, at = recording.events, outcome.diverged_at
    if at is not None:
        op, zone, order, kind, pfn, *aux = outcome.predicted
        letter = chr(op) if op > 0 else "none"
        around = range(max(0, at - _AROUND), min(len(events), at + _AROUND + 1))
        return Divergence(
            f"event {at}",
            events.describe(at),
            f"{letter} zone {zone} order {order} type {kind} pfn {pfn} aux {aux}",
            {
                "recorded events": "\n".join(f"{index}: {events.describe(index)}" for index in around),
                "model's lists": _lists(recording, outcome, int(events.zone[at])),
            },
        )
    if not wrong:
        return None
    model, recorded = differences(outcome.store, recording.machine, recording.final)[wrong[0]]
    first = 0
    if np.ndim(model) and np.ndim(recorded):
        both = min(len(model), len(recorded))
        unequal = np.flatnonzero(np.asarray(model)[:both] != np.asarray(recorded)[:both])
        first = int(unequal[0]) if len(unequal) else both
        model, recorded = np.asarray(model), np.asarray(recorded)
        shown = slice(max(0, first - _AROUND), first + _AROUND + 1)
        return Divergence(
            f"end state, {wrong[0]}, position {first}",
            str(recorded[shown].tolist()),
            str(model[shown].tolist()),
        )
    return Divergence(f"end state, {wrong[0]}", str(recorded), str(model))


def _lists(recording: AllocatorRecording, outcome: Replay, zone: int) -> str:
    """Return the heads of the lists of a zone that are not empty."""
    store, lines = outcome.store, []
    for order in range(MAX_ORDER):
        for kind, name in enumerate(MIGRATETYPES):
            pfns = list_pfns(store, int(buddy_list(zone, order, kind)))
            if len(pfns):
                lines.append(
                    f"free, order {order}, {name}: {len(pfns)} blocks, {pfns[:_SHOWN_PFNS].tolist()}"
                )
    for cpu in range(recording.machine.cpus):
        for index in range(PCP_LISTS):
            pfns = list_pfns(store, int(per_cpu_list(store.handle, zone, cpu, index)))
            if len(pfns):
                lines.append(f"CPU {cpu}, list {index}: {len(pfns)} blocks, {pfns[:_SHOWN_PFNS].tolist()}")
    return "\n".join(lines)
