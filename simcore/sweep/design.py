"""Designs: which values of which keys a sweep runs: `grid`, `zip`, `list`, `lhs`, `sobol`, and `where`."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from simcore.errors import ConfigError
from simcore.expressions import Expression, ExpressionError, parse
from simcore.units import BYTE_UNITS, TIME_UNITS, UnitError, parse_bytes, parse_ns

__all__ = ["Design", "Range", "Sampled", "expand", "flatten", "quantity", "units"]

POINTS_LIMIT = 1_000_000
"""Most points that a design may have before `where`: beyond it the design is a slip, not a wish."""

Values = dict[str, Any]
"""Value of every varied key, by its dotted name."""

_WITH_UNIT = re.compile(r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*([^\W\d_]+)")


class Range(BaseModel):
    """Values between two ends, both included.

    Attributes:
        start: first end (`from` in YAML); may carry a unit.
        to: last end, of the same kind.
        steps: number of values; needed in `grid` and `zip`, refused in `lhs` and `sobol`.
        scale: `linear`, or `log` for equal ratios.
        integer: whole numbers only; always so for quantities with a unit.
        multiple_of: values are rounded to whole multiples of this.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=False)

    start: int | float | str = Field(alias="from")
    to: int | float | str
    steps: int | None = Field(default=None, ge=2)
    scale: Literal["linear", "log"] = "linear"
    integer: bool = False
    multiple_of: int | float | str | None = None


class Sampled(BaseModel):
    """A space-filling sample.

    Attributes:
        points: number of points; a power of two for `sobol`.
        over: a range or a list of choices for every key.
        seed: of the sample, independent of the experiment's own.
        indices: `sobol` only: lay out the points so that first-order and total indices can be computed; the
            design then has `points * (number of keys + 2)` points.
    """

    model_config = ConfigDict(extra="forbid")

    points: int = Field(ge=1, le=POINTS_LIMIT)
    over: dict[str, Range | list[Any]] = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    indices: bool = False


class Design(BaseModel):
    """What a sweep varies. Several kinds in one design are crossed with each other.

    Attributes:
        grid: every combination of the values.
        side_by_side: `zip` in YAML: the values side by side, all of the same number.
        listed: `list` in YAML: points one by one.
        lhs: Latin hypercube (scipy.stats.qmc).
        sobol: scrambled Sobol sequence (scipy.stats.qmc).
        where: constraint that a point must meet; may name any key of the experiment.
        baseline: values of some varied keys that the others are compared with, run by run.
        random_numbers: `common` gives every point the same streams, so that points differ by what was
            varied only; `independent` derives a seed of its own for every point.
    """

    model_config = ConfigDict(extra="forbid")

    grid: dict[str, Range | list[Any]] | None = None
    side_by_side: dict[str, Range | list[Any]] | None = Field(default=None, alias="zip")
    listed: list[dict[str, Any]] | None = Field(default=None, alias="list")
    lhs: Sampled | None = None
    sobol: Sampled | None = None
    where: str | None = None
    baseline: dict[str, Any] | None = None
    random_numbers: Literal["common", "independent"] = "common"


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
        raise _refuse("design", "varies nothing", "one of grid, zip, list, lhs, sobol")
    keys = [key for factor in factors for key in factor[0]]
    for key in keys:
        if keys.count(key) > 1:
            raise _refuse("design", f"{key} is varied twice")
        if any(other.startswith(f"{key}.") for other in keys):
            raise _refuse("design", f"{key} is varied, and so is a key inside it")
    count = math.prod(len(factor) for factor in factors)
    if count > POINTS_LIMIT:
        raise _refuse("design", f"{count} points", f"at most {POINTS_LIMIT}")
    crossed: Iterator[Values] = (
        {key: value for part in parts for key, value in part.items()} for parts in itertools.product(*factors)
    )
    if design.where is None:
        points = list(crossed)
    else:
        if design.sobol is not None and design.sobol.indices:
            raise _refuse("design.where", "Sobol indices need every point of their design; leave `where` out")
        points = _constrain(crossed, design.where, context)
    _check_baseline(design, points)
    return points


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
    return {key: unit for key, value in given.items() if (unit := _unit(value))}


def _unit(value: Any) -> str:
    match = _WITH_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or quantity(value) == value:
        return ""
    return "bytes" if match[1] in BYTE_UNITS else "ns"


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted name; lists count as leaves."""
    leaves: dict[str, Any] = {}
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{name}.")
        else:
            leaves[name] = value
    return leaves


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
        return _sample(kind, given, place)
    if not given:
        raise _refuse(place, "is empty")
    if kind == "list":
        return _listed(given, place)
    columns = {key: _values(values, f"{place}.{key}") for key, values in given.items()}
    if kind == "grid":
        combinations = math.prod(len(values) for values in columns.values())
        if combinations > POINTS_LIMIT:
            raise _refuse(place, f"{combinations} points", f"at most {POINTS_LIMIT}")
        rows: Iterator[tuple[Any, ...]] = itertools.product(*columns.values())
    else:
        lengths = {key: len(values) for key, values in columns.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{key} has {length}" for key, length in lengths.items())
            raise _refuse(place, f"numbers of values differ: {shown}", "the same number for every key")
        rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _listed(given: Sequence[Values], place: str) -> list[Values]:
    for index, point in enumerate(given):
        if set(point) != set(given[0]) or not point:
            raise _refuse(
                f"{place}[{index}]", f"varies {', '.join(point) or 'nothing'}",
                f"the keys of the first point ({', '.join(given[0])})",
            )  # fmt: skip
    return [dict(point) for point in given]


def _values(given: Range | Sequence[Any], place: str) -> list[Any]:
    if not isinstance(given, Range):
        if not given:
            raise _refuse(place, "has no values")
        return list(given)
    if given.steps is None:
        raise _refuse(place, "a range in a grid or zip needs `steps`")
    scaled = _Scale(given, place)
    return list(dict.fromkeys(scaled.at(share) for share in np.linspace(0, 1, given.steps)))


def _sample(kind: str, given: Sampled, place: str) -> list[Values]:
    """Return a Latin hypercube or Sobol sample."""
    from scipy.stats import qmc  # noqa: PLC0415  (takes half a second, which every worker would pay)

    if kind == "sobol" and given.points & (given.points - 1):
        near = 1 << round(math.log2(given.points))
        raise _refuse(f"{place}.points", f"{given.points} is not a power of two", f"for example {near}")
    if kind == "lhs" and given.indices:
        raise _refuse(f"{place}.indices", "only a Sobol design gives indices")
    scales: dict[str, _Scale | _Choice] = {}
    for key, over in given.over.items():
        if isinstance(over, Range):
            if over.steps is not None:
                raise _refuse(f"{place}.over.{key}.steps", f"a {kind} design takes no `steps`; `points` says how many")
            scales[key] = _Scale(over, f"{place}.over.{key}")
        else:
            scales[key] = _Choice(over, f"{place}.over.{key}")
    dimensions = len(scales)
    if kind == "lhs":
        shares = qmc.LatinHypercube(dimensions, rng=np.random.default_rng(given.seed)).random(given.points)
    else:
        wide = 2 * dimensions if given.indices else dimensions
        sequence = qmc.Sobol(wide, scramble=True, rng=np.random.default_rng(given.seed))
        shares = sequence.random_base2(given.points.bit_length() - 1)
        if given.indices:
            shares = _saltelli(shares)
    return [
        {key: scale.sample(float(share)) for (key, scale), share in zip(scales.items(), row, strict=True)}
        for row in shares
    ]


def _saltelli(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return blocks A, A with column j of B for every j, B, from A and B side by side (Saltelli 2010)."""
    dimensions = shares.shape[1] // 2
    first, second = shares[:, :dimensions], shares[:, dimensions:]
    blocks = np.repeat(first[:, None, :], dimensions + 2, axis=1)
    for column in range(dimensions):
        blocks[:, column + 1, column] = second[:, column]
    blocks[:, -1, :] = second
    return blocks.reshape(-1, dimensions)


class _Choice:
    """One of several values, each with the same probability."""

    def __init__(self, values: Sequence[Any], place: str) -> None:
        if not values:
            raise _refuse(place, "has no values")
        self.values = list(values)

    def sample(self, share: float) -> Any:
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]


class _Scale:
    """A range with its units read: maps shares of 0 to 1 to values."""

    def __init__(self, given: Range, place: str) -> None:
        self.low, low_unit = self._end(given.start, f"{place}.from")
        self.high, high_unit = self._end(given.to, f"{place}.to")
        if low_unit != high_unit:
            raise _refuse(place, f"{given.start!r} and {given.to!r} are of different kinds")
        if not self.low < self.high:
            raise _refuse(place, f"from {given.start} to {given.to} is no range", "`to` above `from`")
        self.log = given.scale == "log"
        if self.log and self.low <= 0:
            raise _refuse(place, f"a log scale cannot begin at {given.start}")
        self.multiple: int | float | None = None
        if given.multiple_of is not None:
            self.multiple, _ = self._end(given.multiple_of, f"{place}.multiple_of")
            if self.multiple <= 0:
                raise _refuse(f"{place}.multiple_of", f"{given.multiple_of} is not above 0")
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
                raise _refuse(place, f"{given!r} is no number", "a number or a quantity such as 64GiB") from None
        elif isinstance(given, str):
            return value, _unit(given)
        if isinstance(value, bool) or not math.isfinite(value):
            raise _refuse(place, f"{given!r} is no number", "a finite number")
        return value, ""


def _constrain(points: Iterator[Values], where: str, context: Mapping[str, Any]) -> list[Values]:
    try:
        constraint: Expression = parse(where)
        kept = [point for point in points if constraint.evaluate(_names(point, context))]
    except ExpressionError as error:
        raise ConfigError(str(error), key="design.where") from None
    if not kept:
        raise _refuse("design.where", f"{where!r} excludes every point")
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
            raise _refuse("design.baseline", f"{key} is not varied", f"one of {', '.join(varied)}")
    wanted = {key: quantity(value) for key, value in design.baseline.items()}
    if not any(all(quantity(point[key]) == value for key, value in wanted.items()) for point in points):
        shown = ", ".join(f"{key} = {value}" for key, value in design.baseline.items())
        raise _refuse("design.baseline", f"no point has {shown}")


def _refuse(key: str, message: str, expected: str | None = None) -> ConfigError:
    return ConfigError(message, key=key, expected=expected)
