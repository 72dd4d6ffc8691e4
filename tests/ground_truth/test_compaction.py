"""Compaction: where the kernel compacted, the model isolates, rotates and moves the same, page by page."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from models.host.recording import AllocatorRecording
from models.kernel.boot_profile import load_boot_profile
from tests.ground_truth.compaction_lockstep import predict
from tests.ground_truth.recorded import names, read

#: Its process id in the recorded kernels, which start their threads in one order.
KCOMPACTD = 18


def compacted() -> list[str]:
    """Recordings in which kcompactd isolated pages, but those of forks: whose pages are movable is not told there."""
    found = []
    for name in names("allocator"):
        recording = read("allocator", name)
        assert isinstance(recording, AllocatorRecording)
        isolated = recording.events.op == ord("I")
        if isolated.any() and recording.workload.type != "fork":
            assert set(recording.events.pid[isolated].tolist()) == {KCOMPACTD}
            found.append(name)
    return found


@pytest.mark.parametrize("name", compacted())
def test_every_step_of_compaction_is_predicted(name: str) -> None:
    """Given when kcompactd was woken and who ran in between, each page it takes, moves and gives back is right."""
    recording = read("allocator", name)
    assert isinstance(recording, AllocatorRecording)
    outcome = predict(recording, KCOMPACTD)
    assert not outcome.wrong, (outcome.events, outcome.wrong)
    assert outcome.events == outcome.total > 0
    boosts = int(np.count_nonzero(recording.events.op == ord("W")))
    assert outcome.runs <= boosts if boosts else outcome.runs > 0


@pytest.mark.parametrize("name", ["minimal", "minimal_pb10"])
def test_the_parts_of_the_image_are_all_that_it_keeps(name: str) -> None:
    """What compaction passes over in the middle of memory is counted in the managed pages as well."""
    profile = load_boot_profile(name)
    assert profile.image is not None
    kept = profile.image.kept_pfns
    assert sum(end - start for start, end in kept) == profile.image_pages
    assert all(end <= start for (_, end), (start, _) in pairwise(kept))
