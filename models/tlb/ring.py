"""A very long LRU set that is alone as a ring: ways linked in order of use, and a hash table that finds one by its key.

Way number `ways` is the ring's sentinel, its successor the newest, its predecessor the next to be replaced. The table
is one of linear probing, of pairs (key, way).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import inlined

__all__ = ["empty_ring", "forget_in_ring", "visit_ring"]

Ints = npt.NDArray[np.int64]

EMPTY = -1
# An unsigned index spares compiled code the test for negative ones.
uintp = np.uintp


@inlined
def _home(key: int, mask: int) -> int:
    return ((key * 0x9E3779B97F4A7C1) >> 20) & mask


@inlined
def _seek(key: int, slots: int, mask: int, state: Ints) -> int:
    """Return the slot (0 to mask) of ``key``, or -1."""
    slot = _home(key, mask)
    while True:
        held = state[uintp(slots + 2 * slot)]
        if held == key:
            return slot
        if held == EMPTY:
            return -1
        slot = (slot + 1) & mask


@inlined
def _unhash(slot: int, slots: int, mask: int, state: Ints) -> None:
    """Empty a slot and move later ones of its run back, so that every run stays whole."""
    hole = slot
    probe = slot
    while True:
        probe = (probe + 1) & mask
        key = state[uintp(slots + 2 * probe)]
        if key == EMPTY:
            break
        if (probe - _home(key, mask)) & mask >= (probe - hole) & mask:
            state[uintp(slots + 2 * hole)] = key
            state[uintp(slots + 2 * hole + 1)] = state[uintp(slots + 2 * probe + 1)]
            hole = probe
    state[uintp(slots + 2 * hole)] = EMPTY


@inlined
def _rehash(old: int, key: int, node: int, slots: int, mask: int, state: Ints) -> None:
    """Let ``node`` be found under ``key`` and no longer under ``old``."""
    if old != EMPTY:
        _unhash(_seek(old, slots, mask, state), slots, mask, state)
    slot = _home(key, mask)
    while state[uintp(slots + 2 * slot)] != EMPTY:
        slot = (slot + 1) & mask
    state[uintp(slots + 2 * slot)] = key
    state[uintp(slots + 2 * slot + 1)] = node


@inlined
def _to_front(node: int, nexts: int, prevs: int, ways: int, state: Ints) -> None:
    before, after = state[uintp(prevs + node)], state[uintp(nexts + node)]
    state[uintp(nexts + before)] = after
    state[uintp(prevs + after)] = before
    first = state[uintp(nexts + ways)]
    state[uintp(nexts + node)] = first
    state[uintp(prevs + node)] = ways
    state[uintp(prevs + first)] = node
    state[uintp(nexts + ways)] = node


@inlined
def visit_ring(key: int, base: int, ways: int, nexts: int, prevs: int, slots: int, mask: int, state: Ints) -> bool:
    """Look for ``key`` and make it the newest, in the last way if it is absent; return whether it was there.

    Args:
        key: What is looked for.
        base: Where the keys begin in ``state``.
        ways: How many.
        nexts: Where each way's successor stands.
        prevs: Where each way's predecessor stands.
        slots: Where the hash table begins.
        mask: Its pairs, less one.
        state: All arrays' contents.
    """
    slot = _seek(key, slots, mask, state)
    hit = slot >= 0
    if hit:
        node = state[uintp(slots + 2 * slot + 1)]
    else:
        node = state[uintp(prevs + ways)]
        _rehash(state[uintp(base + node)], key, node, slots, mask, state)
        state[uintp(base + node)] = key
    if state[uintp(nexts + ways)] != node:
        _to_front(node, nexts, prevs, ways, state)
    return hit


@inlined
def forget_in_ring(
    key: int, way: int, ways: int, nexts: int, prevs: int, slots: int, mask: int, state: Ints
) -> None:
    """Make ``way``, that of ``key``, the next to be replaced, and let nobody find it."""
    _unhash(_seek(key, slots, mask, state), slots, mask, state)
    # To the front, and then the sentinel one place on: the newest becomes the next to be replaced.
    _to_front(way, nexts, prevs, ways, state)
    _to_front(ways, nexts, prevs, way, state)


@inlined
def empty_ring(ways: int, nexts: int, prevs: int, slots: int, mask: int, state: Ints) -> None:
    """Link the ways in their order, and empty the hash table."""
    state[slots : slots + 2 * (mask + 1)] = EMPTY
    for node in range(ways + 1):
        state[nexts + node] = (node + 1) % (ways + 1)
        state[prevs + node] = (node + ways) % (ways + 1)
