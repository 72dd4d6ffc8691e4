"""Space-filling samples: strata, equal shares, growth, and the layout for Sobol indices."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simcore.sweep.design import Sampled
from simcore.sweep.samples import sample


def points(kind: str, **sampled: Any) -> list[dict[str, Any]]:
    return sample(kind, Sampled.model_validate(sampled), f"design.{kind}")


def test_latin_hypercube_fills_every_stratum_once() -> None:
    """Of n points exactly one lies in each n-th of every range, and choices come up equally often."""
    made = points("lhs", points=40, over={"x": {"from": 0, "to": 40}, "p": ["a", "b", "c", "d"]})
    assert sorted(int(point["x"]) for point in made) == list(range(40))
    assert Counter(point["p"] for point in made) == {"a": 10, "b": 10, "c": 10, "d": 10}


def test_whole_numbers_are_equally_likely() -> None:
    """Both ends of an integer range get as much as the middle, linear or with a unit."""
    made = points("sobol", points=256, over={"x": {"from": 1, "to": 4, "integer": True}})
    assert Counter(point["x"] for point in made) == {1: 64, 2: 64, 3: 64, 4: 64}
    log = points("sobol", points=256, over={"x": {"from": "1B", "to": "15B", "scale": "log"}})
    assert Counter(int(np.log2(point["x"])) for point in log) == {0: 64, 1: 64, 2: 64, 3: 64}


def test_sobol_grows_without_moving() -> None:
    """A longer Sobol design begins with the shorter one, so that extending a sweep redoes no run."""
    over = {"x": {"from": 0, "to": 1}, "y": {"from": 1, "to": 100, "scale": "log"}}
    assert points("sobol", points=32, over=over)[:8] == points("sobol", points=8, over=over)
    assert points("sobol", points=8, over=over, seed=1) != points("sobol", points=8, over=over)


def test_sobol_for_indices_swaps_one_column_at_a_time() -> None:
    """Each block is A, A with one column of B, ..., B."""
    made = points("sobol", points=4, indices=True, over={key: {"from": 0, "to": 1} for key in "xyz"})
    assert len(made) == 4 * (3 + 2)
    for block in range(4):
        first, *swapped, second = made[5 * block : 5 * block + 5]
        for key, point in zip("xyz", swapped, strict=True):
            assert point == {**first, key: second[key]}


@given(st.integers(0, 6), st.integers(0, 1000), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_sampled_values_lie_in_their_range(power: int, seed: int, low: float, width: float) -> None:
    """No rounding ever leaves the range."""
    over = {"x": {"from": low, "to": low + width}, "n": {"from": 3, "to": 9, "integer": True, "scale": "log"}}
    for point in points("sobol", points=1 << power, over=over, seed=seed):
        assert low <= point["x"] <= low + width
        assert 3 <= point["n"] <= 9
