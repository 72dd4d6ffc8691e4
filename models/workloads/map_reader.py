"""What became of the direct map since it was last asked: its recorded changes, read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernel.direct_map import DirectMap
from models.kernel.map_changes import ABSENT_SHIFT, GIGA, LEVEL_MASK

CODE_BITS = 8
"""A change's low bits, which say what the region became; the number is above."""

__all__ = ["MapReader", "RegionChange", "boot_sizes", "present_sizes"]


class RegionChange(NamedTuple):
    """A region's state from a time on.

    Attributes:
        number: of the 2M region, or of the 1G region if ``gigantic``.
        size: code of its entries, 0 (4K) to 2 (1G).
        holed: whether some of its pages are not present.
    """

    time_ns: int
    number: int
    gigantic: bool
    size: int
    holed: bool


class MapReader:
    """A reader of one direct map's changes; several may read, each at its own pace.

    When the record was thinned out since the last time, what it still has is read: each region's last state in every
    bucket of time, so that nothing but times within a bucket is lost.
    """

    def __init__(self, direct_map: DirectMap) -> None:
        self._changes = direct_map.changes
        # Read in place: a copy of all rows for every sample would cost more than the bystanders themselves.
        self._rows, self._book = (self._changes.arrays[at] for at in (2, 3))
        self._read = 0
        self._bucket_ns = self._changes.bucket_ns
        self._time_ns = 0
        self.skip()

    def _cells(self) -> NDArray[np.int64]:
        return self._rows.reshape(-1, 2)

    def skip(self) -> None:
        """Take all changes so far as read."""
        self._read = int(self._book[0]["stamped"])
        if self._read:
            self._time_ns = int(self._cells()[self._read - 1, 0])

    def new(self) -> Iterator[RegionChange]:
        """Changes that were not read yet, in order of time."""
        cells, stamped = self._cells(), int(self._book[0]["stamped"])
        first = self._read
        if self._changes.bucket_ns != self._bucket_ns:
            self._bucket_ns = self._changes.bucket_ns
            first = int(np.searchsorted(cells[:stamped, 0], self._time_ns, side="left"))
        self._read = stamped
        if stamped:
            self._time_ns = int(cells[stamped - 1, 0])
        for time_ns, change in cells[first:stamped].tolist():
            level = change & LEVEL_MASK
            if level:
                holed = bool(change >> ABSENT_SHIFT & 3)
                yield RegionChange(time_ns, change >> CODE_BITS, bool(change & GIGA), level - 1, holed)


def boot_sizes(direct_map: DirectMap, regions: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Size code of each 2M region as the boot left it; what it did not map counts as 4K."""
    starts = np.array([start for start, _, _ in direct_map.tiles], np.int64)
    levels = np.array([level for _, _, level in direct_map.tiles], np.int64)
    at = np.searchsorted(starts, regions << 9, side="right") - 1
    return np.where(at >= 0, levels[np.maximum(at, 0)] - 1, 0).astype(np.uint8)


def present_sizes(direct_map: DirectMap, regions: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Size code of each 2M region now; what is not mapped counts as 4K."""
    return np.array([max(0, direct_map.level(int(region) << 9) - 1) for region in regions], np.uint8)
