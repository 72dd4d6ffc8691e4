"""The exact model's compiled part: TLB arrays in one flat integer state, and what a list of entries does to one."""



from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.tlb.aged import PART, empty_aged, make_oldest, visit_aged
from models.tlb.compiled import inlined, unmanaged
from models.tlb.lanes import LANES, visit_one_row, visit_row
from models.tlb.ring import empty_ring, forget_in_ring, visit_ring

__all__ = ["invalidate", "visit", "wipe"]

Ints = npt.NDArray[np.int64]

# Columns of hierarchy.FIELDS and codes of hierarchy.FORMS, as compile-time constants.
SETS, WAYS, FORM, HASHED, TAGS, STRIDE, NEXT, PREV, SLOTS, MASK, NODES, TREE, DRAWS = range(13)
IN_LANES, AGED, RING, ROW, TREE_OR_RANDOM = range(5)
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


_visit_4, _visit_8, _visit_16, _visit_32 = map(_visit_rows_of, LANES)


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
        else:
            _visit_32(array, count, members, keys, missed, arrays, state)
        return
    sets, ways, tags = arrays[uintp(array), SETS], arrays[uintp(array), WAYS], arrays[uintp(array), TAGS]
    if form == AGED:
        if ways <= PART:
            visit_aged(state, tags, count, members, keys, missed, ways, 1)
        elif ways <= 2 * PART:
            visit_aged(state, tags, count, members, keys, missed, ways, 2)
        elif ways <= 3 * PART:
            visit_aged(state, tags, count, members, keys, missed, ways, 3)
        else:
            visit_aged(state, tags, count, members, keys, missed, ways, 4)
        return
    hashed = arrays[uintp(array), HASHED]
    nexts, prevs = arrays[uintp(array), NEXT], arrays[uintp(array), PREV]
    slots, mask = arrays[uintp(array), SLOTS], arrays[uintp(array), MASK]
    for t in range(count):
        j = uintp(members[uintp(t)])
        key = keys[j]
        place = _place(key >> 2, sets, hashed)
        if form == RING:
            hit = visit_ring(key, tags, ways, nexts, prevs, slots, mask, state)
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
    elif form == AGED:
        make_oldest(way, base, ways, state)
    elif form == RING:
        nexts, prevs = arrays[uintp(array), NEXT], arrays[uintp(array), PREV]
        forget_in_ring(
            key, way, ways, nexts, prevs, arrays[uintp(array), SLOTS], arrays[uintp(array), MASK], state
        )
    state[uintp(base + way)] = EMPTY


@unmanaged
def wipe(array: int, arrays: Ints, state: Ints) -> None:
    """Empty an array, and reset its order (not its count of draws)."""
    ways, sets = arrays[uintp(array), WAYS], arrays[uintp(array), SETS]
    base = arrays[uintp(array), TAGS]
    state[base : base + arrays[uintp(array), STRIDE] * sets] = EMPTY
    if arrays[uintp(array), FORM] == AGED:
        empty_aged(base, ways, state)
    elif arrays[uintp(array), FORM] == RING:
        nexts, prevs = arrays[uintp(array), NEXT], arrays[uintp(array), PREV]
        empty_ring(ways, nexts, prevs, arrays[uintp(array), SLOTS], arrays[uintp(array), MASK], state)
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
