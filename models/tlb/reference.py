"""The exact model in plain Python: slow, short, and the definition of what `exact` must compute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from models.tlb.compiled import mix
from models.tlb.counts import SIZE_4K_BROKEN, Counts, Tiling
from models.tlb.hierarchy import SIZE_4K, SIZE_CODE, SIZE_SHIFT, Array, Hierarchy

__all__ = ["ReferenceTlb"]

Entry = tuple[int, int]  # kind (0 4K, 1 2M, 2 1G, 3 group of 4K), number of the page or group


class _LruSet:
    """Entries in order of use, the oldest first."""

    def __init__(self, ways: int) -> None:
        self.ways = ways
        self.held: OrderedDict[Entry, None] = OrderedDict()

    def find(self, entry: Entry) -> bool:
        if entry not in self.held:
            return False
        self.held.move_to_end(entry)
        return True

    def insert(self, entry: Entry) -> None:
        if len(self.held) == self.ways:
            self.held.popitem(last=False)
        self.held[entry] = None

    def forget(self, entry: Entry) -> None:
        self.held.pop(entry, None)


class _WaySet:
    """Entries in numbered ways; empty ways are filled first, lowest number first."""

    def __init__(self, ways: int) -> None:
        self.ways: list[Entry | None] = [None] * ways

    def find(self, entry: Entry) -> bool:
        if entry not in self.ways:
            return False
        self.touch(self.ways.index(entry))
        return True

    def insert(self, entry: Entry) -> None:
        way = self.ways.index(None) if None in self.ways else self.victim()
        self.ways[way] = entry
        self.touch(way)

    def forget(self, entry: Entry) -> None:
        if entry in self.ways:
            self.ways[self.ways.index(entry)] = None

    def touch(self, way: int) -> None:
        """Note a use of ``way``."""

    def victim(self) -> int:
        """Return the way to replace."""
        raise AssertionError("a policy says who leaves")


class _PlruSet(_WaySet):
    """A binary tree over the next power of two of ways; each node points to the side used longer ago."""

    def __init__(self, ways: int) -> None:
        super().__init__(ways)
        self.leaves = 1 << (ways - 1).bit_length()
        self.right = [False] * self.leaves

    def touch(self, way: int) -> None:
        node, half = 1, self.leaves // 2
        while half:
            went_right = bool(way & half)
            self.right[node] = not went_right
            node, half = 2 * node + went_right, half // 2

    def victim(self) -> int:
        node, way, half = 1, 0, self.leaves // 2
        while half:
            # A subtree without any way is never entered.
            goes_right = self.right[node] and way + half < len(self.ways)
            way += half * goes_right
            node, half = 2 * node + goes_right, half // 2
        return way


class _RandomSet(_WaySet):
    """Draws by the array's key and count of draws."""

    def __init__(self, ways: int, array: _ReferenceArray) -> None:
        super().__init__(ways)
        self.array = array

    def victim(self) -> int:
        return self.array.draw() % len(self.ways)


class _ReferenceArray:
    def __init__(self, number: int, array: Array, seed: int) -> None:
        self.number = number
        self.hashed = array.hashed
        self.key = mix(seed)
        self.draws = 0
        self.sets: list[_LruSet | _WaySet] = []
        for _ in range(array.sets):
            if array.replacement == "lru":
                self.sets.append(_LruSet(array.ways))
            elif array.replacement == "plru":
                self.sets.append(_PlruSet(array.ways))
            else:
                self.sets.append(_RandomSet(array.ways, self))

    def draw(self) -> int:
        drawn = mix(self.key ^ mix(self.draws | self.number << 48))
        self.draws += 1
        return drawn

    def place(self, number: int) -> _LruSet | _WaySet:
        return self.sets[(mix(number) if self.hashed else number) % len(self.sets)]


class _PagingStructureCaches:
    """Caches of PDEs, PDPTEs and PML4Es; index 0 covers 2M, 1 covers 1G, 2 covers 512G."""

    def __init__(self, entries: tuple[int, int, int]) -> None:
        self.caches = [_LruSet(count) if count else None for count in entries]

    def references(self, page: int, size: int) -> int:
        """Return the table entries that a walk for ``size`` still reads, and keep those above the leaf."""
        hit = 3
        for which in range(size, 3):
            cache = self.caches[which]
            if cache is not None and cache.find((0, page >> 9 * (which + 1))):
                hit = which
                break
        for which in range(size, hit):
            cache = self.caches[which]
            if cache is not None:
                cache.insert((0, page >> 9 * (which + 1)))
        return hit - size + 1


class ReferenceTlb:
    """Same interface and same counts as `models.tlb.exact.ExactTlb`, whose docstring states the rules."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        *,
        seed: int = 0,
        issue_cycles: int = 0,
        walk_start_cycles: int = 0,
        reference_cycles: int = 0,
    ) -> None:
        """Build empty TLBs; the arguments are those of `ExactTlb`."""
        self.hierarchy = hierarchy
        self.seed = seed
        self.timing = (issue_cycles, walk_start_cycles, reference_cycles)
        self.counters = [0] * 12
        self.clock = 0
        self.free_at = [0] * hierarchy.walkers
        self.arrays = [_ReferenceArray(i, array, seed) for i, array in enumerate(hierarchy.arrays)]
        self._forget_tables()

    @property
    def counts(self) -> Counts:
        """Counts since the beginning."""
        return Counts.of(self.counters)

    def run(
        self, pages: Sequence[int], *, tiling: Tiling | None = None, sizes: Iterable[int] | None = None
    ) -> Counts:
        """Feed page numbers and return the counts of this call."""
        before = list(self.counters)
        if tiling is not None:
            sizes = (self._code(page, tiling) for page in pages)
        assert sizes is not None
        for page, code in zip(pages, sizes, strict=True):
            self._access(int(page), int(code))
        return Counts.of([now - then for now, then in zip(self.counters, before, strict=True)])

    def flush(self) -> None:
        """Drop everything."""
        for array, described in zip(self.arrays, self.hierarchy.arrays, strict=True):
            draws = array.draws
            array.__init__(array.number, described, self.seed)  # type: ignore[misc]
            array.draws = draws
        self._forget_tables()

    def invalidate(self, page: int) -> None:
        """Drop the entries of any size that translate ``page``, and the paging-structure caches."""
        for array in self.arrays:
            for kind, shift in enumerate((*SIZE_SHIFT, self.hierarchy.coalesce_4k.bit_length() - 1)):
                array.place(page >> shift).forget((kind, page >> shift))
        self._forget_tables()

    def _forget_tables(self) -> None:
        self.guest_tables = _PagingStructureCaches(self.hierarchy.psc)
        self.host_tables = _PagingStructureCaches(self.hierarchy.psc)

    def _code(self, page: int, tiling: Tiling) -> int:
        code = int(tiling.region_size[page >> 9])
        if (
            code == SIZE_4K
            and tiling.broken is not None
            and tiling.broken[page // self.hierarchy.coalesce_4k]
        ):
            return SIZE_4K_BROKEN
        return code

    def _holder(self, level: int, size: int, number: int) -> _ReferenceArray | None:
        holders = self.hierarchy.holders(level, size)
        if not holders:
            return None
        return self.arrays[holders[-1] if mix(number) & 1 else holders[0]]

    def _access(self, page: int, code: int) -> None:
        hierarchy, (issue, start, per_reference) = self.hierarchy, self.timing
        guest = SIZE_4K if code == SIZE_4K_BROKEN else code
        size = hierarchy.effective_size(guest)
        # Only a mapping that is 4K in the guest's own tables can be known to be broken; see Tiling.broken.
        broken = code == SIZE_4K_BROKEN
        grouped = size == SIZE_4K and hierarchy.coalesce_4k > 1 and not broken
        number = page // hierarchy.coalesce_4k if grouped else page >> SIZE_SHIFT[size]
        entry = (3 if grouped else size, number)
        now, self.clock = self.clock, self.clock + issue
        first = self._holder(0, size, number)
        assert first is not None
        if first.place(number).find(entry):
            self.counters[size] += 1
            return
        kept = hierarchy.l2_keeps(size)
        number2 = number if kept == size else page >> SIZE_SHIFT[kept]
        entry2 = entry if kept == size else (kept, number2)
        second = self._holder(1, kept, number2)
        if second is not None:
            if second.place(number2).find(entry2):
                self.counters[3 + size] += 1
                first.place(number).insert(entry)
                return
            second.place(number2).insert(entry2)
        first.place(number).insert(entry)
        self.counters[6 + size] += 1
        references = self.guest_tables.references(page, guest)
        if hierarchy.host_page is not None:
            inner = self.host_tables.references(page, SIZE_CODE[hierarchy.host_page])
            references = (references + 1) * (inner + 1) - 1
        self.counters[9] += references
        if not any(self.timing):
            return
        walker = self.free_at.index(min(self.free_at))
        wait = max(self.free_at[walker] - now, 0)
        self.clock += wait
        cycles = start + per_reference * references
        self.free_at[walker] = now + wait + cycles
        self.counters[10] += cycles
        self.counters[11] += wait
