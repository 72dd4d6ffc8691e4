"""What a sweep varies, as its YAML file says it: `grid`, `zip`, `list`, `lhs`, `sobol`, and `where`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["POINTS_LIMIT", "Design", "Range", "Sampled", "Values"]

POINTS_LIMIT = 1_000_000
"""Most points that a design may have before `where`: beyond it the design is a slip, not a wish."""

Values = dict[str, Any]
"""Value of every varied key, by its dotted name."""


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
