"""Replications as bands, rates of counters: values that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from simcore.errors import SimcoreError
from simcore.result import Result
from simcore.series import Series
from simcore.views import draw_together
from simcore.views.rates import rate_of
from simcore.views.replications import band_of, replication_bands


def result_of(columns: dict[str, Any], end_ns: int) -> Result:
    return Result(Series(pa.table(columns)), {"name": "run", "simulated_ns": end_ns, "expect": []}, {}, {})


@pytest.fixture
def runs() -> list[Result]:
    values = ((0, 10), (0, 16), (0, 13))
    times = np.array([0, 500])
    return [result_of({"time_ns": times, "x": np.array(pair)}, 1000 + 100 * place) for place, pair in enumerate(values)]


def test_a_band_is_students_interval_at_each_moment(runs: list[Result]) -> None:
    """The interval that the table of a sweep states must be the one that the picture shows."""
    band = band_of(runs, "x")
    sample = np.array([10, 16, 13])
    half = stats.t.ppf(0.975, 2) * sample.std(ddof=1) / np.sqrt(3)
    assert (band.mean[0], band.low[0], band.high[0]) == (0, 0, 0)
    assert band.mean[-1] == pytest.approx(13)
    assert band.high[-1] - band.mean[-1] == pytest.approx(half)
    assert band.time_ns[-1] == 1200


def test_peaks_between_moments_stay_in_the_range(runs: list[Result]) -> None:
    """A peak of a nanosecond lies between the moments that are drawn, and must show all the same."""
    peak = result_of({"time_ns": np.array([0, 333, 334]), "x": np.array([0, 99, 0])}, 1000)
    assert band_of([*runs, peak], "x").most.max() == 99


def test_one_run_has_no_interval(runs: list[Result]) -> None:
    """An interval of one run would be a lie."""
    with pytest.raises(SimcoreError, match="two replications"):
        band_of(runs[:1], "x")


def test_pictures_of_several_runs_are_written(runs: list[Result], tmp_path: Path) -> None:
    """Over each other, or as a mean with its interval."""
    labels = ["one", "two", "three"]
    assert draw_together(runs, labels, tmp_path)[0].stat().st_size > 0
    assert draw_together(runs, labels, tmp_path, intervals=True)[0].stat().st_size > 0
    assert replication_bands(runs, ["x"]).axes[0].get_title(loc="left") == "x"


def test_a_rate_adds_up_to_what_was_counted() -> None:
    """The area under the rate is the count, in whatever bins."""
    times = np.array([0, 100, 150, 900])
    result = result_of({"time_ns": times, "count": np.array([5, 6, 9, 30])}, 1000)
    for bins in (1, 7, 200):
        edges, rate = rate_of(result, "count", bins)
        assert np.sum(rate[:-1] * np.diff(edges)) / 1e9 == pytest.approx(25)
        assert len(edges) == len(rate) == bins + 1
