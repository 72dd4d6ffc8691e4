"""What one run records: names, and bounded rows beside exact integrals."""

from __future__ import annotations

import pytest

from simcore.environment import Environment
from tests.simcore.recorder.recorded import column


@pytest.mark.parametrize("name", ["x", "time_ns", "x.min", "y.max", ""])
def test_names_that_are_taken_are_refused(name: str) -> None:
    env = Environment()
    env.recorder.counter("x")
    with pytest.raises(ValueError, match="series"):
        env.recorder.vector(["z", name])


def test_rows_are_capped_and_the_integral_is_not() -> None:
    env = Environment(max_points=16)
    level = env.recorder.level("x")
    for time in range(1000):
        level.set_at(time, time % 10)
    assert len(column(env, "x")[0]) <= 16
    assert env.recorder.statistics(1000)["x"]["integral"] == sum(time % 10 for time in range(1000))
