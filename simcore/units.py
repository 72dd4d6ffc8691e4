"""Sizes, durations, page counts and ratios: read from text with units, written for people, typed for configs.

Sizes are powers of two, spelt as the kernel spells them (``4K``, ``2M``, ``1G``) or by IEC (``4KiB``,
``2MiB``, ``1GiB``). ``kB`` and ``GB`` are refused: they mean 1000 to some readers and 1024 to others
(``/proc/meminfo`` writes kB and means KiB).
"""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from simcore.errors import SimcoreError, nearest_name

__all__ = [
    "BYTE_UNITS",
    "TIME_UNITS",
    "Bytes",
    "Nanoseconds",
    "Pages",
    "Ratio",
    "UnitError",
    "format_bytes",
    "format_count",
    "format_ns",
    "parse_bytes",
    "parse_ns",
    "parse_pages",
    "parse_ratio",
]

#: Bytes per unit.
BYTE_UNITS: dict[str, int] = {
    "B": 1,
    "K": 1 << 10, "KiB": 1 << 10,
    "M": 1 << 20, "MiB": 1 << 20,
    "G": 1 << 30, "GiB": 1 << 30,
    "T": 1 << 40, "TiB": 1 << 40,
    "P": 1 << 50, "PiB": 1 << 50,
}  # fmt: skip

#: Nanoseconds per unit.
TIME_UNITS: dict[str, int] = {
    "ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000,
    "min": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000,
}  # fmt: skip

INT64_MAX = (1 << 63) - 1
_QUANTITY = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\W\d_]*)\s*")
_SIZE_EXAMPLES = "a size such as 64GiB, 2M or 4096"
_TIME_EXAMPLES = "a duration such as 10ms, 1.5s or 250us"


class UnitError(SimcoreError, ValueError):
    """A quantity that cannot be read; ``expected`` and ``nearest`` help to mend it."""

    def __init__(self, message: str, expected: str = "", nearest: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.nearest = nearest

    def __str__(self) -> str:
        text = self.message + (f"; expected {self.expected}" if self.expected else "")
        return text + (f"; did you mean {self.nearest!r}?" if self.nearest else "")


def _whole(value: Decimal, given: object, expected: str) -> int:
    """Return ``value`` as an int in 0..2**63-1."""
    if not value.is_finite():
        raise UnitError(f"{given!r} is not finite", expected)
    if value < 0:
        raise UnitError(f"{given!r} is negative", expected)
    if value > INT64_MAX:
        raise UnitError(f"{given!r} is larger than 64 bits hold", expected)
    if value != int(value):
        raise UnitError(f"{given!r} is not a whole number of the smallest unit", expected)
    return int(value)


def _parse(given: object, units: dict[str, int], expected: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise UnitError(f"{given!r} is not a quantity", expected)
    if isinstance(given, int | float):
        return _whole(Decimal(given), given, expected)
    match = _QUANTITY.fullmatch(given)
    if match is None:
        raise UnitError(f"{given!r} is not a quantity", expected)
    number, unit = match.groups()
    if unit and unit not in units:
        raise UnitError(f"{given!r} has unknown unit {unit!r}", expected, nearest_unit(unit, units))
    try:
        value = Decimal(number.replace("_", ""))
    except InvalidOperation:
        raise UnitError(f"{given!r} is not a quantity", expected) from None
    if value.is_finite() and value.adjusted() > 30:  # so that 1e999999999 costs nothing
        raise UnitError(f"{given!r} is larger than 64 bits hold", expected)
    return _whole(value * units[unit] if unit else value, given, expected)


def nearest_unit(unit: str, units: dict[str, int]) -> str | None:
    """Return the unit that a mistyped or ambiguous ``unit`` most likely meant: GB is GiB, Ns is ns."""
    binary = unit[:1].upper() + "iB"
    if unit[1:].lower() in {"b", "ib", "bytes", ""} and binary in units:
        return binary
    return nearest_name(unit, units)


def parse_bytes(given: object) -> int:
    """Return a size in bytes; a bare number counts bytes.

    Raises:
        UnitError: Unknown unit, negative, fractional bytes, beyond 64 bits, or no number at all.
    """
    return _parse(given, BYTE_UNITS, _SIZE_EXAMPLES)


def parse_ns(given: object) -> int:
    """Return a duration in nanoseconds; a bare number counts nanoseconds.

    Raises:
        UnitError: Unknown unit, negative, fractional nanoseconds, beyond 64 bits, or no number at all.
    """
    return _parse(given, TIME_UNITS, _TIME_EXAMPLES)


def parse_pages(given: object) -> int:
    """Return a number of pages: a plain count, because the size of a page is the machine's.

    Raises:
        UnitError: A unit, a negative or fractional number, or no number at all.
    """
    return _parse(given, {}, "a whole number of pages")


def parse_ratio(given: object) -> float:
    """Return a share between 0 and 1, given as a number or as a percentage (``12.5%``).

    Raises:
        UnitError: Outside 0..1, or no number at all.
    """
    expected = "a number from 0 to 1, or a percentage such as 12.5%"
    value: float = math.nan
    if isinstance(given, int | float) and not isinstance(given, bool):
        value = float(given)
    elif isinstance(given, str):
        percent = given.strip().removesuffix("%").rstrip()
        try:
            # Through Decimal, so that 12.5% is 0.125 and not a neighbour of it.
            value = float(Decimal(percent) / 100) if given.strip().endswith("%") else float(given)
        except (InvalidOperation, ValueError):
            raise UnitError(f"{given!r} is not a ratio", expected) from None
    if not 0.0 <= value <= 1.0:
        raise UnitError(f"{given!r} is not a ratio", expected)
    return value


def _schema(units: dict[str, int], description: str) -> WithJsonSchema:
    names = "|".join(units)
    text = {"type": "string", "pattern": rf"^\s*[0-9][0-9_]*\.?[0-9]*([eE][+-]?[0-9]+)?\s*({names})?\s*$"}
    return WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, text], "description": description})


_PAGES_SCHEMA = WithJsonSchema({"type": "integer", "minimum": 0, "description": "Number of pages."})
_RATIO_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
        ],
        "description": "Share from 0 to 1, or a percentage.",
    }
)

Bytes = Annotated[int, BeforeValidator(parse_bytes), _schema(BYTE_UNITS, "Size; a bare number counts bytes.")]
Nanoseconds = Annotated[
    int, BeforeValidator(parse_ns), _schema(TIME_UNITS, "Duration; a bare number counts nanoseconds.")
]
Pages = Annotated[int, BeforeValidator(parse_pages), _PAGES_SCHEMA]
Ratio = Annotated[float, BeforeValidator(parse_ratio), _RATIO_SCHEMA]


def format_bytes(size_bytes: float) -> str:
    """Return a size for people: ``4KiB``, ``1.5GiB``; the largest unit that leaves a number of at least 1."""
    for unit in ("PiB", "TiB", "GiB", "MiB", "KiB"):
        if abs(size_bytes) >= BYTE_UNITS[unit]:
            return f"{_short(size_bytes / BYTE_UNITS[unit])}{unit}"
    return f"{_short(size_bytes)}B"


def format_ns(duration_ns: float) -> str:
    """Return a duration for people: ``250us``, ``1.5s``, ``2h``."""
    for unit in ("d", "h", "min", "s", "ms", "us"):
        if abs(duration_ns) >= TIME_UNITS[unit]:
            return f"{_short(duration_ns / TIME_UNITS[unit])}{unit}"
    return f"{_short(duration_ns)}ns"


def format_count(count: float) -> str:
    """Return a count for people with thousands apart: ``1,600``."""
    return f"{count:,.0f}" if float(count).is_integer() else f"{count:,.4g}"


def _short(value: float) -> str:
    """Four significant digits at most after the point, none that say nothing."""
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"
    return text.rstrip("0").rstrip(".")
