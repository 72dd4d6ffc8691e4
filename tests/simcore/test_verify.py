"""Verifying a run: equal when nothing changed; else the first series, time and value are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from simcore.errors import OutputError
from simcore.experiment import Experiment
from simcore.result import Result
from simcore.series import Series
from simcore.simulation import simulate
from simcore.verify import Difference, first_difference, verify
from tests.simcore.sweep.sweep_files import MODEL


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    experiment = Experiment.from_mapping({"model": MODEL, "customers": 20, "seed": 3})
    return simulate(experiment).save(tmp_path / "run")


def changed(result: Result, column: str, place: int, value: int) -> Result:
    """Return the same result with one value of one series changed."""
    values = result.series.to_numpy()[column].copy()
    values[place] = value
    table = result.series.table
    table = table.set_column(table.column_names.index(column), column, pa.array(values))
    return Result(Series(table), {**result.summary, "fingerprint": "other"}, result.config, result.manifest)


def test_a_run_comes_out_the_same(kept: Path) -> None:
    """Made again from its own config.yaml, to the last bit."""
    assert verify(kept) is None


def test_a_tampered_series_is_found_with_time_and_value(kept: Path) -> None:
    """The earliest difference is named, whichever series it is in."""
    result = Result.open(kept)
    times = result.series.time_ns
    tampered = changed(changed(result, "queue.waiting", 7, 99), "queue.served", 5, 42)
    tampered.save(kept)
    difference = verify(kept)
    assert difference is not None
    assert (difference.what, difference.time_ns) == ("queue.served", int(times[5]))
    assert (difference.kept, difference.again) == (42, int(result.series["queue.served"][5]))
    assert f"queue.served at {int(times[5]) / 1e6:.3f}"[:20] in str(difference)
    assert f"({int(times[5])} ns) was 42" in str(difference)


def test_another_seed_is_found(kept: Path) -> None:
    """A configuration that was edited after the run does not pass."""
    config = kept / "config.yaml"
    config.write_text(config.read_text().replace("seed: 3", "seed: 4"))
    difference = verify(kept)
    assert difference is not None
    assert difference.time_ns is not None
    assert difference.kept != difference.again


def series_result(values: dict[str, list[int]], summary: dict[str, Any] | None = None) -> Result:
    return Result(Series(pa.table(values)), {"statistics": {}, **(summary or {})}, {}, {})


def test_series_are_compared_by_what_they_hold_not_by_their_rows() -> None:
    """A row more that changes nothing is no difference; a series more is."""
    plain = series_result({"time_ns": [0, 10, 20], "a": [1, 2, 3]})
    same = series_result({"time_ns": [0, 5, 10, 20], "a": [1, 1, 2, 3]})
    assert first_difference(plain, same) == Difference(None, None, None, None)
    more = series_result({"time_ns": [0, 10, 20], "a": [1, 2, 3], "b": [0, 0, 0]})
    assert first_difference(plain, more) == Difference("series b", None, "missing", "there")
    late = series_result({"time_ns": [0, 12, 20], "a": [1, 2, 3]})
    assert first_difference(plain, late) == Difference("a", 10, 2, 1)


def test_floats_that_are_missing_on_both_sides_are_equal() -> None:
    table = {"time_ns": np.array([0, 1]), "a": np.array([np.nan, 1.0])}
    one = Result(Series(pa.table(table)), {"statistics": {}}, {}, {})
    assert first_difference(one, one).what is None


def test_results_are_compared_when_no_series_differs() -> None:
    """The next best answer: a result, then a statistic, then the final state."""
    series = {"time_ns": [0], "a": [1]}
    found = first_difference(series_result(series, {"pages": 3}), series_result(series, {"pages": 4}))
    assert found == Difference("pages", None, 3, 4)
    statistics = [{"statistics": {"a": {"integral": value}}} for value in (1, 2)]
    found = first_difference(*(series_result(series, summary) for summary in statistics))
    assert found == Difference("integral(a)", None, 1, 2)
    assert "final state" in str(first_difference(series_result(series), series_result(series)))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        verify(tmp_path / "nowhere")
