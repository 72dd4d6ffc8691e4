"""The exact model's compiled part: TLB arrays in one flat integer state, and what a list of entries does to one."""



from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import inlined, unmanaged
from models.tlb.lanes import LANES, visit_one_row, visit_row

__all__ = ["invalidate", "visit", "wipe"]

Ints = npt.NDArray[np.int64]

# Columns of hierarchy.FIELDS and codes of hierarchy.FORMS, as compile-time constants.
SETS, WAYS, FORM, HASHED, TAGS, STRIDE, NEXT, PREV, SLOTS, MASK, NODES, TREE, DRAWS = range(13)
IN_LANES, RING, ROW, TREE_OR_RANDOM = range(4)
EMPTY = -1
# An unsigned index spares compiled code the test for negative ones, which would also keep loops from being
# vectorised.
uintp = np.uintp
# Compiled code must not mix signed and unsigned numbers, which would make both of them floats.
int64: type[int] = np.int64  # type: ignore[assignment]


@inlined
def mix64(value: np.uint64) -> np.uint64:
    """Return the splitmix64 finalizer of a uint64; the same function as `compiled.mix`."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@inlined
def _place(number: int, sets: int, hashed: int) -> int:
    """Return the set in which an array keeps page ``number``."""
    where = mix64(np.uint64(number)) if hashed else np.uint64(number)
    if sets & (sets - 1) == 0:
        return int64(where & np.uint64(sets - 1))
    return int64(where % np.uint64(sets))


# A ring links the ways in order of use; way number `ways` is the ring's sentinel, its successor the newest,
# its predecessor the next to be replaced. A hashed ring finds a way by a linear-probing table of pairs (key,
# way).


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
def _point_away(way: int, tree: int, nodes: int, state: Ints) -> None:
    """Turn the tree's pointers on the path to ``way`` towards the other sides."""
    node = 1
    half = nodes >> 1
    while half > 0:
        right = 1 if way & half else 0
        state[uintp(tree + node)] = 1 - right
        node = 2 * node + right
        half >>= 1


@inlined
def _pointed(ways: int, tree: int, nodes: int, state: Ints) -> int:
    """Return the way to which the tree points; a subtree without any way is never entered."""
    node = 1
    way = 0
    half = nodes >> 1
    while half > 0:
        right = 1 if state[uintp(tree + node)] == 1 and way + half < ways else 0
        way += half * right
        node = 2 * node + right
        half >>= 1
    return way


@inlined
def _visit_ring(array: int, base: int, key: int, arrays: Ints, state: Ints) -> bool:
    """`visit` for a long LRU set that is the only one."""
    ways = arrays[uintp(array), WAYS]
    nexts, prevs = arrays[uintp(array), NEXT], arrays[uintp(array), PREV]
    slots, mask = arrays[uintp(array), SLOTS], arrays[uintp(array), MASK]
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
def _visit_long_row(base: int, key: int, ways: int, state: Ints) -> bool:
    """`visit` for long LRU sets of which there are several: one pass looks for the key and moves those before it."""
    carried = key
    for j in range(ways):
        held = state[uintp(base + j)]
        state[uintp(base + j)] = carried
        if held == key:
            return True
        carried = held
    return False


def _visit_rows_of(lanes: int) -> Any:
    """Return `visit` for sets in rows of so many lanes: each length of a vector takes code of its own."""

    @unmanaged
    def visit_rows(array: int, count: int, members: Ints, keys: Ints, missed: Ints, arrays: Ints,
                   state: Ints) -> None:  # fmt: skip
        sets, ways, hashed = arrays[uintp(array), SETS], arrays[uintp(array), WAYS], arrays[uintp(array), HASHED]
        tags = arrays[uintp(array), TAGS]
        if sets == 1:
            visit_one_row(state, tags, count, members, keys, missed, ways, lanes)
            return
        for t in range(count):
            j = uintp(members[uintp(t)])
            key = keys[j]
            missed[j] = visit_row(state, tags + lanes * _place(key >> 2, sets, hashed), key, ways, lanes)

    return visit_rows


_visit_4, _visit_8, _visit_16, _visit_32, _visit_64, _visit_128 = map(_visit_rows_of, LANES)


@unmanaged
def visit(array: int, count: int, members: Ints, keys: Ints, missed: Ints, arrays: Ints, state: Ints,
          seed: np.uint64) -> None:  # fmt: skip
    """Let an array see entries one after the other; one that is not there is put there.

    Args:
        array: Row of ``arrays``.
        count: How many.
        members: Their places in the block, in order.
        keys: Keys by place in the block.
        missed: Gets 1 where an entry was not there, else 0.
        arrays: See `CompiledHierarchy`.
        state: All arrays' contents.
        seed: Key of random replacement.
    """
    form, stride = arrays[uintp(array), FORM], arrays[uintp(array), STRIDE]
    if form == IN_LANES:
        if stride == 4:
            _visit_4(array, count, members, keys, missed, arrays, state)
        elif stride == 8:
            _visit_8(array, count, members, keys, missed, arrays, state)
        elif stride == 16:
            _visit_16(array, count, members, keys, missed, arrays, state)
        elif stride == 32:
            _visit_32(array, count, members, keys, missed, arrays, state)
        elif stride == 64:
            _visit_64(array, count, members, keys, missed, arrays, state)
        else:
            _visit_128(array, count, members, keys, missed, arrays, state)
        return
    sets, ways, tags = arrays[uintp(array), SETS], arrays[uintp(array), WAYS], arrays[uintp(array), TAGS]
    hashed = arrays[uintp(array), HASHED]
    for t in range(count):
        j = uintp(members[uintp(t)])
        key = keys[j]
        place = _place(key >> 2, sets, hashed)
        if form == RING:
            hit = _visit_ring(array, tags, key, arrays, state)
        elif form == ROW:
            hit = _visit_long_row(tags + place * stride, key, ways, state)
        else:
            hit = _visit_ways(array, place, key, arrays, state, seed)
        missed[j] = int64(not hit)


@unmanaged
def _visit_ways(array: int, place: int, key: int, arrays: Ints, state: Ints, seed: np.uint64) -> bool:
    """`visit` for tree-PLRU and random replacement: entries keep their ways, empty ones are filled first."""
    ways = arrays[uintp(array), WAYS]
    base = arrays[uintp(array), TAGS] + place * ways
    nodes = arrays[uintp(array), NODES]
    tree = arrays[uintp(array), TREE] + place * nodes
    way = -1
    empty = -1
    for j in range(ways):
        held = state[uintp(base + j)]
        if held == key:
            way = j
        if held == EMPTY and empty < 0:
            empty = j
    hit = way >= 0
    if not hit:
        way = empty
        if way < 0 and nodes > 0:
            way = _pointed(ways, tree, nodes, state)
        elif way < 0:
            draws = arrays[uintp(array), DRAWS]
            count = np.uint64(state[uintp(draws)]) | (np.uint64(array) << np.uint64(48))
            way = int64(mix64(seed ^ mix64(count)) % np.uint64(ways))
            state[uintp(draws)] += 1
        state[uintp(base + way)] = key
    if nodes > 0:
        _point_away(way, tree, nodes, state)
    return hit


@unmanaged
def forget(array: int, place: int, key: int, arrays: Ints, state: Ints) -> None:
    """Drop ``key`` from set ``place`` if it is there; its place is the next to be filled."""
    ways = arrays[uintp(array), WAYS]
    base = arrays[uintp(array), TAGS] + place * arrays[uintp(array), STRIDE]
    form = arrays[uintp(array), FORM]
    way = -1
    for j in range(ways):
        if state[uintp(base + j)] == key:
            way = j
    if way < 0:
        return
    if form in (IN_LANES, ROW):
        for j in range(way, ways - 1):
            state[uintp(base + j)] = state[uintp(base + j + 1)]
        way = ways - 1
    elif form == RING:
        nexts, prevs = arrays[uintp(array), NEXT], arrays[uintp(array), PREV]
        slots, mask = arrays[uintp(array), SLOTS], arrays[uintp(array), MASK]
        _unhash(_seek(key, slots, mask, state), slots, mask, state)
        # To the front, and then the sentinel one place on: the newest becomes the next to be replaced.
        _to_front(way, nexts, prevs, ways, state)
        _to_front(ways, nexts, prevs, way, state)
    state[uintp(base + way)] = EMPTY


@unmanaged
def wipe(array: int, arrays: Ints, state: Ints) -> None:
    """Empty an array, and reset its order (not its count of draws)."""
    ways, sets = arrays[uintp(array), WAYS], arrays[uintp(array), SETS]
    base = arrays[uintp(array), TAGS]
    state[base : base + arrays[uintp(array), STRIDE] * sets] = EMPTY
    if arrays[uintp(array), FORM] == RING:
        slots = arrays[uintp(array), SLOTS]
        state[slots : slots + 2 * (arrays[uintp(array), MASK] + 1)] = EMPTY
        nexts, prevs = arrays[uintp(array), NEXT], arrays[uintp(array), PREV]
        for node in range(ways + 1):
            state[nexts + node] = (node + 1) % (ways + 1)
            state[prevs + node] = (node + ways) % (ways + 1)
    tree = arrays[uintp(array), TREE]
    state[tree : tree + arrays[uintp(array), NODES] * sets] = 0


@unmanaged
def invalidate(page: int, tlb_arrays: int, group_shift: int, arrays: Ints, state: Ints) -> None:
    """Drop what translates ``page`` from the TLB's arrays, and empty the paging-structure caches."""
    for array in range(tlb_arrays):
        for kind in range(4):
            if kind == 3 and group_shift == 0:
                continue
            number = page >> (group_shift if kind == 3 else 9 * kind)
            place = _place(number, arrays[uintp(array), SETS], arrays[uintp(array), HASHED])
            forget(array, place, (number << 2) | kind, arrays, state)
    for array in range(tlb_arrays, arrays.shape[0]):
        wipe(array, arrays, state)
