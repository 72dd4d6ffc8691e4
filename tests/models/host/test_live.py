"""Runs on the real kernel, small ones; skipped with a reason where it lacks memfd_secret. They split a few entries."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.host.compare import compare_here
from models.host.kernel_memory.memory import KernelMemoryError
from models.host.live import LiveRun, new_splits, run_live, to_result
from models.host.live_comparison import compare_live
from models.host.live_counters import live_counters
from models.host.live_figure import draw_comparison
from models.host.live_plan import plan
from models.host.live_report import table_rows
from models.host.live_worker import WorkerError, ask_worker
from models.host.recording import CountersRecording, read_recording
from models.host.recording_writer import frame_runs, write_recording
from models.host.snapshot import take_snapshot
from models.host.sources import Sources, Unreadable
from simcore import views
from simcore.result import Result
from tests.models.host.live_support import experiment, left_behind, needs_page_flags, needs_secretmem

SMALL: dict[str, dict[str, Any]] = {
    "one_file": {"kind": "one_file", "pages": 8, "repeat": 2},
    "many_files": {"kind": "many_files", "files": 4},
    "many_unmapped": {"kind": "many_files", "files": 3, "pages": 2, "keep_mapped": False},
    "fork_bomb": {"kind": "fork_bomb", "tasks": 4, "ordinary_before": 2, "inherit": True},
    "fork_in_step": {"kind": "fork_bomb", "tasks": 3, "in_step": True, "hold": "1ms"},
    "spread": {"kind": "spread", "secret_pages": 3, "filler_pages": 16},
    "spread_pipes": {"kind": "spread", "secret_pages": 2, "filler": "pipe", "filler_pages": 20},
    "spread_secret": {"kind": "spread", "secret_pages": 2, "filler": "secret", "filler_pages": 2},
    "churn": {"kind": "churn", "steps": 20, "slots": 4, "max_pages": 3},
}


def _run(**workload: Any) -> LiveRun:
    return run_live(plan(experiment(**workload)))


@needs_secretmem
@pytest.mark.parametrize("name", SMALL)
def test_every_workload_gives_all_back(name: str) -> None:
    """At the end no secret page, no task and no process is left, and the counters' identity holds."""
    run = _run(**SMALL[name])
    first, last = run.samples[0], run.samples[-1]
    assert run.refused is None
    assert (first.label, last.label) == ("start", "end")
    assert (last.secret_pages, last.tasks) == (0, 1)
    assert max(sample.secret_pages for sample in run.samples) > 0
    assert all(a.time_ns <= b.time_ns for a, b in zip(run.samples, run.samples[1:], strict=False))
    if "DirectMap4k" in first.meminfo:
        assert last.meminfo["DirectMap4k"] - first.meminfo["DirectMap4k"] == 2048 * new_splits(run, 2)
    assert not left_behind(os.getpid())


@needs_secretmem
def test_the_result_is_a_run_directory(tmp_path: Path) -> None:
    """Plots, tables and reports take it as they take a simulation's; what no kernel tells is not made up."""
    run = _run(kind="one_file", pages=8)
    result = to_result(run, experiment(kind="one_file", pages=8))
    result.save(tmp_path / "run")
    again = Result.open(tmp_path / "run")
    assert again.summary["splits.new_2m"] == new_splits(run, 2)
    assert int(max(again.series["secretmem.pages"])) == 8
    assert "tlb.cost_ns" not in again.series
    assert "tlb.cost_ns" in again.manifest["not_observed"]
    assert views.draw_all(again, tmp_path / "run")
    page = again.report(tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "direct_map.level2_splits" in page


@needs_secretmem
def test_an_ordinary_user_compares_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without page flags, frames and block types: gaps that are named, a wider range, no traceback."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    def hidden_memory(*_: object) -> None:
        raise KernelMemoryError("a BPF map: not without root")

    hidden = Sources.text

    def text(self: Sources, name: str) -> str:
        if name in {"pagetypeinfo", "kpageflags"}:
            raise Unreadable(f"/proc/{name} cannot be read without root")
        return hidden(self, name)

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("models.host.capture._fill", refuse)
    monkeypatch.setattr("models.host.capture.KernelReader", hidden_memory)
    monkeypatch.setattr(Sources, "text", text)
    one = experiment(kind="one_file", pages=2)
    outcome = compare_here(one, plan(one), tmp_path, placements=1)
    assert len(outcome.run.frames) == 0
    assert outcome.snapshot.pages is None
    assert outcome.snapshot.lists is None
    assert "not without root" in outcome.snapshot.provenance["lists"].gap
    assert outcome.comparison.free_share is None
    assert "without root" in outcome.snapshot.provenance["free_blocks"].gap


@needs_secretmem
def test_a_recording_is_read_back(tmp_path: Path) -> None:
    """What a user sends in is a test case like the others."""
    snapshot = take_snapshot()
    run = _run(kind="spread", secret_pages=4, filler_pages=8)
    recording = read_recording(write_recording(run, snapshot, tmp_path / "mine.json.gz"))
    assert isinstance(recording, CountersRecording)
    assert recording.name == "mine"
    assert recording.workload.type == "spread"
    assert np.array_equal(recording.secret_pfns, run.frames)
    assert [sample.label for sample in recording.samples] == [sample.label for sample in run.samples]
    assert recording.samples[-1].level2_splits == run.samples[-1].vmstat["direct_map_level2_splits"]


def test_frames_become_runs() -> None:
    """Ascending, descending and single frames, without losing their order."""
    frames = [10, 11, 12, 50, 40, 30, 7]
    runs = frame_runs(frames)
    assert [pfn + step * k for _, pfn, count, step in runs for k in range(count)] == frames
    assert [index for index, *_ in runs] == [sum(run[2] for run in runs[:at]) for at in range(len(runs))]


@needs_secretmem
def test_a_worker_that_dies_is_told_by_its_signal() -> None:
    """A bad request ends the worker; the message is one line, and nothing is left."""
    with pytest.raises(WorkerError, match="worker failed"):
        ask_worker({"do": "run", "workload": {"kind": "none"}, "frames": False})
    assert not left_behind(os.getpid())


_STARTER = """
import sys
from models.host.live_worker import ask_worker
bomb = {"kind": "fork_bomb", "tasks": 24, "secret_pages": 1, "ordinary_before": 8, "ordinary_after": 0, "hold": None,
        "inherit": True, "in_step": False, "rate": 60}
print("begun", flush=True)
try:
    ask_worker({"do": "run", "workload": bomb, "frames": False})
except KeyboardInterrupt:
    sys.exit(130)
"""


@needs_secretmem
def test_interrupted_at_random_nothing_is_left() -> None:
    """Twenty times, by three signals: no process is left, so no descriptor and no secret page either.

    Secret pages live in files that belong to processes alone. Killed outright, the starter cannot clean up: then the
    kernel ends the worker for it, and its children.
    """
    draw = random.Random(20)
    for number in range(20):
        starter = subprocess.Popen(
            [sys.executable, "-c", _STARTER], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
        )
        assert starter.stdout is not None
        starter.stdout.readline()
        time.sleep(draw.uniform(0.0, 0.5))
        which = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[number % 3]
        starter.send_signal(which)
        status = starter.wait(timeout=30)
        starter.stdout.close()
        assert status in {0, 130, -which, -signal.SIGKILL}
        deadline = time.monotonic() + 10
        while left := left_behind(starter.pid):
            assert time.monotonic() < deadline, f"after {which.name}: {left}"
            time.sleep(0.02)


@needs_secretmem
@needs_page_flags
@pytest.mark.parametrize(
    ("workload", "scatter", "at_least"),
    [
        pytest.param({"kind": "many_files", "files": 256}, 8, 5, id="many_files", marks=pytest.mark.long),
        pytest.param({"kind": "one_file", "pages": 1024}, 8, 5, id="one_file", marks=pytest.mark.long),
        pytest.param({"kind": "fork_bomb", "tasks": 64}, 12, 5, id="fork_bomb", marks=pytest.mark.long),
        pytest.param(
            {"kind": "spread", "secret_pages": 30, "filler_pages": 511}, 24, 20, id="spread", marks=pytest.mark.long
        ),
    ],
)
def test_the_kernel_splits_as_simulated(workload: dict[str, Any], scatter: int, at_least: int, tmp_path: Path) -> None:
    """New 2M splits lie in the simulated range and within max(2, 20 %) of its median.

    Free kernel memory is scattered over fresh regions first, or a second session on one machine would split nothing and
    prove nothing. Other processes use the same lists meanwhile: five attempts, of which one that counts must agree.
    """
    outcomes = []
    for attempt in range(5):
        one = experiment(**workload)
        outcome = compare_here(one, plan(one), tmp_path / str(attempt), placements=20, scatter=scatter)
        comparison = outcome.comparison
        assert draw_comparison(outcome, tmp_path / "figure.png").exists()
        if comparison.proves and comparison.real_splits >= at_least:
            outcomes.append(table_rows(list(comparison.rows[:1]))[0])
            if comparison.passed:
                return
    if not outcomes:
        pytest.skip("no run counts: the kernel split too little, or other processes came between reading and running")
    pytest.fail(f"real beside simulated: {outcomes}")


@needs_secretmem
def test_a_run_that_splits_nothing_proves_nothing() -> None:
    """A second run on warmed memory must not pass for agreement."""
    counters = dict.fromkeys(live_counters(_run(kind="one_file", pages=2)), 0.0)
    comparison = compare_live(counters, [counters, counters])
    assert not comparison.proves
    assert not comparison.passed
    assert "proves nothing" in comparison.notes[0]
