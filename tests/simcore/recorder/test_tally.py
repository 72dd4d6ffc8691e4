"""Tallies: moments of observations, whatever the chunks they came in."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.environment import Environment


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(10**9), 10**9), max_size=200), st.integers(1, 9))
def test_a_tally_does_not_depend_on_chunks(values: list[int], chunk: int) -> None:
    whole = Environment().recorder.tally("t")
    parts = Environment().recorder.tally("t")
    for number, value in enumerate(values):
        whole.observe(value)
        parts.observe(value)
        if number % chunk == 0:
            parts.flush()
    assert whole.statistics() == parts.statistics()
    found = whole.statistics()
    assert found["count"] == len(values)
    if values:
        assert found["mean"] == pytest.approx(statistics.fmean(values), abs=1e-3)
        assert (found["min"], found["max"]) == (min(values), max(values))
    if len(values) > 1:
        assert found["std"] == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-3)


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(-(2**70), 2**70), st.integers(-9, 9), st.floats(-1e9, 1e9)), min_size=1))
def test_whole_numbers_are_taken_as_the_floats_that_they_round_to(values: list[int | float]) -> None:
    whole, floats = Environment().recorder.tally("t"), Environment().recorder.tally("t")
    for value in values:
        whole.observe(value)
        floats.observe(float(value))
    assert whole.statistics() == floats.statistics()
    assert whole.flush().last(0).tolist() == floats.flush().last(0).tolist()


@settings(deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=2))
def test_moments_are_those_of_welfords_recurrence_to_the_bit(values: list[float]) -> None:
    tally = Environment().recorder.tally("t")
    mean = deviation = 0.0
    for number, value in enumerate(values, start=1):
        tally.observe(value)
        delta = value - mean
        mean += delta / number
        deviation += delta * (value - mean)
    found = tally.statistics()
    assert (found["mean"], found["std"]) == (mean, math.sqrt(deviation / (len(values) - 1)))
