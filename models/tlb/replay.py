"""One trace through the exact model under a stated tiling, and the figures that come out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import mix
from models.tlb.counts import Counts
from models.tlb.exact import ExactTlb
from models.tlb.hierarchy import SIZE_CODE, SIZES, Hierarchy
from simcore.errors import ConfigError

__all__ = ["Replay", "TraceTiling", "replay"]

_TILING = re.compile(r"(4K|2M|1G)(?:\s*:\s*([0-9.]+)\s*(%?))?", re.IGNORECASE)


@dataclass(frozen=True)
class TraceTiling:
    """Page sizes for addresses of which nothing else is known.

    Attributes:
        base: Size code of all that is not 4K.
        share_4k: Share of 2M regions (or of 1G pages, when base is 1G, then split to 4K whole) mapped with
            4K.
        seed: Which regions these are.
    """

    base: int
    share_4k: float = 0.0
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> TraceTiling:
        """Read ``4K``, ``2M``, ``1G``, or a size with the share that is split: ``2M:30%``, ``1G:0.05``.

        Raises:
            ConfigError: Anything else.
        """
        match = _TILING.fullmatch(text.strip())
        try:
            share = float(match[2]) / (100 if match[3] else 1) if match and match[2] else 0.0
        except ValueError:
            share = -1.0
        if match is None or not 0 <= share <= 1:
            raise ConfigError(
                f"no tiling {text!r}",
                key="--tiling",
                expected="4K, 2M, 1G, or with the share split to 4K, as in 2M:30%",
            )
        return cls(SIZE_CODE[match[1].upper()], share, seed)

    def sizes(self, pages: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return the size code of each page; a region's is a function of its number and the seed."""
        if self.base == 0 or self.share_4k == 0:
            return np.full(pages.size, self.base, np.uint8)
        units, inverse = np.unique(pages >> (9 * self.base), return_inverse=True)
        limit = int(self.share_4k * 2.0**64)
        split = np.array([mix(int(unit) ^ mix(self.seed)) < limit for unit in units])
        return np.where(split, 0, self.base).astype(np.uint8)[inverse]


@dataclass(frozen=True)
class Replay:
    """Result of a trace.

    Attributes:
        counts: Hits and walks.
        touched_pages: Distinct 4K pages.
        accesses_by_size: Accesses to 4K, 2M and 1G mappings.
    """

    counts: Counts
    touched_pages: int

    @property
    def accesses_by_size(self) -> tuple[int, int, int]:
        """Accesses by size of the entry that serves them."""
        by_size = [
            sum(parts)
            for parts in zip(self.counts.l1_hits, self.counts.l2_hits, self.counts.walks, strict=True)
        ]
        return by_size[0], by_size[1], by_size[2]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        counts = self.counts
        by_size = {
            size: {
                "accesses": self.accesses_by_size[code],
                "l1_hits": counts.l1_hits[code],
                "l2_hits": counts.l2_hits[code],
                "walks": counts.walks[code],
            }
            for code, size in enumerate(SIZES)
        }
        return {
            "accesses": counts.accesses,
            "touched_pages": self.touched_pages,
            "l1_hits": sum(counts.l1_hits),
            "l2_hits": sum(counts.l2_hits),
            "walks": sum(counts.walks),
            "walk_references": counts.walk_references,
            "l1_miss_rate": counts.l1_miss_rate,
            "walk_rate": counts.walk_rate,
            "by_size": by_size,
        }


def replay(
    hierarchy: Hierarchy,
    chunks: Iterable[npt.NDArray[np.int64]],
    tiling: TraceTiling,
    *,
    flush_every: int = 0,
    seed: int = 0,
) -> Replay:
    """Feed a stream of page numbers to the exact model.

    Args:
        hierarchy: The TLBs.
        chunks: Page numbers.
        tiling: Their sizes.
        flush_every: Accesses between two full flushes; 0: never.
        seed: Of random replacement.
    """
    tlb = ExactTlb(hierarchy, seed=seed)
    touched: npt.NDArray[np.int64] = np.zeros(0, np.int64)
    left = flush_every
    for chunk in chunks:
        touched = np.union1d(touched, chunk)
        sizes = tiling.sizes(chunk)
        start = 0
        while start < chunk.size:
            stop = min(chunk.size, start + left) if flush_every else chunk.size
            tlb.run(chunk[start:stop], sizes=sizes[start:stop])
            if flush_every:
                left -= stop - start
                if left == 0:
                    tlb.flush()
                    left = flush_every
            start = stop
    return Replay(tlb.counts, int(touched.size))
