"""The direct map over time, kept as changes: a bounded ring of what each 2M region became, and when.

An operation knows no time, so a change waits without one until the kernel's numbers are noted (`stamp`), at the time
that the series get too. When the ring is full, changes that a later one of the same region follows within one bucket
of time are forgotten, and buckets double until half of the ring is free: every region's state at the end of a bucket
stays exact, whatever the number of changes.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernel.arena import reserve, slot_array
from simcore.compiled import jit

__all__ = [
    "ABSENT_SHIFT", "ALL", "GIGA", "LEVEL_MASK", "NONE_ABSENT", "SECRET", "SOME", "MapChanges", "absent_pages",
    "add_giga",
    "add_region", "count_absent", "count_secret", "secret_pages", "stamp",
]  # fmt: skip

# A change in one byte: level of the region's entries (0: not mapped at all), part of it that is not present, whether
# it holds secret pages, whether the change is of a whole 1G region (then only its level counts).
LEVEL_MASK: Final = 3
ABSENT_SHIFT: Final = 2
NONE_ABSENT: Final = 0
SOME: Final = 1
ALL: Final = 2
SECRET: Final = 16
GIGA: Final = 32

_CODE_BITS: Final = 8
_SUBJECT: Final = ~(LEVEL_MASK | 3 << ABSENT_SHIFT | SECRET)
"""Bits of a change that say which region it is of."""
_REGION_PAGES: Final = 512
_PENDING: Final = (1 << 63) - 1
"""Time of a change that has none yet; a bucket of its own in every coarseness below 62."""
_MIN_CHANGES: Final = 1 << 18

BOOK: Final = np.dtype(
    [
        ("count", "<i8"), ("stamped", "<i8"), ("capacity", "<i8"),
        ("shift", "<i8"), ("regions", "<i8"), ("keys", "<i8"),
    ]
)  # fmt: skip


class MapChanges:
    """Arrays behind the changes; they belong to a direct map and lie in its header.

    Attributes:
        arrays: what compiled code reaches, in the order of the header's slots from `FIRST_SLOT` on.
    """

    def __init__(self, pfns: int) -> None:
        """Make room for a machine with page frames below ``pfns``."""
        regions = (pfns >> 9) + 512
        keys = regions + (pfns >> 18) + 1
        capacity = max(_MIN_CHANGES, 4 * keys)
        self._changes = reserve(2 * capacity, np.int64)
        self._book = np.zeros(1, BOOK)
        self._book["capacity"], self._book["regions"], self._book["keys"] = capacity, regions, keys
        self.arrays = [
            reserve(regions, np.int16), reserve(regions, np.int16), self._changes, self._book, reserve(keys, np.int64),
        ]  # fmt: skip

    @property
    def bucket_ns(self) -> int:
        """Length of the buckets of time within which only a region's last change was kept; 1: all were."""
        return 1 << int(self._book[0]["shift"])

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]:
        """Time in ns, number of the 2M or 1G region, and code of every change that has a time, in order."""
        count = int(self._book[0]["stamped"])
        cells = self._changes[: 2 * count].reshape(count, 2)
        return cells[:, 0].copy(), (cells[:, 1] >> _CODE_BITS).astype(np.int32), (cells[:, 1] & 0xFF).astype(np.uint8)


FIRST_SLOT: Final = 5
_absent = absent_pages = slot_array(FIRST_SLOT, np.int16)
"""Pages of each 2M region that are not in the direct map."""
_secret = secret_pages = slot_array(FIRST_SLOT + 1, np.int16)
"""Secret pages of each 2M region."""
_changes = slot_array(FIRST_SLOT + 2, np.int64)
_books = slot_array(FIRST_SLOT + 3, BOOK)
_seen = slot_array(FIRST_SLOT + 4, np.int64)


@jit
def add_region(handle: int, region: int, level: int) -> None:
    """Note what a 2M region is now; its entries are of ``level``."""
    absent = _absent(handle)[region]
    part = NONE_ABSENT if absent == 0 else ALL if absent == _REGION_PAGES else SOME
    code = level | part << ABSENT_SHIFT | (SECRET if _secret(handle)[region] > 0 else 0)
    _append(handle, region << _CODE_BITS | code)


@jit
def add_giga(handle: int, giga: int, level: int) -> None:
    """Note that a 1G region is now of entries of ``level`` as a whole."""
    _append(handle, giga << _CODE_BITS | GIGA | level)


@jit
def count_absent(handle: int, region: int, change: int) -> bool:
    """Count a page of a region out of the direct map (1) or in again (-1); whether that is worth a note."""
    absent = _absent(handle)
    before = absent[region]
    after = before + change
    absent[region] = after
    return bool((before == 0) != (after == 0) or (before == _REGION_PAGES) != (after == _REGION_PAGES))


@jit
def count_secret(handle: int, region: int, change: int) -> bool:
    """Count a secret page that came to a region (1) or left it (-1); whether that is worth a note."""
    secret = _secret(handle)
    before = secret[region]
    after = max(0, before + change)
    secret[region] = after
    return bool((before == 0) != (after == 0))


@jit
def stamp(handle: int, now_ns: int) -> None:
    """Give the changes since the last time their time."""
    book, cells = _books(handle)[0], _changes(handle)
    for at in range(book.stamped, book.count):
        cells[2 * at] = now_ns
    book.stamped = book.count


@jit
def _append(handle: int, change: int) -> None:
    book, cells = _books(handle)[0], _changes(handle)
    if book.count == book.capacity:
        _forget(handle)
    last = 2 * book.count - 1
    if book.count > book.stamped and (cells[last] ^ change) & _SUBJECT == 0:
        cells[last] = change  # the same region, in the same operation
        return
    cells[2 * book.count] = _PENDING
    cells[2 * book.count + 1] = change
    book.count += 1


@jit
def _forget(handle: int) -> None:
    """Forget what was changed again within a bucket, with buckets long enough to free half of the ring."""
    book, cells, seen = _books(handle)[0], _changes(handle), _seen(handle)
    while book.count > book.capacity // 2:
        book.shift += 1
        for key in range(book.keys):
            seen[key] = -1
        # From the end, so that the last of a region in a bucket is met first; what stays gathers at the end.
        kept, stamped = book.count, 0
        for back in range(book.count):
            at = book.count - 1 - back
            time_ns, change = cells[2 * at], cells[2 * at + 1]
            key = (change >> _CODE_BITS) + (book.regions if change & GIGA else 0)
            bucket = time_ns >> book.shift
            if seen[key] == bucket:
                continue
            seen[key] = bucket
            kept -= 1
            stamped += time_ns != _PENDING
            cells[2 * kept] = time_ns
            cells[2 * kept + 1] = change
        left = book.count - kept
        for at in range(left):
            cells[2 * at] = cells[2 * (kept + at)]
            cells[2 * at + 1] = cells[2 * (kept + at) + 1]
        book.count, book.stamped = left, stamped


