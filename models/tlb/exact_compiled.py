"""The exact model's compiled part: TLB arrays in one flat integer state, and the loop over a trace."""



from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import inlined, unmanaged

__all__ = ["invalidate", "run", "wipe"]

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

# Columns of hierarchy.FIELDS and codes of hierarchy.FORMS, as compile-time constants.
SETS, WAYS, FORM, HASHED, TAGS, NEXT, PREV, SLOTS, MASK, NODES, TREE, DRAWS = range(12)
PACKED, ROW, RING, HASHED_RING, TREE_OR_RANDOM = range(5)
ONES, EIGHTS = 0x1111111111111111, 0x8888888888888888
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
def locate(array: int, number: int, arrays: Ints) -> int:
    """Return the set in which ``array`` keeps page ``number``."""
    sets = arrays[uintp(array), SETS]
    if sets == 1:
        return 0
    if arrays[uintp(array), HASHED]:
        return int64(mix64(np.uint64(number)) % np.uint64(sets))
    return int64(number & (sets - 1) if sets & (sets - 1) == 0 else number % sets)


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
def _packed_to_front(order: np.uint64, way: np.uint64) -> int:
    """Move ``way`` to the lowest of sixteen 4-bit numbers, which stand in order of use, the newest lowest."""
    differing = order ^ (way * np.uint64(ONES))
    # The lowest 8 bit marks the lowest number that does not differ (as with zero bytes; Warren, Hacker's
    # Delight, 6-1).
    marks = (differing - np.uint64(ONES)) & ~differing & np.uint64(EIGHTS)
    mark = marks & (~marks + np.uint64(1))
    newer = order & ((mark >> np.uint64(3)) - np.uint64(1))
    older = order & ~((mark << np.uint64(1)) - np.uint64(1))
    return int64(older | (newer << np.uint64(4)) | way)


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
def visit(array: int, place: int, key: int, arrays: Ints, state: Ints, seed: np.uint64) -> bool:
    """Return whether set ``place`` holds ``key``, and make it the most recent; a miss puts it there."""
    ways = arrays[uintp(array), WAYS]
    base = arrays[uintp(array), TAGS] + place * ways
    form = arrays[uintp(array), FORM]
    if form == PACKED:
        # Looking at all ways without a way out compiles to a few vector instructions.
        way = -1
        for j in range(ways):
            if state[uintp(base + j)] == key:
                way = j
        order_at = uintp(arrays[uintp(array), TREE] + place)
        order = np.uint64(state[order_at])
        if way < 0:
            last = (order >> np.uint64(4 * (ways - 1))) & np.uint64(15)
            state[order_at] = int64((order << np.uint64(4)) | last)
            state[uintp(base) + last] = key
            return False
        state[order_at] = _packed_to_front(order, np.uint64(way))
        return True
    if form == ROW:
        # One pass looks for the key and moves those before it back by one.
        carried = key
        for j in range(ways):
            held = state[uintp(base + j)]
            state[uintp(base + j)] = carried
            if held == key:
                return True
            carried = held
        return False
    if form in (RING, HASHED_RING):
        nexts, prevs = arrays[uintp(array), NEXT], arrays[uintp(array), PREV]
        slots, mask = arrays[uintp(array), SLOTS], arrays[uintp(array), MASK]
        node = -1
        if form == RING:
            # Looking at all ways without a way out compiles to a few vector instructions.
            for j in range(ways):
                if state[uintp(base + j)] == key:
                    node = j
        else:
            slot = _seek(key, slots, mask, state)
            if slot >= 0:
                node = state[uintp(slots + 2 * slot + 1)]
        hit = node >= 0
        if not hit:
            node = state[uintp(prevs + ways)]
            if form == HASHED_RING:
                _rehash(state[uintp(base + node)], key, node, slots, mask, state)
            state[uintp(base + node)] = key
        if state[uintp(nexts + ways)] != node:
            _to_front(node, nexts, prevs, ways, state)
        return hit
    return _visit_ways(array, place, key, arrays, state, seed)


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
    base = arrays[uintp(array), TAGS] + place * ways
    form = arrays[uintp(array), FORM]
    way = -1
    for j in range(ways):
        if state[uintp(base + j)] == key:
            way = j
    if way < 0:
        return
    if form == PACKED:
        # To the front, and then everything else one place up: the newest becomes the next to be replaced.
        order_at = uintp(arrays[uintp(array), TREE] + place)
        order = np.uint64(_packed_to_front(np.uint64(state[order_at]), np.uint64(way)))
        top = np.uint64(4 * (ways - 1))
        below = (np.uint64(1) << top) - np.uint64(1)
        state[order_at] = int64(((order >> np.uint64(4)) & below) | (np.uint64(way) << top))
    elif form == ROW:
        for j in range(way, ways - 1):
            state[uintp(base + j)] = state[uintp(base + j + 1)]
        way = ways - 1
    elif form != TREE_OR_RANDOM:
        nexts, prevs = arrays[uintp(array), NEXT], arrays[uintp(array), PREV]
        if form == HASHED_RING:
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
    form = arrays[uintp(array), FORM]
    state[base : base + ways * sets] = EMPTY
    if form == HASHED_RING:
        slots = arrays[uintp(array), SLOTS]
        state[slots : slots + 2 * (arrays[uintp(array), MASK] + 1)] = EMPTY
    if form in (RING, HASHED_RING):
        nexts, prevs = arrays[uintp(array), NEXT], arrays[uintp(array), PREV]
        for node in range(ways + 1):
            state[nexts + node] = (node + 1) % (ways + 1)
            state[prevs + node] = (node + ways) % (ways + 1)
    tree = arrays[uintp(array), TREE]
    order = int64(np.uint64(0xFEDCBA9876543210)) if form == PACKED else int64(0)
    state[tree : tree + arrays[uintp(array), NODES] * sets] = order


@inlined
def _walk_references(page: int, size: int, dimension: int, psc: Ints, arrays: Ints, state: Ints) -> int:
    """Return how many table entries a walk reads; the paging-structure caches get the upper ones."""
    for which in range(size, 3):
        cache = psc[uintp(dimension), uintp(which)]
        if cache >= 0 and visit(cache, 0, page >> (9 * (which + 1)), arrays, state, np.uint64(0)):
            return which - size + 1
    return 4 - size


@unmanaged
def run(
    pages: Ints, table: Bytes, codes: Bytes, broken: Flags, arrays: Ints, psc: Ints, route: Ints,
    l2_shift: Ints, l2_size: Ints, plan: Ints, timing: Ints, state: Ints, keys: npt.NDArray[np.uint64],
    free_at: Ints, clock: Ints, counters: Ints,
) -> None:  # fmt: skip
    """Feed ``pages`` to the arrays and add to ``counters``; the arguments are `ExactTlb`'s attributes."""
    group_shift, host = plan[0], plan[1]
    tabled = codes.size == 0
    timed = timing[0] + timing[1] + timing[2] > 0
    seed = keys[0]
    last_page = int64(-1)
    last_key = int64(-1)
    last_size = int64(0)
    for i in range(pages.size):
        page = pages[i]
        # The page before is the most recent of its array: hitting it again changes nothing.
        if page == last_page and tabled:
            counters[uintp(last_size)] += 1
            continue
        guest = int64(table[uintp(page >> 9)]) if tabled else int64(codes[i])
        single = guest == 3
        if single:
            guest = int64(0)
        size = guest if host < 0 or guest < host else int64(host)
        number = page >> (9 * size)
        group = size == 0 and group_shift > 0 and not single
        if group and broken.size > 0 and broken[page >> group_shift]:
            group = False
        if group:
            number = page >> group_shift
        key = (number << 2) | (3 if group else size)
        last_page = page
        if key == last_key:
            counters[uintp(size)] += 1
            continue
        last_key = key
        last_size = size
        first = route[uintp(0), uintp(size), uintp(0)]
        if first != route[uintp(0), uintp(size), uintp(1)] and mix64(np.uint64(number)) & np.uint64(1):
            first = route[uintp(0), uintp(size), uintp(1)]
        place = locate(first, number, arrays)
        if visit(first, place, key, arrays, state, seed):
            counters[uintp(size)] += 1
            continue
        second = route[uintp(1), uintp(size), uintp(0)]
        if second >= 0:
            number2, key2 = number, key
            if l2_size[uintp(size)] != size:
                number2 = page >> l2_shift[size]
                key2 = (number2 << 2) | l2_size[uintp(size)]
            if second != route[uintp(1), uintp(size), uintp(1)] and mix64(np.uint64(number2)) & np.uint64(1):
                second = route[uintp(1), uintp(size), uintp(1)]
            place2 = locate(second, number2, arrays)
            if visit(second, place2, key2, arrays, state, seed):
                counters[uintp(3 + size)] += 1
                continue
        counters[uintp(6 + size)] += 1
        references = _walk_references(page, guest, 0, psc, arrays, state)
        if host >= 0:
            inner = _walk_references(page, host, 1, psc, arrays, state)
            references = (references + 1) * (inner + 1) - 1
        counters[9] += references
        if timed:
            cycles = timing[1] + timing[2] * references
            walker = 0
            for w in range(1, free_at.size):
                if free_at[w] < free_at[walker]:
                    walker = w
            now = clock[0] + timing[0] * i
            wait = max(free_at[walker] - now, 0)
            clock[0] += wait
            free_at[walker] = now + wait + cycles
            counters[10] += cycles
            counters[11] += wait
    clock[0] += timing[0] * pages.size


@unmanaged
def invalidate(page: int, tlb_arrays: int, group_shift: int, arrays: Ints, state: Ints) -> None:
    """Drop what translates ``page`` from the TLB's arrays, and empty the paging-structure caches."""
    for array in range(tlb_arrays):
        for kind in range(4):
            if kind == 3 and group_shift == 0:
                continue
            number = page >> (group_shift if kind == 3 else 9 * kind)
            place = locate(array, number, arrays)
            forget(array, place, (number << 2) | kind, arrays, state)
    for array in range(tlb_arrays, arrays.shape[0]):
        wipe(array, arrays, state)
