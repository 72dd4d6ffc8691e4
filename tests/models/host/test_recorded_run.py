"""A recorded workload that the model cannot carry through is compared all the same."""

from __future__ import annotations

from dataclasses import replace

from models.host.comparison import Options
from models.host.recording import AllocatorRecording
from models.host.simulate import compare
from tests.ground_truth.recorded import read


def asking_for_more(name: str, **parameters: int) -> AllocatorRecording:
    """A recording whose program was told to take more than there is."""
    recording = read("allocator", name)
    assert isinstance(recording, AllocatorRecording)
    greedy = {**recording.workload.parameters, **parameters}
    return replace(recording, workload=recording.workload.model_copy(update={"parameters": greedy}))


def test_a_pool_that_finds_no_memory_ends_the_run() -> None:
    """The program is killed, instead of asking for ever."""
    recording = asking_for_more("b_pool_1g_compact")
    last = max(sample.secret_pages for sample in recording.samples)
    more = tuple(
        sample.model_copy(update={"secret_pages": 400}) if sample.secret_pages == last else sample
        for sample in recording.samples
    )
    comparison = compare(replace(recording, samples=more), Options())
    assert not comparison.passed


def test_a_program_that_runs_out_of_memory_falls_short() -> None:
    """It is killed; its end stands for all samples that it did not live to see, and pages without frames are wrong."""
    recording = asking_for_more("h_page_1g_steal", a0=400)
    comparison = compare(recording, Options())
    assert not comparison.passed
    frames = next(row for row in comparison.rows if row.what == "secret_frames_in_2m_region")
    assert frames.total == len(recording.secret_pfns)
    splits = next(one for one in comparison.series if one.name == "level2_splits")
    assert len(splits.simulated) == len(splits.recorded)
    assert splits.simulated[-1] > splits.simulated[0]
