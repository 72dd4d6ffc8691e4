"""Checks of an event stream: what no event of its kind can say, and every page followed to its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.host.recording_events import Events, letter_table
from models.host.recording_fields import MIGRATETYPES
from models.host.recording_machine import Machine
from models.host.recording_state import State
from models.host.recording_text import RecordingError
from simcore.compiled import jit

__all__ = ["check_fields", "check_ownership"]

#: Operations whose pfn is a block of their zone, aligned to their order.
_BLOCK_OPS = "ABKfgFXIPCL"

_SECTION = "allocator_events"


def check_fields(events: Events, machine: Machine, path: Path) -> None:
    """Refuse values that no event of its kind can have."""

    def refuse(bad: NDArray[np.bool_], field: str, what: str) -> None:
        if bad.any():
            at = int(np.argmax(bad))
            message = f"{what}: {events.describe(at)}"
            raise RecordingError(message, file=path, field=f"{_SECTION}.{field}", event=at)

    op, order, pfn = events.op, events.order.astype(np.int64), events.pfn
    first, second = events.aux[:, 0], events.aux[:, 1]
    types, block_pages = len(MIGRATETYPES), 1 << machine.pageblock_order
    known = np.zeros(36, dtype=np.bool_)
    starts, ends = np.zeros(36, dtype=np.int64), np.zeros(36, dtype=np.int64)
    for zone in machine.zones:
        known[zone.index], starts[zone.index], ends[zone.index] = True, zone.start_pfn, zone.end_pfn
    refuse(~known[events.zone], "zone", "no such zone in this machine")
    refuse(events.type >= types, "type", "no such migratetype")

    on_block = letter_table(_BLOCK_OPS)[op]
    refuse(on_block & (order >= machine.max_order), "order", "no such order")
    placed = on_block & ~(letter_table("ABK")[op] & (pfn == 0))
    size = np.left_shift(1, order * placed)
    outside = (pfn < starts[events.zone]) | (pfn + size > ends[events.zone])
    refuse(placed & outside, "pfn_delta", "the block leaves its zone")
    refuse(placed & (pfn & (size - 1) != 0), "pfn_delta", "the block is not aligned to its order")

    outside = (pfn < 0) | (first < 1) | (first > machine.end_pfn) | (pfn > machine.end_pfn - first)
    refuse(letter_table("mu")[op] & outside, "aux", "the pages are not in this machine")
    split = op == ord("S")
    refuse(split & (order != 2) & (order != 3), "order", "no entry of this level can be split")
    refuse(split & ((pfn < 0) | (pfn >= machine.end_pfn)), "pfn_delta", "the table is not in this machine")
    misaligned = first & (np.left_shift(1, np.where(split, 9 * (order - 1), 0)) - 1) != 0
    refuse(split & (first != -1) & ((first < 0) | misaligned), "aux", "the region is not aligned to its entry")

    refuse((op == ord("D")) & ((pfn < 0) | (pfn >= machine.cpus)), "pfn_delta", "no such CPU to drain")
    refuse(letter_table("KrdDW")[op] & (first < 0), "aux", "a negative number of pages or blocks")
    refuse(letter_table("FRL")[op] & ((first < 0) | (first > 1)), "aux", "neither 0 nor 1")
    refuse(letter_table("fg")[op] & ((first < 0) | (first >= types)), "aux", "no such remembered type")
    steal, moved = op == ord("X"), op == ord("Y")
    refuse(steal & ((first < 0) | (first > order)), "aux", "a request of a higher order than the block")
    refuse(steal & ((second < 0) | (second >= types)), "aux", "no such migratetype")
    too_many = (first < 0) | (first > block_pages) | (second < 0) | (second > block_pages)
    refuse(moved & too_many, "aux", "more pages than a pageblock has")


_TAKES, _GIVES, _CAPTURES = 1, 2, 3
#: States of a page; one that was captured while it was being freed stays in use when the free itself is told.
_IN_USE, _FREE, _CAPTURED = 0, 1, 2


def check_ownership(events: Events, initial: State, final: State, machine: Machine, path: Path) -> None:
    """Follow every page through the stream.

    Raises:
        RecordingError: A page is allocated while in use or freed while free, or the end state disagrees with
            the stream.
    """
    effect = np.zeros(256, dtype=np.uint8)
    for letters, what in (("ABKI", _TAKES), ("fgFP", _GIVES), ("C", _CAPTURES)):
        effect[list(letters.encode())] = what
    state = _free_pages(initial, machine)
    event, pfn = _follow(events.op, events.order, events.pfn, effect, state)
    if event >= 0:
        done = "freed while it is free" if state[pfn] == _FREE else "allocated while it is in use"
        message = f"pfn {pfn} is {done}: {events.describe(event)}"
        raise RecordingError(message, file=path, field=_SECTION, event=int(event))
    wrong = np.flatnonzero((state == _FREE) != (_free_pages(final, machine) == _FREE))
    if len(wrong):
        now = "free" if state[wrong[0]] == _FREE else "in use"
        message = f"pfn {wrong[0]} is {now} after the last event, the final lists say the opposite"
        raise RecordingError(f"{message} ({len(wrong)} such pages)", file=path, field="final.free_lists")


def _free_pages(state: State, machine: Machine) -> NDArray[np.uint8]:
    """Return the state of every page frame: free when it is on a free list or a per-CPU list."""
    change = np.zeros(machine.end_pfn + 1, dtype=np.int8)
    firsts, orders = state.blocks()
    np.add.at(change, firsts, 1)
    np.add.at(change, firsts + (1 << orders), -1)
    return np.cumsum(change[:-1], dtype=np.int8).astype(np.uint8)


@jit
def _follow(
    op: NDArray[np.uint8],
    order: NDArray[np.int8],
    pfn: NDArray[np.int64],
    effect: NDArray[np.uint8],
    state: NDArray[np.uint8],
) -> tuple[int, int]:
    """Apply all events to ``state``; return event and pfn of the first impossible one, else -1 twice."""
    for index in range(len(op)):
        what = effect[op[index]]
        first = pfn[index]
        if what == 0 or (what == _TAKES and first == 0):
            continue
        for page in range(first, first + (1 << order[index])):
            if what == _TAKES:
                if state[page] != _FREE:
                    return index, page
                state[page] = _IN_USE
            elif what == _GIVES:
                if state[page] == _FREE:
                    return index, page
                state[page] = _FREE if state[page] == _IN_USE else _IN_USE
            else:
                state[page] = _IN_USE if state[page] == _FREE else _CAPTURED
    return -1, -1
