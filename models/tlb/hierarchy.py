"""A TLB hierarchy as the models use it: arrays per level, who holds which size; and all that as integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.machine.tlb import PageSize, TlbArray, TlbPreset, load_tlb
from models.tlb.aged import MOST_WAYS, aged_stride
from models.tlb.lanes import LANES

__all__ = [
    "FIELDS",
    "SIZES",
    "SIZE_1G",
    "SIZE_2M",
    "SIZE_4K",
    "SIZE_CODE",
    "SIZE_SHIFT",
    "Array",
    "CompiledHierarchy",
    "Hierarchy",
]

SIZES: tuple[PageSize, ...] = ("4K", "2M", "1G")
SIZE_4K, SIZE_2M, SIZE_1G = 0, 1, 2
SIZE_CODE: dict[str, int] = {size: code for code, size in enumerate(SIZES)}
# Virtual page number (of 4K) to the number of the larger page that holds it.
SIZE_SHIFT = (0, 9, 18)

# How an array is kept: LRU sets as rows of lanes in order of use; a longer one that is alone as ages, and one too long
# for these as a ring of links with a hash table that finds its ways; longer ones among others as rows; plain rows where
# an entry keeps its way.
FORMS = ("lanes", "aged", "ring", "row", "tree_or_random")
# Columns of CompiledHierarchy.arrays; consecutive sets are `stride` integers apart.
FIELDS = ("sets", "ways", "form", "hashed", "tags", "stride", "next", "prev", "slots", "hash_mask", "tree_nodes",
          "tree", "draws")  # fmt: skip
# Ways up to which moving the keys of an LRU set that is alone is faster than ageing its ways.
LONGEST_ALONE = 16
# Integers of a cache line.
_LINE = 8


@dataclass(frozen=True)
class Array:
    """One array: ``ways`` is always the true associativity (all entries when fully associative)."""

    sizes: tuple[PageSize, ...]
    entries: int
    ways: int
    replacement: Literal["lru", "plru", "random"] = "lru"
    hashed: bool = False

    @classmethod
    def of(cls, array: TlbArray) -> Array:
        """Return the array that a preset describes."""
        return cls(
            array.sizes,
            array.entries,
            array.ways or array.entries,
            array.replacement,
            array.index == "hashed",
        )

    @property
    def sets(self) -> int:
        """Number of sets."""
        return self.entries // self.ways

    @property
    def form(self) -> str:
        """The one of `FORMS` in which compiled code keeps the array."""
        if self.replacement != "lru":
            return "tree_or_random"
        if self.ways <= (LANES[-1] if self.sets > 1 else LONGEST_ALONE):
            return "lanes"
        if self.sets > 1:
            return "row"
        return "aged" if self.ways <= MOST_WAYS else "ring"

    @property
    def stride(self) -> int:
        """Integers from one set to the next in compiled code."""
        if self.form == "aged":
            return aged_stride(self.ways)
        return next(lanes for lanes in LANES if lanes >= self.ways) if self.form == "lanes" else self.ways


@dataclass(frozen=True)
class CompiledHierarchy:
    """A hierarchy as integers.

    Attributes:
        arrays: One row per array, columns `FIELDS`; after the TLB's own come the paging-structure caches.
        psc: ``psc[dimension, which]`` is the row of the PDE, PDPTE and PML4E cache, of the guest (or bare
            metal) and of the host; -1 when there is none.
        route: ``route[level, size, bit]`` is the array (row number) that holds ``size`` at that level when
            the page's hash bit is ``bit``; -1 when the level does not hold it.
        l2_shift: For each size, the shift from 4K page number to the number under which level 2 keeps it.
        l2_size: The size as which level 2 keeps it (1G as 2M pieces on some CPUs).
        length: Integers of state that the rows point into.
    """

    arrays: npt.NDArray[np.int64]
    psc: npt.NDArray[np.int64]
    route: npt.NDArray[np.int64]
    l2_shift: npt.NDArray[np.int64]
    l2_size: npt.NDArray[np.int64]
    length: int


@dataclass(frozen=True)
class Hierarchy:
    """Two levels of arrays and what a walk meets.

    Attributes:
        levels: Arrays of the first and of the second level.
        one_gig_as_2m: Level 2 keeps 2M pieces of a 1G page.
        coalesce_4k: 4K pages in an aligned untouched group that share one entry; 1: none.
        walkers: Walks that can be under way at once.
        psc: Entries of the paging-structure caches (PDE, PDPTE, PML4E).
        host_page: In a virtual machine, the page size with which the host maps it; None on bare metal. An
            entry's reach is the smaller of both, and nothing coalesces (host frames are scattered).
        preset: Where it comes from, for latencies.
    """

    levels: tuple[tuple[Array, ...], tuple[Array, ...]]
    one_gig_as_2m: bool = False
    coalesce_4k: int = 1
    walkers: int = 1
    psc: tuple[int, int, int] = (0, 0, 0)
    host_page: PageSize | None = None
    preset: TlbPreset | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for size in range(3):
            if not self.holders(0, size):
                raise ValueError(f"no array of level 1 holds {SIZES[size]} pages")
            if max(len(self.holders(0, size)), len(self.holders(1, size))) > 2:
                raise ValueError(f"{SIZES[size]} is named in more than two arrays of a level")

    @classmethod
    def from_preset(
        cls, preset: TlbPreset | str, *, host_page: PageSize | None = None, coalesce: bool = True
    ) -> Hierarchy:
        """Build the hierarchy of a preset (or of the preset with that name).

        Args:
            preset: A loaded preset or a name for `load_tlb`.
            host_page: Host page size in a virtual machine.
            coalesce: False switches 4K coalescing off (physically scattered frames).
        """
        if isinstance(preset, str):
            preset = load_tlb(preset)
        caches = preset.paging_structure_caches
        return cls(
            levels=(tuple(map(Array.of, preset.l1d)), tuple(map(Array.of, preset.l2))),
            one_gig_as_2m=preset.one_gig_in_l2 == "as_2m",
            coalesce_4k=preset.coalesce_4k if coalesce and host_page is None else 1,
            walkers=preset.walkers,
            psc=(caches.pde, caches.pdpte, caches.pml4e),
            host_page=host_page,
            preset=preset,
        )

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All arrays, level 1 first; rows of `CompiledHierarchy.arrays` follow this order."""
        return self.levels[0] + self.levels[1]

    def effective_size(self, size: int) -> int:
        """Return the size code of an entry for a guest page of size code ``size``."""
        return size if self.host_page is None else min(size, SIZE_CODE[self.host_page])

    def holders(self, level: int, size: int) -> tuple[int, ...]:
        """Return the arrays (numbers in `arrays`) that may hold ``size`` at ``level`` (0 or 1)."""
        first = len(self.levels[0]) if level else 0
        name = SIZES[size]
        return tuple(first + i for i, array in enumerate(self.levels[level]) if name in array.sizes)

    def l2_keeps(self, size: int) -> int:
        """Return the size code under which level 2 keeps an entry of ``size`` (2M for 1G kept in pieces)."""
        if size == SIZE_1G and self.one_gig_as_2m and not self.holders(1, SIZE_1G):
            return SIZE_2M
        return size

    def compile(self) -> CompiledHierarchy:
        """Lay all arrays out in flat state and return the integers that compiled code works with."""
        psc = np.full((2, 3), -1, np.int64)
        arrays = list(self.arrays)
        for dimension in range(1 if self.host_page is None else 2):
            for which, entries in enumerate(self.psc):
                if entries:
                    psc[dimension, which] = len(arrays)
                    arrays.append(Array((), entries, entries))
        rows = []
        length = 0
        for array in arrays:
            ringed = array.form == "ring"
            slots = 1 << (4 * array.ways - 1).bit_length() if ringed else 0
            nodes = 1 << (array.ways - 1).bit_length() if array.replacement == "plru" else 0
            ring = array.ways + 1 if ringed else 0
            places = []
            for size in (array.stride * array.sets, ring, ring, 2 * slots, nodes * array.sets, 1):
                places.append(length)
                length += -(-size // _LINE) * _LINE
            tags, following, preceding, hashes, tree, draws = places
            rows.append((array.sets, array.ways, FORMS.index(array.form), int(array.hashed), tags, array.stride,
                         following, preceding, hashes, slots - 1, nodes, tree, draws))  # fmt: skip
        route = np.full((2, 3, 2), -1, np.int64)
        for level in range(2):
            for size in range(3):
                holders = self.holders(level, self.l2_keeps(size) if level else size)
                if holders:
                    route[level, size] = holders[0], holders[-1]
        kept = [self.l2_keeps(size) for size in range(3)]
        return CompiledHierarchy(
            arrays=np.array(rows, np.int64).reshape(len(rows), len(FIELDS)),
            psc=psc,
            route=route,
            l2_shift=np.array([SIZE_SHIFT[size] for size in kept], np.int64),
            l2_size=np.array(kept, np.int64),
            length=length,
        )
