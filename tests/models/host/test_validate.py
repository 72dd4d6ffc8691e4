from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from models.host import validate as module
from models.host.comparison import Comparison, Divergence, Options, Row, Series
from models.host.recording import AllocatorRecording, CountersRecording, RecordingError
from models.host.validate import MODES, Mode, compare_all, find_recordings, validate
from models.host.validation_document import document
from simcore.errors import SimcoreError
from tests.models.host.edited_recordings import ALLOCATOR, COUNTERS, RECORDINGS, load, smallest, store

SMALL, SMALL_COUNTERS = smallest(ALLOCATOR), smallest(COUNTERS)


def agree(recording: AllocatorRecording | CountersRecording, options: Options) -> Comparison:
    """A mode whose model is always right."""
    time_ns = np.array([sample.time_ns for sample in recording.samples])
    values = np.array([float(sample.level2_splits) for sample in recording.samples])
    series = Series("level2_splits", time_ns, values, values, values - 1, values + options.placements)
    return Comparison("agree", recording.name, [Row.counted("frames", 7, 7)], "exact", [series])


def differ(recording: AllocatorRecording | CountersRecording, options: Options) -> Comparison:
    """A mode whose model is always wrong."""
    del options
    where = Divergence("event 3", "pfn 5", "pfn 6", {"free lists": "order 0: 5, 6"})
    return Comparison("differ", recording.name, [Row.counted("frames", 6, 7)], "exact", [], where)


FAKE: Mapping[str, Mode] = {
    "agree": Mode("allocator", f"{__name__}:agree"),
    "differ": Mode("counters", f"{__name__}:differ"),
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command with the two modes above."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    original = compare_all
    monkeypatch.setattr(
        module, "compare_all", lambda paths, chosen, options: original(paths, chosen, options, FAKE)
    )
    app = typer.Typer()
    app.command()(validate)
    return app


def test_within_tolerance_exits_0_and_prints_a_table(run: typer.Typer) -> None:
    """The table names recording, respect and share."""
    result = CliRunner().invoke(run, [str(SMALL), "--mode", "agree"])
    assert result.exit_code == 0
    for word in (SMALL.name[:-8], "frames", "7/7", "1 of 1 comparisons within tolerance"):
        assert word in result.stdout


def test_outside_tolerance_exits_1_and_shows_the_divergence(run: typer.Typer) -> None:
    """The first divergence is shown with the states around it."""
    result = CliRunner().invoke(run, [str(SMALL_COUNTERS)])
    assert result.exit_code == 1
    for word in ("6/7", "FAILED", "event 3", "pfn 5", "pfn 6", "order 0: 5, 6"):
        assert word in result.stdout


def test_json_is_the_only_thing_on_standard_output(run: typer.Typer) -> None:
    """A program can parse it, with every mode that a recording allows."""
    result = CliRunner().invoke(run, [str(SMALL), str(SMALL_COUNTERS), "--json"])
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert not data["passed"]
    assert [(one["mode"], one["passed"]) for one in data["comparisons"]] == [
        ("agree", True),
        ("differ", False),
    ]
    assert data["comparisons"][0]["rows"][0]["exact"] == 7
    assert len(data["comparisons"][0]["series"]["level2_splits"]["recorded"]) > 1
    assert data["comparisons"][1]["first_divergence"]["where"] == "event 3"


def test_plot_draws_one_picture_for_each_comparison_with_series(run: typer.Typer, tmp_path: Path) -> None:
    """Pictures go where --out says."""
    out = tmp_path / "new"
    result = CliRunner().invoke(run, [str(SMALL), str(SMALL_COUNTERS), "--plot", "--out", str(out)])
    assert result.exit_code == 1
    assert [path.name for path in out.iterdir()] == [f"{SMALL.name[:-8]}-agree.png"]
    assert next(out.iterdir()).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("schedule", "given"), [((), True), (("--schedule", "own"), False)])
def test_the_table_says_what_was_given(schedule: tuple[str, ...], given: bool) -> None:
    """Times and turns by default, nothing if asked for."""
    app = typer.Typer()
    app.command()(validate)
    path = ALLOCATOR / "h_page_1g_steal.json.gz"
    result = CliRunner().invoke(app, [str(path), "--mode", "simulate", *schedule])
    assert result.exit_code == 0
    assert ("given: times of samples" in result.stdout) == given
    assert ("turns of kswapd and kcompactd" in result.stdout) == given
    wrong = CliRunner().invoke(app, [str(path), "--schedule", "other"])
    assert wrong.exit_code == 2
    assert "other" in wrong.output


def test_a_refused_recording_reaches_the_command_line(run: typer.Typer, tmp_path: Path) -> None:
    """The error is of the kind that ends in one message and exit 2."""
    path = tmp_path / "cut.json.gz"
    path.write_bytes(SMALL.read_bytes()[:999])
    result = CliRunner().invoke(run, [str(path)])
    assert isinstance(result.exception, RecordingError)
    assert isinstance(result.exception, SimcoreError)


def test_directories_are_searched_in_a_fixed_order() -> None:
    """Recordings are found below a directory, each once, and nothing else is."""
    found = find_recordings([RECORDINGS, SMALL])
    assert len(found) == len(set(found))
    assert found == sorted(found)
    assert {path.parent.name for path in found} == {"allocator", "counters"}


@pytest.mark.parametrize("where", ["none", "empty"])
def test_a_path_without_recordings_is_refused(where: str, tmp_path: Path) -> None:
    """A mistyped or empty directory must not pass as validated."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(SimcoreError, match=where):
        find_recordings([tmp_path / where])


def test_an_unknown_mode_names_the_nearest() -> None:
    """A typing error is answered with the right name."""
    with pytest.raises(SimcoreError, match="did you mean 'replay'"):
        list(compare_all([SMALL], ["reply"], Options()))


def test_a_mode_that_no_recording_allows_is_refused() -> None:
    """Nothing compared is not the same as nothing wrong."""
    with pytest.raises(SimcoreError, match="counters"):
        list(compare_all([SMALL], ["counters"], Options()))


def test_the_modes_are_those_that_the_documentation_names() -> None:
    """Names of modes are part of the command line."""
    assert list(MODES) == ["replay", "simulate", "counters"]


def compared() -> list[Comparison]:
    return list(compare_all([SMALL, SMALL_COUNTERS], [], Options(), FAKE))


def test_the_page_is_a_pure_function_of_the_comparisons() -> None:
    """Order of the files does not matter, and nothing but the comparisons enters."""
    page = document(compared())
    assert page == document(compared())
    assert f"| `{SMALL.name[:-8]}` | 7/7 | exact | ok |" in page
    assert f"| `{SMALL_COUNTERS.name[:-8]}` | **6/7** | exact | **outside** |" in page
    assert "event 3" in page
    assert "## What is not modelled" in page


def test_parameters_that_do_not_fit_the_samples_are_refused(tmp_path: Path) -> None:
    """Only the simulated workload shows that; the sample is named all the same."""
    data = load(ALLOCATOR / "c_page_4g_256_a16.json.gz")
    data["workload"]["parameters"]["s"] = 3
    edited = store(data, tmp_path / "edited.json.gz")
    with pytest.raises(RecordingError, match="'fork' cannot be") as refused:
        list(compare_all([edited], ["simulate"], Options(1, 0)))
    assert (refused.value.field or "").startswith("samples[")
