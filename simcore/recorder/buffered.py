"""A single series' changes on their way to its column store: collected in lists, handed over in chunks."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simcore.columns import Columns
    from simcore.environment import Environment

__all__ = ["CHUNK", "Buffered", "Collector", "sender"]

CHUNK: Final = 2048
"""Changes that are collected before the store takes them over."""

Collector = Generator[None, Any, None]
"""Takes what it is sent, one number after another, for ever."""


def sender(collector: Collector) -> Callable[[Any], None]:
    """Return the function that hands a number to a collector.

    It costs two thirds of a method that does the same: a loop counts for nothing how much has been collected, and its
    variables need not be looked up. Kept in one of ``__slots__`` it would cost as much as the method.
    """
    next(collector)
    return collector.send


class Buffered:
    """A single column that collects changes in two lists and hands them to its store in chunks."""

    def __init__(self, env: Environment, name: str, code: str, max_points: int) -> None:
        self._env = env
        self.name = name
        self._code = code
        self._times: list[int] = []
        self._values: list[Any] = []
        self._max_points = max_points
        self._columns: Columns | None = None

    def flush(self) -> Columns:
        """Hand over what is buffered; return the store, whole up to now.

        Raises:
            TypeError: A value that the series cannot hold, e.g. a float in a level of integers.
            ValueError: A time before the one recorded last, or a NaN.
        """
        if self._columns is None:
            # Numba takes a moment to import: only a run that records pays for it.
            from simcore.columns import Columns  # noqa: PLC0415

            self._columns = Columns([self.name], np.int64 if self._code == "q" else np.float64, self._max_points)
        if self._times:
            times, values = self._packed(self._times, "q"), self._taken()
            self._times.clear()
            self._columns.append(times, values)
        return self._columns

    def _taken(self) -> NDArray[Any]:
        """Return the buffered values, one per time, and forget them."""
        values = self._packed(self._values, self._code)
        self._values.clear()
        return values

    def _packed(self, numbers: list[Any], code: str) -> NDArray[Any]:
        # struct is twice as fast as np.array, and refuses what does not fit where NumPy would round it.
        try:
            if code == "d" and type(numbers[0]) is int:
                # Nearly always all are then, and whole numbers become floats four times as fast in an array.
                with suppress(struct.error):
                    return self._array(numbers, "q").astype(np.float64)
            return self._array(numbers, code)
        except struct.error:
            for number in numbers:
                try:
                    struct.pack(code, number)
                except struct.error:
                    kind = "64-bit integers" if code == "q" else "numbers"
                    raise TypeError(f"series {self.name!r} holds {kind}, not {number!r}") from None
            raise

    @staticmethod
    def _array(numbers: list[Any], code: str) -> NDArray[Any]:
        dtype = np.int64 if code == "q" else np.float64
        return np.frombuffer(struct.pack(f"{len(numbers)}{code}", *numbers), dtype)
