"""Series as a table: every row tells every value, merged rows lose no peak, and rows are bounded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.environment import Environment
from simcore.errors import SimcoreError
from simcore.series import Series, table_of

Changes = Mapping[str, list[tuple[int, int]]]


def recorded(changes: Changes, max_points: int, max_rows: int) -> Series:
    env = Environment(max_points=max_points)
    for name, rows in changes.items():
        level = env.recorder.level(name)
        for time, value in rows:
            level.set_at(time, value)
    env.recorder.finish()
    return Series(table_of(env.recorder, max_rows))


@st.composite
def two_series(draw: st.DrawFn) -> Changes:
    found: dict[str, list[tuple[int, int]]] = {}
    for name in ("a", "b"):
        times = sorted(draw(st.lists(st.integers(1, 500), max_size=40, unique=True)))
        found[name] = [(time, draw(st.integers(-9, 9))) for time in times]
    return found


def value_at(rows: list[tuple[int, int]], time: int) -> int:
    return next((value for moment, value in reversed(rows) if moment <= time), 0)


@settings(max_examples=150, deadline=None)
@given(two_series(), st.sampled_from([4, 8, 1000]), st.sampled_from([4, 16, 1000]))
def test_merged_rows_keep_every_peak_and_never_exceed_the_cap(
    changes: Changes, points: int, cap: int
) -> None:
    series = recorded(changes, points, cap)
    assert len(series) <= cap
    for name, rows in changes.items():
        values = [0, *(value for _, value in rows)]
        assert series.low(name).min() == min(values)
        assert series.high(name).max() == max(values)
        assert series[name][-1] == values[-1]
        assert np.all(series.low(name) <= series[name])
        assert np.all(series.high(name) >= series[name])


@settings(max_examples=150, deadline=None)
@given(two_series(), st.sampled_from([4, 1000]))
def test_values_at_their_own_changes_are_true(changes: Changes, cap: int) -> None:
    """With full stores, each row of even a merged table shows what was at its time."""
    series = recorded(changes, 1000, cap)
    for name, rows in changes.items():
        for time, value in zip(series.time_ns.tolist(), series[name].tolist(), strict=True):
            assert value == value_at(rows, time)


def test_columns_of_extremes_are_there_only_when_rows_were_merged() -> None:
    changes = {"x": [(time, time % 7) for time in range(1, 200)]}
    assert recorded(changes, 1000, 1000).table.column_names == ["time_ns", "x"]
    merged = recorded(changes, 64, 1000)
    assert merged.table.column_names == ["time_ns", "x", "x.min", "x.max"]
    assert merged.names == ["x"]
    assert merged.decimated


def test_a_value_that_lasted_no_time_is_a_peak_in_the_statistics_alone() -> None:
    env = Environment()
    level = env.recorder.level("x")
    level.set(9)
    level.set(1)
    env.recorder.finish()
    assert Series(table_of(env.recorder, 100)).high("x").tolist() == [1]
    assert env.recorder.statistics(0)["x"]["max"] == 9


def test_a_tally_has_no_value_before_its_first_observation() -> None:
    env = Environment()
    level, tally = env.recorder.level("x"), env.recorder.tally("t")
    env.run(until=env.timeout(5))
    level.set(1)
    tally.observe(2.5)
    env.recorder.finish()
    series = Series(table_of(env.recorder, 100))
    assert np.isnan(series["t"][0])
    assert series["t"][1] == 2.5
    assert series.table.column("t").null_count == 1


def test_types_are_int64_unless_asked_otherwise() -> None:
    series = recorded({"x": [(1, 2**62)]}, 100, 100)
    assert series.time_ns.dtype == series["x"].dtype == np.int64
    assert series["x"][-1] == 2**62
    assert list(series.to_pandas().columns) == ["time_ns", "x"]
    assert set(series.to_numpy()) == {"time_ns", "x"}


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(SimcoreError, match=r"'direct_map\.4k_byte'; did you mean 'direct_map\.4k_bytes'"):
        recorded({"direct_map.4k_bytes": []}, 100, 100)["direct_map.4k_byte"]


def test_a_run_that_records_nothing_has_an_empty_table() -> None:
    assert len(Series(table_of(Environment().recorder, 100))) == 0
