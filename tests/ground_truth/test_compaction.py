"""Compaction: where the kernel compacted, the model isolates, rotates and moves the same, page by page."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from models.host.recorded_schedule import schedule_of
from models.host.recording import AllocatorRecording
from models.host.simulate import simulate
from models.kernel.boot_profile import load_boot_profile
from models.kernel.compaction.background import Background
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


@pytest.mark.parametrize("name", compacted())
def test_a_simulation_with_the_recorded_turns_compacts_the_recorded_pages(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though tasks, their pages and slabs, and what is free by then, are all the model's own: not one page differs."""
    recording = read("allocator", name)
    assert isinstance(recording, AllocatorRecording)
    events = recording.events
    letters = "LIf" if (events.op == ord("L")).any() else "If"
    own = (events.pid == KCOMPACTD) & (events.context <= 0) & np.isin(events.op, list(letters.encode()))
    told = list[tuple[str, int]]()
    run_for, begin = Background.run_for, Background.__init__

    def watched(background: Background, *args: int) -> tuple[bool, int]:
        settings, log = background._store.config[0], background._store.log
        settings["logging"], settings["log_used"] = 1, 0
        done = run_for(background, *args)
        told.extend((chr(row["kind"]), int(row["pfn"])) for row in log[: int(settings["log_used"])])
        settings["logging"] = 0
        return done

    def begun(background: Background, *args: Any, **kwargs: Any) -> None:
        told.clear()  # of an earlier run with another clock
        begin(background, *args, **kwargs)

    monkeypatch.setattr(Background, "run_for", watched)
    monkeypatch.setattr(Background, "__init__", begun)
    simulate(recording, schedule=schedule_of(recording))
    expected = [(chr(op), int(pfn)) for op, pfn in zip(events.op[own], events.pfn[own], strict=True)]
    assert [one for one in told if one[0] in letters] == expected


@pytest.mark.parametrize("name", ["minimal", "minimal_pb10"])
def test_the_parts_of_the_image_are_all_that_it_keeps(name: str) -> None:
    """What compaction passes over in the middle of memory is counted in the managed pages as well."""
    profile = load_boot_profile(name)
    assert profile.image is not None
    kept = profile.image.kept_pfns
    assert sum(end - start for start, end in kept) == profile.image_pages
    assert all(end <= start for (_, end), (start, _) in pairwise(kept))
