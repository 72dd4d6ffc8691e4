"""`simcore sweep`, `plan` and `verify`: output, exit codes, and one message for what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from simcore.cli import main
from simcore.sweep.store import Store


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(**keys: Any) -> str:
    content = {
        "model": "tests.simcore.sweep.sweep_models:QueueModel",
        "customers": 5,
        "design": {
            "grid": {"service_us": [100, 400], "policy": ["fifo", "double"]},
            "baseline": {"policy": "fifo"},
        },
        "replications": 3,
    }
    Path("queue.yaml").write_text(yaml.safe_dump({**content, **keys}))
    return "queue.yaml"


def simcore(*arguments: str) -> int:
    """Return the exit code of a command line."""
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_sweep_ends_with_a_table_and_plots(capsys: pytest.CaptureFixture[str]) -> None:
    """The default directory carries the sweep's name; the table has intervals and differences."""
    assert simcore("sweep", write(), "--executor", "serial", "--metric", "wait_ns") == 0
    printed = capsys.readouterr().out
    assert "95% interval" in printed
    assert "differences from policy = fifo" in printed
    assert "12 runs in runs/queue, 2 plots" in printed
    out = Path("runs/queue")
    assert sorted(path.name for path in (out / "plots").iterdir()) == ["wait_ns.map.png", "wait_ns.png"]
    assert (out / "table.parquet").is_file()
    assert json.loads((out / "manifest.json").read_text())["statuses"] == {"done": 12}


def test_sweep_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--executor", "processes", "--jobs", "2", "--json", "--metric", "wait_ns", "--out", "out")
    assert simcore("sweep", write(replications=1), *arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["runs"] == 4
    assert [row["n"] for row in printed["statistics"]] == [1] * 4
    assert printed["statistics"][0]["half_width"] is None
    assert len(printed["differences"]) == 2


def test_plan_tells_what_is_done_and_how_long_the_rest_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """Before: all to do, time unknown; after a smaller sweep: what is left, and an estimate."""
    config = write()
    assert simcore("plan", config) == 0
    printed = capsys.readouterr().out
    assert printed.count("to do") == 12 + 1
    assert "12 runs of 4 points; 0 done, 12 to do" in printed
    assert "unknown before the first run" in printed
    assert not Path("runs").exists()
    assert simcore("sweep", config, "--set", "replications=2", "--executor", "serial") == 0
    capsys.readouterr()
    assert simcore("plan", config, "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    assert (planned["total"], planned["done"]) == (12, 8)
    assert planned["estimate_s"] > 0
    assert {run["status"] for run in planned["runs"] if run["replication"] < 2} == {"done"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("design.grid.servce_us=[1]", "servce_us: unknown key"),
        ("design.grid={}", "design.grid: is empty"),
        ("design.where=service_us > 1000", "excludes every point"),
        (
            "design.sobol={points: 12, over: {customers: {from: 1, to: 9, integer: true}}}",
            "12 is not a power of two",
        ),
        ("design=null", "design"),
        ("keep=some", "keep"),
    ],
)
@pytest.mark.parametrize("command", ["sweep", "plan"])
def test_bad_designs_are_one_message_and_exit_2(
    command: str, change: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing runs and nothing is written."""
    assert simcore(command, write(), "--set", change) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    assert not Path("runs").exists()


def test_failed_runs_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """A failing run is a row and a line, not the end."""
    config = write(design={"grid": {"trouble": ["none", "raise"]}})
    assert simcore("sweep", config, "--executor", "serial") == 0
    printed = capsys.readouterr().err
    assert "3 of 6 runs did not succeed" in printed
    assert "3 x failed: ValueError: this queue is closed" in printed


def test_a_sweep_of_failures_only_still_ends(capsys: pytest.CaptureFixture[str]) -> None:
    config = write(design={"grid": {"trouble": ["raise"]}})
    assert simcore("sweep", config, "--executor", "serial") == 0
    assert "3 of 3 runs did not succeed" in capsys.readouterr().err


def test_conditions_that_fail_are_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert simcore("sweep", write(expect={"queue.served": "== 4"}), "--executor", "serial") == 1
    assert "12 conditions of `expect` did not hold" in capsys.readouterr().err


def test_verify(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 when the run comes out the same, 1 with the first difference, 2 when there is no run."""
    assert simcore("sweep", write(keep="all"), "--executor", "serial") == 0
    run = next(Path("runs/queue/runs").glob("*/*"))
    assert simcore("verify", str(run)) == 0
    assert "the same to the last bit" in capsys.readouterr().out
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("customers: 5", "customers: 6"))
    assert simcore("verify", str(run), "--json") == 1
    assert json.loads(capsys.readouterr().out)["difference"]["time_ns"] is not None
    assert simcore("verify", "nowhere") == 2


def test_interrupted_by_the_user_it_continues(place: Path) -> None:
    """Ctrl-C ends the sweep at once, also in the middle of a long run, with what was finished kept."""
    config = write(design={"grid": {"trouble": ["none", "sleep"]}}, replications=4)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "from simcore.cli import main; main()", "sweep", config, "--jobs", "2"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    store, deadline = Store("runs/queue"), time.monotonic() + 120
    while time.monotonic() < deadline and (not store.parts.exists() or len(store.recorded()) < 4):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "what was finished is kept" in errors
    assert "Traceback" not in errors
    assert len(store.recorded()) == 4
