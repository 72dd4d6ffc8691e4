"""Values with units in a design: `64GiB` and `10ms` as numbers, and which parameters are sizes or times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from simcore.sweep.design import Design, Range, Values
from simcore.units import BYTE_UNITS, TIME_UNITS, UnitError, parse_bytes, parse_ns

__all__ = ["quantity", "unit_of", "units"]

_WITH_UNIT = re.compile(r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*([^\W\d_]+)")


def quantity(value: Any) -> Any:
    """Return bytes or nanoseconds for text such as `64GiB` or `10ms`, and anything else as it is."""
    if isinstance(value, str) and (match := _WITH_UNIT.fullmatch(value.strip())):
        try:
            if match[1] in BYTE_UNITS:
                return parse_bytes(value)
            if match[1] in TIME_UNITS:
                return parse_ns(value)
        except UnitError:
            return value
    return value


def unit_of(value: Any) -> str:
    """Return `bytes` or `ns` for text with such a unit, and nothing for any other value."""
    match = _WITH_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or quantity(value) == value:
        return ""
    return "bytes" if match[1] in BYTE_UNITS else "ns"


def units(points: Sequence[Values], design: Design) -> dict[str, str]:
    """Return `bytes` or `ns` for the keys whose values were given with such a unit, by key."""
    given: dict[str, Any] = {key: value for point in points[:1] for key, value in point.items()}
    for ranges in (
        design.grid,
        design.side_by_side,
        *(kind.over for kind in (design.lhs, design.sobol) if kind),
    ):
        for key, values in (ranges or {}).items():
            given[key] = values.start if isinstance(values, Range) else values[0]
    return {key: unit for key, value in given.items() if (unit := unit_of(value))}
