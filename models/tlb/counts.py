"""What the trace-driven models count, and the tiling that they look page sizes up in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["SIZE_4K_BROKEN", "Counts", "Tiling"]

# Per-access size code of a 4K page whose group does not coalesce.
SIZE_4K_BROKEN = 3


@dataclass(frozen=True)
class Counts:
    """Hits and walks of a stretch of accesses, by size of the entry (4K, 2M, 1G).

    Attributes:
        l1_hits: Accesses that hit level 1.
        l2_hits: Accesses that missed level 1 and hit level 2.
        walks: Accesses that missed both.
        walk_references: Table entries that the walks read, after the paging-structure caches.
        walker_cycles: Cycles in which walkers were busy, summed over walkers.
        stall_cycles: Cycles in which an access had to wait because every walker was busy.
    """

    l1_hits: tuple[int, int, int]
    l2_hits: tuple[int, int, int]
    walks: tuple[int, int, int]
    walk_references: int = 0
    walker_cycles: int = 0
    stall_cycles: int = 0

    @classmethod
    def of(cls, counters: npt.NDArray[np.int64] | list[int]) -> Counts:
        """Return counts from the twelve integers of a model's state."""
        c = [int(value) for value in counters]
        return cls((c[0], c[1], c[2]), (c[3], c[4], c[5]), (c[6], c[7], c[8]), c[9], c[10], c[11])

    @property
    def accesses(self) -> int:
        """All accesses."""
        return sum(self.l1_hits) + sum(self.l2_hits) + sum(self.walks)

    @property
    def walk_rate(self) -> float:
        """Walks per access (0 without accesses)."""
        return sum(self.walks) / self.accesses if self.accesses else 0.0

    @property
    def l1_miss_rate(self) -> float:
        """Level 1 misses per access (0 without accesses)."""
        return (sum(self.l2_hits) + sum(self.walks)) / self.accesses if self.accesses else 0.0


@dataclass(frozen=True, eq=False)
class Tiling:
    """How a range of page numbers starting at 0 is mapped.

    Attributes:
        region_size: Size code of each 2M region; uint8. A 1G page is 512 aligned regions with code 2.
        broken: For each group of 4K pages, whether it cannot coalesce; None when all can. Its group size is
            the hierarchy's.
    """

    region_size: npt.NDArray[np.uint8]
    broken: npt.NDArray[np.bool_] | None = None

    @classmethod
    def random(cls, n_pages: int, share_4k: float, rng: np.random.Generator, *, size: int = 1) -> Tiling:
        """Map ``share_4k`` of the 2M regions, drawn at random, with 4K and the others with ``size``."""
        regions = -(-n_pages // 512)
        codes = np.full(regions, size, np.uint8)
        codes[rng.permutation(regions)[: round(share_4k * regions)]] = 0
        return cls(codes)
