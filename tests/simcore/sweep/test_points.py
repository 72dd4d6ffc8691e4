"""Designs: the points they make, in which order, and the messages of those that make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from simcore.errors import ConfigError
from simcore.sweep.design import Design
from simcore.sweep.points import expand


def points(context: dict[str, Any] | None = None, **design: Any) -> list[dict[str, Any]]:
    return expand(Design.model_validate(design), context or {})


def test_grid_is_every_combination_in_order() -> None:
    """The last key varies fastest."""
    made = points(grid={"policy": ["page", "pool"], "limit": [1, 2, 3]})
    assert [(point["policy"], point["limit"]) for point in made] == [
        ("page", 1), ("page", 2), ("page", 3), ("pool", 1), ("pool", 2), ("pool", 3),
    ]  # fmt: skip


def test_zip_goes_side_by_side_and_list_point_by_point() -> None:
    assert points(zip={"a": [1, 2], "b": ["x", "y"]}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert points(list=[{"a": 1, "b": {"c": 2}}, {"a": 3, "b": {"c": 4}}])[1] == {"a": 3, "b": {"c": 4}}


def test_kinds_are_crossed() -> None:
    """A zip of machines under a grid of policies is every policy on every machine."""
    made = points(grid={"policy": ["page", "pool"]}, zip={"memory": [1, 2, 3], "cpus": [4, 5, 6]})
    assert len(made) == 6
    assert {(point["memory"], point["cpus"]) for point in made} == {(1, 4), (2, 5), (3, 6)}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"from": 0, "to": 1, "steps": 5}, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ({"from": 1, "to": 16, "steps": 5, "scale": "log"}, [1.0, 2.0, 4.0, 8.0, 16.0]),
        ({"from": 1, "to": 10, "steps": 4, "integer": True}, [1, 4, 7, 10]),
        ({"from": 1, "to": 3, "steps": 9, "integer": True}, [1, 2, 3]),
        ({"from": "1GiB", "to": "4GiB", "steps": 3, "scale": "log"}, [1 << 30, 2 << 30, 4 << 30]),
        ({"from": "1ms", "to": "2ms", "steps": 2}, [1_000_000, 2_000_000]),
        ({"from": "1GiB", "to": "2GiB", "steps": 4, "multiple_of": "512MiB"}, [1 << 30, 3 << 29, 2 << 30]),
        ({"from": -1, "to": 1, "steps": 3}, [-1.0, 0.0, 1.0]),
        ({"from": "1e-3", "to": "1e-1", "steps": 3, "scale": "log"}, [1e-3, 1e-2, 1e-1]),
    ],
)
def test_ranges(spec: dict[str, Any], expected: list[float]) -> None:
    """Linear, log and integer steps with units; values that rounding makes alike appear once."""
    made = [point["x"] for point in points(grid={"x": spec})]
    assert made == pytest.approx(expected)
    whole = all(isinstance(value, int) for value in expected)
    assert all(isinstance(value, int) is whole for value in made)


def test_where_sees_units_fixed_keys_and_nested_values() -> None:
    """A constraint may name varied keys, keys of the experiment, and leaves of varied mappings."""
    made = points(
        {"machine.cpus": 8, "limit": "1MiB"},
        grid={"memory": ["4GiB", "64GiB"], "tasks": [1, 10], "bomb": [{"rate": 1}, {"rate": 5}]},
        where="memory / tasks >= 1GiB and tasks <= machine.cpus + 2 and limit == 1MiB and bomb.rate > 1",
    )
    assert [(point["memory"], point["tasks"]) for point in made] == [("4GiB", 1), ("64GiB", 1), ("64GiB", 10)]


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({}, "varies nothing"),
        ({"grid": {}}, "design.grid: is empty"),
        ({"grid": {"a": []}}, "design.grid.a: has no values"),
        ({"list": []}, "design.list: is empty"),
        ({"list": [{"a": 1}, {"b": 1}]}, "keys of the first point"),
        ({"list": [{}]}, "varies nothing"),
        ({"zip": {"a": [1, 2], "b": [1]}}, "a has 2, b has 1"),
        ({"grid": {"a": [1]}, "zip": {"a": [2]}}, "a is varied twice"),
        ({"grid": {"a": [1], "a.b": [2]}}, "key inside it"),
        ({"grid": {"a": {"from": 1, "to": 2}}}, "needs `steps`"),
        ({"grid": {"a": {"from": 2, "to": 1, "steps": 3}}}, "is no range"),
        ({"grid": {"a": {"from": 0, "to": 1, "steps": 3, "scale": "log"}}}, "log scale cannot begin at 0"),
        ({"grid": {"a": {"from": "1ms", "to": "1GiB", "steps": 3}}}, "different kinds"),
        ({"grid": {"a": {"from": "x", "to": 1, "steps": 3}}}, "'x' is no number"),
        ({"grid": {"a": {"from": 0, "to": "inf", "steps": 3}}}, "is no number"),
        ({"grid": {"a": {"from": 0, "to": 1, "steps": 3, "multiple_of": 0}}}, "not above 0"),
        ({"grid": {key: list(range(100)) for key in "abcd"}}, "100000000 points"),
        ({"sobol": {"points": 12, "over": {"a": [1, 2]}}}, "12 is not a power of two"),
        ({"sobol": {"points": 8, "over": {"a": {"from": 0, "to": 1, "steps": 3}}}}, "takes no `steps`"),
        ({"lhs": {"points": 8, "over": {"a": []}}}, "has no values"),
        ({"lhs": {"points": 8, "over": {"a": [1]}, "indices": True}}, "only a Sobol design"),
        ({"grid": {"a": [1, 2]}, "where": "a > 2"}, "excludes every point"),
        ({"grid": {"a": [1, 2]}, "where": "b > 2"}, "unknown name b"),
        ({"grid": {"a": [1, 2]}, "where": "a >"}, "cannot be read"),
        ({"sobol": {"points": 2, "indices": True, "over": {"a": [1, 2]}}, "where": "a > 0"}, "every point"),
        ({"grid": {"a": [1, 2]}, "baseline": {"b": 1}}, "b is not varied"),
        ({"grid": {"a": [1, 2]}, "baseline": {"a": 3}}, "no point has a = 3"),
    ],
)  # fmt: skip
def test_bad_designs_say_what_is_wrong(design: dict[str, Any], message: str) -> None:
    """One ConfigError with the key, before anything could run."""
    with pytest.raises(ConfigError, match=message) as caught:
        points(**design)
    assert str(caught.value).startswith("design")
