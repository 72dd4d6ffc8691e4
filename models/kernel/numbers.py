"""Numbers handed out, the ones given back last first; Python and compiled code take them from the same array."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.kernel.arena import reserve
from simcore.compiled import jit

__all__ = ["Numbers", "give_number", "take_number"]

_NEXT: Final = 0
_BACK: Final = 1
_STACK: Final = 2


class Numbers:
    """The numbers from ``first`` up to, and without, ``end``.

    Attributes:
        array: int32: the next number that was never used, how many came back, and a stack of those.
    """

    def __init__(self, first: int, end: int) -> None:
        self._end = end
        self.array = reserve(_STACK + end - first, np.int32)
        self.array[_NEXT] = first
        self._cells = memoryview(self.array)  # type: ignore[arg-type]  # NumPy hides its buffer

    def take(self) -> int:
        """A number that nobody has.

        Raises:
            OverflowError: all are in use.
        """
        cells = self._cells
        if cells[_BACK]:
            cells[_BACK] -= 1
            return cells[_STACK + cells[_BACK]]
        number = cells[_NEXT]
        if number == self._end:
            raise OverflowError(f"more than {self._end} holders of pages")
        cells[_NEXT] = number + 1
        return number

    def give(self, number: int) -> None:
        """Give a number back."""
        cells = self._cells
        cells[_STACK + cells[_BACK]] = number
        cells[_BACK] += 1

    def room(self) -> int:
        """How many numbers nobody has."""
        return self._end - self._cells[_NEXT] + self._cells[_BACK]


@jit
def take_number(cells: np.ndarray[tuple[int], np.dtype[np.int32]]) -> int:
    """As `Numbers.take`, in compiled code; the caller has made sure that there is one."""
    if cells[_BACK] > 0:
        cells[_BACK] -= 1
        return int(cells[_STACK + cells[_BACK]])
    cells[_NEXT] += 1
    return int(cells[_NEXT] - 1)


@jit
def give_number(cells: np.ndarray[tuple[int], np.dtype[np.int32]], number: int) -> None:
    """As `Numbers.give`, in compiled code."""
    cells[_STACK + cells[_BACK]] = number
    cells[_BACK] += 1
