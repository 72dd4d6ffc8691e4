"""The direct map at any moment of a run, from its state at the start and the changes since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simcore.result import Result

__all__ = ["ABSENT_SHIFT", "LEVEL_MASK", "REGION_BYTES", "SECRET", "Cells", "MapHistory", "cells_of"]

REGION_BYTES = 2 << 20
_GIGA_REGIONS = 512

# A region's state in one byte.
LEVEL_MASK = 3
ABSENT_SHIFT = 2
SECRET = 16

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class MapHistory:
    """The direct map of a machine over time.

    Attributes:
        start: state of each region of 2 MiB at the beginning, shape (regions,): the level of its entries (0: none,
            1: 4K, 2: 2M, 3: 1G), ``absent << 2`` (0: all pages present, 1: some, 2: none), `SECRET`.
        time_ns: of each change, ascending, shape (changes,).
        region: number of its 2M region, or of its 1G region where ``giga`` says so.
        code: state that the region has from then on; of a 1G region, the level of all its regions.
        giga: whether the change is of a whole 1G region.
        end_ns: end of the run.
    """

    start: Codes
    time_ns: NDArray[np.int64]
    region: NDArray[np.int64]
    code: Codes
    giga: NDArray[np.bool_]
    end_ns: int

    @classmethod
    def of(cls, result: Result) -> MapHistory | None:
        """The history that a run left; None if it left none."""
        if "map_start" not in result.tables or "map_changes" not in result.tables:
            return None
        runs, changes = result.tables["map_start"].to_pydict(), result.tables["map_changes"]
        start = np.repeat(np.array(runs["level"], np.uint8), runs["regions"])
        columns = {name: changes[name].to_numpy() for name in changes.column_names}
        code = (
            columns["level"].astype(np.uint8)
            | columns["absent"].astype(np.uint8) << ABSENT_SHIFT
            | columns["secret"].astype(np.uint8) * np.uint8(SECRET)
        )
        return cls(
            start, columns["time_ns"], columns["region"].astype(np.int64), code, columns["giga"].astype(bool),
            int(result.summary["simulated_ns"]),
        )  # fmt: skip

    @property
    def memory_bytes(self) -> int:
        """One above the highest address of the direct map."""
        return len(self.start) * REGION_BYTES

    def at(self, moment_ns: int) -> Codes:
        """State of every region at a moment, changes of that very moment included."""
        return next(self.over([moment_ns]))

    def over(self, moments_ns: Sequence[int]) -> Iterator[Codes]:
        """State of every region at each of some moments in ascending order; each is a new array."""
        state, done = self.start.copy(), 0
        for moment_ns in moments_ns:
            end = int(np.searchsorted(self.time_ns, moment_ns, side="right"))
            self._apply(state, done, end)
            done = max(done, end)
            yield state.copy()

    def _apply(self, state: Codes, begin: int, end: int) -> None:
        """Carry changes ``begin`` to ``end`` out in order; between two of whole 1G regions, all at once."""
        whole = begin + np.flatnonzero(self.giga[begin:end])
        for until in [*whole.tolist(), end]:
            if begin < until:
                # Where an index comes twice, the later value stays.
                state[self.region[begin:until]] = self.code[begin:until]
            if until < end:
                first = int(self.region[until]) * _GIGA_REGIONS
                part = state[first : first + _GIGA_REGIONS]
                part[:] = (part & ~np.uint8(LEVEL_MASK)) | (self.code[until] & LEVEL_MASK)
            begin = until + 1


@dataclass(frozen=True)
class Cells:
    """A picture's cells, each one region or several in a row.

    Attributes:
        share: parts of each cell that are in no direct map, of 4K, of 2M, of 1G entries; shape (cells, 4).
        secret: whether the cell holds secret pages.
        absent: whether it has pages out of the direct map.
        regions: how many regions a cell has.
    """

    share: NDArray[np.float32]
    secret: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    regions: int


def cells_of(state: Codes, at_most: int) -> Cells:
    """Gather regions into at most ``at_most`` cells, each of a power of two of them."""
    regions = 1
    while -(-len(state) // regions) > at_most:
        regions *= 2
    if len(state) % regions:
        state = np.append(state, np.zeros(regions - len(state) % regions, np.uint8))
    level = state & LEVEL_MASK
    share = np.stack([(level == kind).reshape(-1, regions).mean(1, dtype=np.float32) for kind in range(4)], 1)
    secret = ((state & SECRET) != 0).reshape(-1, regions).any(1)
    absent = (state >> ABSENT_SHIFT & 3 != 0).reshape(-1, regions).any(1)
    return Cells(share, secret, absent, regions)
