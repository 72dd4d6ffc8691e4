"""A bystander's footprint under a tiling: the entries of each size that hold its pages, by popularity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.tlb.compiled import compiled
from models.tlb.hierarchy import SIZE_1G, SIZE_2M, SIZE_4K, Hierarchy
from models.tlb.popularity import Popularity

__all__ = ["CLASSES", "RATE_UNIT", "Population"]

# Rows of the bins: entries of each size, and the 2M pieces in which some CPUs keep 1G pages at level 2.
CLASSES = ("4K", "2M", "1G", "2M_of_1G")
CLASS_PIECE = 3
# Rates are summed in integers of this unit, so that a tiling's bins do not depend on the way that led to it.
RATE_UNIT = 2.0**-52

Ints = npt.NDArray[np.int64]


class Population:
    """The pages of one bystander, and the entries that hold them.

    Entries are counted in bins of popularity on a logarithmic grid. A 2M entry's rate is the sum of the rates
    of the bystander's pages in that region, a 1G entry's the sum over its regions, and an untouched aligned
    group of ``coalesce`` 4K pages is one entry. A change of tiling moves only the entries of the regions it
    touches.

    Attributes:
        count: Entries by class and bin; int64, shape (4, bins), rows `CLASSES`.
        mass: Their summed rates in `RATE_UNIT`; int64, same shape.
        region_size: Size code of each footprint region, in the order of `regions`.
        page_count: Pages of the footprint by popularity bin, whatever maps them; int64, shape (bins,).
        page_mass: Their summed rates in `RATE_UNIT`.
        leaf_lines_4k: 64-byte lines of last-level tables (8 entries of 4K) that map pages of the footprint.
        regions: Numbers (pfn >> 9) of the 2M regions that hold pages of the footprint, ascending.
    """

    def __init__(
        self,
        popularity: Popularity,
        pfns: npt.ArrayLike | None = None,
        *,
        size: int = SIZE_2M,
        coalesce: int = 1,
        host_page: int = SIZE_1G,
        bins: int = 200,
    ) -> None:
        """Place a popularity law on page frames.

        Args:
            popularity: The law; page i of it lies in frame ``pfns[i]``.
            pfns: Page frame (4K) of each page, distinct; consecutive from 0 when left out.
            size: Size code with which everything is mapped at first.
            coalesce: 4K pages in a group that shares an entry (power of two; 1: none).
            host_page: Size code of the host's mapping in a virtual machine, the upper bound of an entry's
                reach.
            bins: Popularity bins.

        Raises:
            ValueError: Frames that repeat, are negative, or are not one per page.
        """
        frames = np.arange(len(popularity)) if pfns is None else np.asarray(pfns, np.int64)
        if frames.shape != (len(popularity),):
            raise ValueError(f"{len(popularity)} pages need as many frames, not shape {frames.shape}")
        order = np.argsort(frames, kind="stable")
        frames = frames[order]
        if frames.size and (frames[0] < 0 or (np.diff(frames) == 0).any()):
            raise ValueError("page frames must be distinct and not negative")
        if coalesce not in (1, 2, 4, 8, 16):
            raise ValueError(f"coalesce must be 1, 2, 4, 8 or 16, not {coalesce}")
        self.coalesce = coalesce
        self.host_page = host_page
        self.bins = bins
        page_rate = np.rint(popularity.rates[order] / RATE_UNIT).astype(np.int64)
        self._group_shift = coalesce.bit_length() - 1
        self._page_rate = page_rate
        self._groups, self._group_start = _runs(frames >> self._group_shift)
        self.regions, self._region_start = _runs(frames >> 9)
        self._region_groups = np.searchsorted(self._group_start, self._region_start)
        self._gigs, self._gig_start = _runs(self.regions >> 9)
        self._gig_of_region = np.repeat(np.arange(self._gigs.size), np.diff(self._gig_start))
        self._group_rate = np.add.reduceat(page_rate, self._group_start[:-1])
        self._region_rate = np.add.reduceat(page_rate, self._region_start[:-1])
        floor = max(int(page_rate[page_rate > 0].min()), 1)
        self._grid = (float(np.log(floor)), bins / (float(np.log(int(page_rate.sum()) / floor)) + 1e-9))
        self._page_bin = self._bin(page_rate)
        self._group_bin = self._bin(self._group_rate)
        self._region_bin = self._bin(self._region_rate)
        self.page_count = np.bincount(self._page_bin, minlength=bins).astype(np.int64)
        self.page_mass = np.zeros(bins, np.int64)
        np.add.at(self.page_mass, self._page_bin, page_rate)
        lines, first = np.unique(frames >> 3, return_index=True)
        self._region_lines = np.diff(np.append(np.searchsorted(first, self._region_start[:-1]), lines.size))
        self.leaf_lines_4k = 0
        self._broken = np.zeros(self._groups.size, np.bool_)
        self._gig_rate = np.zeros(self._gigs.size, np.int64)
        self._index = {int(number): i for i, number in enumerate(self.regions)}
        self.region_size = np.full(self.regions.size, size, np.uint8)
        self.count = np.zeros((len(CLASSES), bins), np.int64)
        self.mass = np.zeros((len(CLASSES), bins), np.int64)
        self._recount()

    @classmethod
    def on(
        cls,
        hierarchy: Hierarchy,
        popularity: Popularity,
        pfns: npt.ArrayLike | None = None,
        *,
        size: int = SIZE_2M,
    ) -> Population:
        """Place a law on frames, with the coalescing and the host page of ``hierarchy``."""
        return cls(
            popularity,
            pfns,
            size=size,
            coalesce=hierarchy.coalesce_4k,
            host_page=hierarchy.effective_size(SIZE_1G),
        )

    def set_tiling(self, sizes: npt.ArrayLike) -> None:
        """Set the size code of every footprint region at once (order and length of `regions`)."""
        codes = np.asarray(sizes, np.uint8)
        if codes.shape != self.regions.shape or codes.max(initial=0) > SIZE_1G:
            raise ValueError(f"need {self.regions.size} size codes 0 to 2, not shape {codes.shape}")
        self.region_size = codes.copy()
        self._recount()

    def size_of(self, region: int) -> int | None:
        """Return the size code that maps a 2M region (pfn >> 9); None if no page of the footprint lies there."""
        index = self._index.get(region)
        return None if index is None else int(self.region_size[index])

    def set_region(self, region: int, size: int) -> bool:
        """Map one 2M region (pfn >> 9) with ``size``; return whether any page of the footprint lies there.

        The regions of a 1G page that is split are set one by one, or together by `set_gigantic`.
        """
        index = self._index.get(region)
        if index is None:
            return False
        if self.region_size[index] != size:
            self._move(index, -1)
            self.region_size[index] = size
            self._move(index, 1)
        return True

    def set_gigantic(self, gigantic: int, size: int) -> bool:
        """Map all regions of a 1G page (pfn >> 18) with ``size``; return whether it holds footprint."""
        index = int(np.searchsorted(self._gigs, gigantic))
        if index == self._gigs.size or self._gigs[index] != gigantic:
            return False
        for region in range(int(self._gig_start[index]), int(self._gig_start[index + 1])):
            self.set_region(int(self.regions[region]), size)
        return True

    def set_group_broken(self, pfn: int, broken: bool = True) -> bool:
        """Say that a 4K entry in the group of ``pfn`` differs from its neighbours (or no longer does).

        Returns whether the footprint is touched. Remembered also while a larger entry maps the group.
        """
        number = pfn >> self._group_shift
        index = int(np.searchsorted(self._groups, number))
        if index == self._groups.size or self._groups[index] != number:
            return False
        if bool(self._broken[index]) != broken:
            region = self._index[pfn >> 9]
            self._move(region, -1)
            self._broken[index] = broken
            self._move(region, 1)
        return True

    def shares(self) -> tuple[float, float, float]:
        """Return the shares of visits that 4K, 2M and 1G entries serve (sum 1)."""
        sums = self.mass[:3].sum(axis=1) / self.mass[:3].sum()
        return float(sums[0]), float(sums[1]), float(sums[2])

    def entries(self) -> tuple[int, int, int]:
        """Return how many distinct 4K, 2M and 1G entries the footprint needs."""
        sums = self.count[:3].sum(axis=1)
        return int(sums[0]), int(sums[1]), int(sums[2])

    def _bin(self, rate: Ints) -> npt.NDArray[np.int64]:
        low, scale = self._grid
        place = (np.log(np.maximum(rate, 1)) - low) * scale
        return np.clip(place.astype(np.int64), 0, self.bins - 1)

    def _recount(self) -> None:
        self.count[:] = 0
        self.mass[:] = 0
        self._gig_rate[:] = 0
        self.leaf_lines_4k = 0
        for index in range(self.regions.size):
            self._move(index, 1)

    def _move(self, index: int, sign: int) -> None:
        """Add (sign 1) or take away (sign -1) the entries of one region under its present size."""
        size = min(int(self.region_size[index]), self.host_page)
        if self.region_size[index] == SIZE_4K:
            self.leaf_lines_4k += sign * int(self._region_lines[index])
        if size == SIZE_4K:
            first, last = int(self._region_groups[index]), int(self._region_groups[index + 1])
            _move_groups(
                sign, first, last, self._group_start, self._broken, self._group_rate, self._group_bin,
                self._page_rate, self._page_bin, self.count, self.mass,
            )  # fmt: skip
            return
        rate, place = int(self._region_rate[index]), int(self._region_bin[index])
        if not rate:
            return
        row = SIZE_2M if size == SIZE_2M else CLASS_PIECE
        self.count[row, place] += sign
        self.mass[row, place] += sign * rate
        if size == SIZE_1G:
            gig = int(self._gig_of_region[index])
            self._count_gig(gig, -1)
            self._gig_rate[gig] += sign * rate
            self._count_gig(gig, 1)

    def _count_gig(self, gig: int, sign: int) -> None:
        rate = self._gig_rate[gig]
        if rate:
            low, scale = self._grid
            place = min(max(int((np.log(rate) - low) * scale), 0), self.bins - 1)
            self.count[SIZE_1G, place] += sign
            self.mass[SIZE_1G, place] += sign * rate


def _runs(numbers: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values of a sorted array and where each begins (with the end appended)."""
    values, first = np.unique(numbers, return_index=True)
    return values, np.append(first, numbers.size)


@compiled
def _move_groups(
    sign: int,
    first: int,
    last: int,
    group_start: Ints,
    broken: npt.NDArray[np.bool_],
    group_rate: Ints,
    group_bin: Ints,
    page_rate: Ints,
    page_bin: Ints,
    count: Ints,
    mass: Ints,
) -> None:
    for group in range(first, last):
        if not broken[group]:
            if group_rate[group] > 0:
                count[0, group_bin[group]] += sign
                mass[0, group_bin[group]] += sign * group_rate[group]
            continue
        for page in range(group_start[group], group_start[group + 1]):
            if page_rate[page] > 0:
                count[0, page_bin[page]] += sign
                mass[0, page_bin[page]] += sign * page_rate[page]
