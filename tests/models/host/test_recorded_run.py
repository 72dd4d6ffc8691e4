"""A recorded workload that the model cannot carry through is compared all the same."""

from __future__ import annotations

from dataclasses import replace

from models.host.comparison import Options
from models.host.recording import AllocatorRecording
from models.host.simulate import compare
from tests.ground_truth.recorded import read


def test_a_program_that_runs_out_of_memory_falls_short() -> None:
    """It is killed; its end stands for all samples that it did not live to see, and pages without frames are wrong."""
    recording = read("allocator", "h_page_1g_steal")
    assert isinstance(recording, AllocatorRecording)
    greedy = {**recording.workload.parameters, "a0": 400}
    comparison = compare(
        replace(recording, workload=recording.workload.model_copy(update={"parameters": greedy})), Options()
    )
    assert not comparison.passed
    frames = next(row for row in comparison.rows if row.what == "secret_frames_in_2m_region")
    assert frames.total == len(recording.secret_pfns)
    splits = next(one for one in comparison.series if one.name == "level2_splits")
    assert len(splits.simulated) == len(splits.recorded)
    assert splits.simulated[-1] > splits.simulated[0]
