from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.host.comparison import Options
from models.host.recording import AllocatorRecording, read_recording
from models.host.replay_comparison import KINDS, compare
from tests.models.host.edited_recordings import ALLOCATOR, event_at, load


def recorded(name: str) -> AllocatorRecording:
    recording = read_recording(ALLOCATOR / f"{name}.json.gz")
    assert isinstance(recording, AllocatorRecording)
    return recording


@pytest.mark.parametrize(
    "name", ["a_page_4g_4096", "b_page_1g_steal", "c_page_4g_512_2cpu", "b_pool_1g_compact"]
)
def test_every_event_and_the_end_state_are_predicted(name: str) -> None:
    """The model replays the kernel, and everything that the stream holds is counted."""
    recording = recorded(name)
    comparison = compare(recording, Options())
    assert comparison.first_divergence is None
    assert comparison.passed
    totals = {row.what: row.total for row in comparison.rows}
    for kind, letters in KINDS.items():
        assert totals[kind] == int(np.isin(recording.events.op, list(letters.encode())).sum())
    assert all(row.exact == row.total for row in comparison.rows)
    assert totals["end mapped pages"] == recording.machine.end_pfn


@pytest.mark.parametrize("number", [0, 20])
def test_a_frame_that_the_kernel_would_not_have_chosen_is_the_first_divergence(number: int) -> None:
    """A stream with one other frame is told from the model at that very event, with both states around it."""
    recording = recorded("a_page_4g_4096")
    at = event_at(load(recording.path), "A", number)
    pfn = recording.events.pfn.copy()
    pfn[at] += 1
    comparison = compare(replace(recording, events=replace(recording.events, pfn=pfn)), Options())
    assert not comparison.passed
    assert comparison.first_divergence is not None
    assert comparison.first_divergence.where == f"event {at}"
    assert f"pfn {pfn[at]}" in comparison.first_divergence.recorded
    assert f"pfn {pfn[at] - 1}" in comparison.first_divergence.simulated
    assert set(comparison.first_divergence.states) == {"recorded events", "model's lists"}


def test_another_end_state_is_a_divergence() -> None:
    """A list in another order is not the same list."""
    recording = recorded("b_page_1g_steal")
    lists = dict(recording.final.free_lists)
    key = max(lists, key=lambda key: len(lists[key]))
    lists[key] = lists[key][::-1]
    comparison = compare(replace(recording, final=replace(recording.final, free_lists=lists)), Options())
    assert not comparison.passed
    assert comparison.first_divergence is not None
    assert comparison.first_divergence.where.startswith("end state, free list")
    failed = [row for row in comparison.rows if not row.passed]
    assert [(row.what, row.total - row.exact) for row in failed] == [("end free lists", 1)]
