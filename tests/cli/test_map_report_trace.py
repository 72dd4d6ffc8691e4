"""The commands that show a run: map, report, trace, several runs together, and the reference of the keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import simcore

EXPERIMENT = """\
machine: {memory: 2GiB, cpus: 2}
workloads:
  bomb: {kind: fork_bomb, tasks: 40}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two runs, the first of them traced."""
    place = tmp_path_factory.mktemp("place")
    (place / "bomb.yaml").write_text(EXPERIMENT)
    for name, more in (("one", ["--trace"]), ("two", ["--set", "replication=1"])):
        done = simcore(place, "run", "bomb.yaml", "--no-plot", "--out", f"runs/{name}", *more)
        assert done.returncode == 0, done.stderr
    return place


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["--map"], ["map.png"]),
        (["--map", "--at", "1ms"], ["map_1000000ns.png"]),
        (["--map", "--animate"], ["map.gif"]),
        ([], ["series.png", "overview.png"]),
        (["runs/two"], ["runs.png"]),
        (["runs/two", "--intervals"], ["replications.png"]),
    ],
)
def test_plot_writes_what_it_is_asked_for(place: Path, arguments: list[str], files: list[str]) -> None:
    """Each option leaves its picture, and names it."""
    out = place / "pictures" / "-".join(arguments or ["all"]).replace("/", "-")
    done = simcore(place, "plot", "runs/one", *arguments, "--out", str(out))
    assert done.returncode == 0, done.stderr
    written = [Path(line).name for line in done.stdout.splitlines()]
    assert set(files) <= set(written)
    assert all((out / name).stat().st_size > 0 for name in files)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "1ms"], "--map"),
        (["--map", "--at", "soon"], "--at soon"),
        (["--map", "--at", "1h"], "the run lasted"),
        (["--map", "--series", "x"], "draws no series"),
    ],
)
def test_plot_refuses_what_does_not_fit(place: Path, arguments: list[str], message: str) -> None:
    """Bad input ends with 2 and one message."""
    done = simcore(place, "plot", "runs/one", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_leaves_a_trace_that_is_json(place: Path) -> None:
    """The file that the browser tool opens lies beside the others, and the run can still be read."""
    events = json.loads((place / "runs" / "one" / "trace.json").read_text())["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X", "C"}


@pytest.mark.parametrize("window", ["10ms..5ms", "5ms", "now..later"])
def test_a_bad_window_is_refused(place: Path, window: str) -> None:
    """Nothing runs when the window cannot be meant."""
    done = simcore(place, "run", "bomb.yaml", "--trace-window", window, "--out", "runs/none")
    assert done.returncode == 2
    assert f"--trace-window {window}" in done.stderr
    assert not (place / "runs" / "none").exists()


def test_report_writes_one_page(place: Path) -> None:
    """Into the run's directory, or where it is told to."""
    assert simcore(place, "report", "runs/one").stdout.strip() == "runs/one/report.html"
    done = simcore(place, "report", "runs/one", "--out", "elsewhere/page.html")
    assert done.returncode == 0, done.stderr
    assert (place / "elsewhere" / "page.html").read_text().startswith("<!DOCTYPE html>")
    missing = simcore(place, "report", "runs/nowhere")
    assert missing.returncode == 2
    assert "no such run or sweep" in missing.stderr


def test_a_run_that_was_looked_at_can_be_made_again(place: Path) -> None:
    """Reports, maps and traces in a run's directory must not stand in the way of running it again."""
    simcore(place, "report", "runs/one")
    done = simcore(place, "run", "bomb.yaml", "--no-plot", "--out", "runs/one", "--trace")
    assert done.returncode == 0, done.stderr


def test_the_reference_is_printed(place: Path) -> None:
    """For people, what the schema is for editors."""
    done = simcore(place, "schema", "--reference")
    assert done.returncode == 0, done.stderr
    assert "| `tasks` |" in done.stdout
