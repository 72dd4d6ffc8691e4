"""The points of a design: its kinds expanded and crossed, then those that `where` keeps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from simcore.errors import ConfigError
from simcore.expressions import Expression, ExpressionError, parse
from simcore.sweep.design import POINTS_LIMIT, Design, Range, Values
from simcore.sweep.dotted_names import flatten
from simcore.sweep.quantities import quantity
from simcore.sweep.samples import sample
from simcore.sweep.scales import Scale

__all__ = ["expand"]


def expand(design: Design, context: Mapping[str, Any]) -> list[Values]:
    """Return the points of a design, in a fixed order.

    Args:
        design: the design.
        context: value of every key of the experiment that the design does not vary, by dotted name, for
            `where`.

    Raises:
        ConfigError: an empty or contradictory design, or a `where` that excludes every point or cannot be
            evaluated.
    """
    factors = [_factor(kind, given) for kind, given in _kinds(design)]
    if not factors:
        raise ConfigError("varies nothing", key="design", expected="one of grid, zip, list, lhs, sobol")
    keys = [key for factor in factors for key in factor[0]]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"{key} is varied twice", key="design")
        if any(other.startswith(f"{key}.") for other in keys):
            raise ConfigError(f"{key} is varied, and so is a key inside it", key="design")
    count = math.prod(len(factor) for factor in factors)
    if count > POINTS_LIMIT:
        raise ConfigError(f"{count} points", key="design", expected=f"at most {POINTS_LIMIT}")
    crossed: Iterator[Values] = (
        {key: value for part in parts for key, value in part.items()} for parts in itertools.product(*factors)
    )
    if design.where is None:
        points = list(crossed)
    else:
        if design.sobol is not None and design.sobol.indices:
            raise ConfigError("Sobol indices need every point of their design; leave `where` out", key="design.where")
        points = _constrain(crossed, design.where, context)
    _check_baseline(design, points)
    return points


def _kinds(design: Design) -> list[tuple[str, Any]]:
    given = {
        "list": design.listed,
        "grid": design.grid,
        "zip": design.side_by_side,
        "lhs": design.lhs,
        "sobol": design.sobol,
    }
    return [(kind, value) for kind, value in given.items() if value is not None]


def _factor(kind: str, given: Any) -> list[Values]:
    """Return the points that one kind of design makes by itself."""
    place = f"design.{kind}"
    if kind in ("lhs", "sobol"):
        return sample(kind, given, place)
    if not given:
        raise ConfigError("is empty", key=place)
    if kind == "list":
        return _listed(given, place)
    columns = {key: _values(values, f"{place}.{key}") for key, values in given.items()}
    if kind == "grid":
        combinations = math.prod(len(values) for values in columns.values())
        if combinations > POINTS_LIMIT:
            raise ConfigError(f"{combinations} points", key=place, expected=f"at most {POINTS_LIMIT}")
        rows: Iterator[tuple[Any, ...]] = itertools.product(*columns.values())
    else:
        lengths = {key: len(values) for key, values in columns.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{key} has {length}" for key, length in lengths.items())
            raise ConfigError(f"numbers of values differ: {shown}", key=place, expected="the same number for every key")
        rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _listed(given: Sequence[Values], place: str) -> list[Values]:
    for index, point in enumerate(given):
        if set(point) != set(given[0]) or not point:
            raise ConfigError(
                f"varies {', '.join(point) or 'nothing'}",
                key=f"{place}[{index}]",
                expected=f"the keys of the first point ({', '.join(given[0])})",
            )
    return [dict(point) for point in given]


def _values(given: Range | Sequence[Any], place: str) -> list[Any]:
    if not isinstance(given, Range):
        if not given:
            raise ConfigError("has no values", key=place)
        return list(given)
    if given.steps is None:
        raise ConfigError("a range in a grid or zip needs `steps`", key=place)
    scaled = Scale(given, place)
    return list(dict.fromkeys(scaled.at(share) for share in np.linspace(0, 1, given.steps)))


def _constrain(points: Iterator[Values], where: str, context: Mapping[str, Any]) -> list[Values]:
    try:
        constraint: Expression = parse(where)
        kept = [point for point in points if constraint.evaluate(_names(point, context))]
    except ExpressionError as error:
        raise ConfigError(str(error), key="design.where") from None
    if not kept:
        raise ConfigError(f"{where!r} excludes every point", key="design.where")
    return kept


def _names(point: Values, context: Mapping[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in point.items() if isinstance(value, Mapping)}
    nested = {f"{key}.{name}": leaf for key, value in inner.items() for name, leaf in flatten(value).items()}
    return {name: quantity(value) for name, value in {**context, **point, **nested}.items()}


def _check_baseline(design: Design, points: Sequence[Values]) -> None:
    if design.baseline is None:
        return
    varied = list(points[0])
    for key in design.baseline:
        if key not in varied:
            raise ConfigError(f"{key} is not varied", key="design.baseline", expected=f"one of {', '.join(varied)}")
    wanted = {key: quantity(value) for key, value in design.baseline.items()}
    if not any(all(quantity(point[key]) == value for key, value in wanted.items()) for point in points):
        shown = ", ".join(f"{key} = {value}" for key, value in design.baseline.items())
        raise ConfigError(f"no point has {shown}", key="design.baseline")
