"""Scales: from a share between 0 and 1 to a value of a range or one of several choices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from simcore.errors import ConfigError
from simcore.sweep.design import Range
from simcore.sweep.quantities import quantity, unit_of

__all__ = ["Choice", "Scale"]


class Choice:
    """One of several values, each with the same probability.

    Raises:
        ConfigError: there are none.
    """

    def __init__(self, values: Sequence[Any], place: str) -> None:
        if not values:
            raise ConfigError("has no values", key=place)
        self.values = list(values)

    def sample(self, share: float) -> Any:
        """Return the value at a random share."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]


class Scale:
    """A range with its units read: maps shares of 0 to 1 to values.

    Raises:
        ConfigError: ends that make no range, or a scale or multiple that cannot be.
    """

    def __init__(self, given: Range, place: str) -> None:
        self.low, low_unit = self._end(given.start, f"{place}.from")
        self.high, high_unit = self._end(given.to, f"{place}.to")
        if low_unit != high_unit:
            raise ConfigError(f"{given.start!r} and {given.to!r} are of different kinds", key=place)
        if not self.low < self.high:
            raise ConfigError(f"from {given.start} to {given.to} is no range", key=place, expected="`to` above `from`")
        self.log = given.scale == "log"
        if self.log and self.low <= 0:
            raise ConfigError(f"a log scale cannot begin at {given.start}", key=place)
        self.multiple: int | float | None = None
        if given.multiple_of is not None:
            self.multiple, _ = self._end(given.multiple_of, f"{place}.multiple_of")
            if self.multiple <= 0:
                raise ConfigError(f"{given.multiple_of} is not above 0", key=f"{place}.multiple_of")
        self.integer = given.integer or low_unit != ""

    def at(self, share: float) -> int | float:
        """Return the value at a share of the way, for evenly spaced steps."""
        if self.log:
            return self._round(self.low * (self.high / self.low) ** share)
        return self._round(self.low + share * (self.high - self.low))

    def sample(self, share: float) -> int | float:
        """Return the value at a random share; whole numbers all get an equal part of a linear range."""
        if not self.integer or self.multiple is not None:
            return self.at(share)
        width = self.high + 1 - self.low
        value = self.low * ((self.high + 1) / self.low) ** share if self.log else self.low + share * width
        return min(int(value), int(self.high))

    def _round(self, value: float) -> int | float:
        if self.multiple is not None:
            value = self.multiple * round(value / self.multiple)
        value = min(max(value, self.low), self.high)
        return round(value) if self.integer else float(value)

    def _end(self, given: int | float | str, place: str) -> tuple[int | float, str]:
        """Return a number and its kind of unit: "bytes", "ns" or ""."""
        value = quantity(given)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise ConfigError(
                    f"{given!r} is no number", key=place, expected="a number or a quantity such as 64GiB"
                ) from None
        elif isinstance(given, str):
            return value, unit_of(given)
        if isinstance(value, bool) or not math.isfinite(value):
            raise ConfigError(f"{given!r} is no number", key=place, expected="a finite number")
        return value, ""
