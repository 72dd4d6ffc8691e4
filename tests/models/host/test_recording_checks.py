from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from models.host.recording import AllocatorRecording, RecordingError, read_recording
from models.host.recording_checks import check_ownership
from models.host.recording_events import Events
from tests.models.host.edited_recordings import ALLOCATOR, smallest


def recorded() -> AllocatorRecording:
    recording = read_recording(smallest(ALLOCATOR))
    assert isinstance(recording, AllocatorRecording)
    return recording


def followed_by(events: Events, letters: str, pfn: int) -> Events:
    """The stream with more events at its end, each of the one page ``pfn``."""
    columns: dict[str, Any] = {}
    for field in fields(events):
        values = getattr(events, field.name)
        if isinstance(values, np.ndarray):
            columns[field.name] = np.concatenate([values, np.repeat(values[-1:], len(letters), axis=0)])
    columns["op"][len(events) :] = list(letters.encode())
    columns["pfn"][len(events) :] = pfn
    columns["order"][len(events) :] = 0
    return replace(events, **columns)


def page_in_use(recording: AllocatorRecording) -> int:
    """The direct map's table of the last split, which nothing ever frees."""
    return int(recording.events.pfn[recording.events.op == ord("S")][-1])


@pytest.mark.parametrize("letters", ["fA", "fC", "Cf", "fI", "PI", "fB", "fCfA"])
def test_a_page_that_comes_back_into_use_is_accepted(letters: str) -> None:
    """A captured page leaves no gap, whichever of its free and its capture is told first."""
    recording = recorded()
    events = followed_by(recording.events, letters, page_in_use(recording))
    check_ownership(events, recording.initial, recording.final, recording.machine, recording.path)


@pytest.mark.parametrize(
    ("letters", "at", "message"),
    [
        ("A", 0, "allocated while it is in use"),
        ("ff", 1, "freed while it is free"),
        ("fP", 1, "freed while it is free"),
        ("fCI", 2, "allocated while it is in use"),
        ("CA", 1, "allocated while it is in use"),
        ("CfA", 2, "allocated while it is in use"),
        ("fgA", 1, "freed while it is free"),
    ],
)
def test_the_first_impossible_event_is_named(letters: str, at: int, message: str) -> None:
    """Every kind of taking and giving is followed."""
    recording = recorded()
    events = followed_by(recording.events, letters, page_in_use(recording))
    with pytest.raises(RecordingError, match=message) as caught:
        check_ownership(events, recording.initial, recording.final, recording.machine, recording.path)
    assert caught.value.event == len(recording.events) + at


def test_a_page_left_free_contradicts_the_end_state() -> None:
    """What the stream ends with is what the final lists hold."""
    recording = recorded()
    events = followed_by(recording.events, "f", page_in_use(recording))
    with pytest.raises(RecordingError, match="free after the last event") as caught:
        check_ownership(events, recording.initial, recording.final, recording.machine, recording.path)
    assert caught.value.field == "final.free_lists"
