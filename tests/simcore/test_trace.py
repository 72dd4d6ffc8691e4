"""Traces: bounded, exact to the nanosecond, text stays text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from simcore.series import Series
from simcore.trace import Trace

NOTHING = Series(pa.table({"time_ns": np.zeros(0, np.int64)}))


def test_an_empty_window_is_refused() -> None:
    """A window the wrong way round would give an empty file without a word."""
    with pytest.raises(ValueError, match="holds nothing"):
        Trace(20, 10)


def test_a_trace_is_bounded_and_says_so(tmp_path: Path) -> None:
    """A long run must not fill the disk, nor leave out slices silently."""
    trace = Trace(max_slices=3)
    track = trace.track("group", "track")
    for start in range(5):
        trace.add(track, "slice", start, start + 1)
    document = json.loads(trace.write(tmp_path / "trace.json", NOTHING).read_text())
    assert [event["ts"] for event in document["traceEvents"] if event["ph"] == "X"] == [0.0, 0.001, 0.002]
    assert document["otherData"] == {"dropped slices": 2}


def test_what_holds_others_comes_first(tmp_path: Path) -> None:
    """Readers nest slices by order where they begin together."""
    trace = Trace()
    track = trace.track("group", "track")
    trace.add(track, "inner", 5, 6)
    trace.add(track, "outer", 5, 9)
    document = json.loads(trace.write(tmp_path / "trace.json", NOTHING).read_text())
    assert [event["name"] for event in document["traceEvents"] if event["ph"] == "X"] == ["outer", "inner"]


def test_names_are_escaped_and_times_exact(tmp_path: Path) -> None:
    """A quote in a name must not break the file; a nanosecond late in a long run must not be lost."""
    trace = Trace()
    name = 'a "name"\n</script>'
    trace.add(trace.track(name, name), name, 3_600_000_000_001, 3_600_000_000_002, {"why": name})
    text = trace.write(tmp_path / "trace.json", NOTHING).read_text()
    (event,) = [event for event in json.loads(text)["traceEvents"] if event["ph"] == "X"]
    assert event["name"] == event["args"]["why"] == name
    assert '"ts":3600000000.001,"dur":0.001' in text


def test_only_tracks_with_slices_are_named(tmp_path: Path) -> None:
    """512 idle CPUs would bury the busy ones."""
    trace = Trace()
    trace.track("group", "idle")
    trace.add(trace.track("group", "busy"), "slice", 0, 1)
    document = json.loads(trace.write(tmp_path / "trace.json", NOTHING).read_text())
    names = [event["args"]["name"] for event in document["traceEvents"] if event["name"] == "thread_name"]
    assert names == ["busy"]
