"""The command line as a user meets it: files, tables, exit codes, and never a traceback for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import simcore

MODEL = "tests.simcore.queue_model:QueueModel"
GOOD = f"""\
model: {MODEL}
description: a queue that empties
customers: 200
expect:
  queue.served: "== 200"
  queue.present: 0
"""


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Check that bad input gave exit code 2 and one message; return it."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD)
    return tmp_path


def test_a_run_leaves_its_files_a_table_and_verdicts(place: Path) -> None:
    done = simcore(place, "run", "good.yaml")
    assert done.returncode == 0, done.stderr
    assert "passed queue.served == 200" in done.stdout
    assert "queue.memory_bytes" in done.stdout
    assert done.stderr == ""  # no progress bar without a terminal
    files = {path.name for path in (place / "runs" / "good").iterdir()}
    assert {"config.yaml", "summary.json", "series.parquet", "manifest.json", "series.png"} <= files


def test_a_failed_expectation_exits_1_and_is_shown(place: Path) -> None:
    done = simcore(place, "run", "good.yaml", "--set", "customers=100", "--no-plot", "--out", "elsewhere")
    assert done.returncode == 1
    assert "FAILED queue.served == 200   (queue.served = 100)" in done.stdout
    summary = json.loads((place / "elsewhere" / "summary.json").read_text())
    assert [verdict["passed"] for verdict in summary["expect"]] == [False, True]
    assert not (place / "elsewhere" / "series.png").exists()


def test_json_prints_the_summary_and_nothing_else(place: Path) -> None:
    done = simcore(place, "run", "good.yaml", "--json", "--no-plot")
    summary = json.loads(done.stdout)
    assert summary["queue.served"] == 200
    assert summary == json.loads((place / "runs" / "good" / "summary.json").read_text())


def test_the_same_command_gives_the_same_fingerprint(place: Path) -> None:
    prints = {
        json.loads(simcore(place, "run", "good.yaml", "--json", "--no-plot", *more).stdout)["fingerprint"]
        for more in ([], [], ["--set", "seed=1"])
    }
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("servrs: 2\n", "bad.yaml:2: servrs: unknown key; expected one of"),
        ("buffer: 64GB\n", "bad.yaml:2: buffer: '64GB' has unknown unit 'GB'"),
        ("buffer: -1\n", "bad.yaml:2: buffer: -1 is negative"),
        ("servers: 13\n", "bad.yaml:2: servers: 13 servers are bad luck; expected another number"),
        ("order: lfo\n", "did you mean 'lifo'?"),
        ("seed: 1\nseed: 2\n", "bad.yaml:3: seed: the key stands twice, first in line 2"),
        ("a: &a [*a]\n", "bad.yaml:2: alias *a contains itself"),
        (
            "x: !!python/object/apply:os.abort []\n",
            "bad.yaml:2: tag !!python/object/apply:os.abort is not allowed",
        ),
        ("base: gone.yaml\n", "bad.yaml:2: base: 'gone.yaml': no such file"),
        ("expect: {queue.servd: 1}\n", "did you mean 'queue.served'?"),
        ("[" * 50_000, "levels deep"),
    ],
)
def test_bad_input_exits_2_with_one_message(place: Path, text: str, message: str) -> None:
    (place / "bad.yaml").write_text(f"model: {MODEL}\n{text}" if not text.startswith("[") else text)
    assert message in refused(simcore(place, "run", "bad.yaml"))
    assert not (place / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "god.yaml"], "no such file; did you mean 'good.yaml'?"),
        (["run", "good.yaml", "--set", "customers"], "expected key.path=value"),
        (["run", "good.yaml", "--set", "model=nope"], "no model 'nope'"),
        (["run", "good.yaml", "--out", "."], "left alone"),
        (["runn", "good.yaml"], "Did you mean 'run'?"),
        (["plot", "nowhere"], "no such run directory"),
        (["schema", "nope"], "no model 'nope'"),
    ],
)
def test_bad_arguments_exit_2_with_one_message(place: Path, arguments: list[str], message: str) -> None:
    assert message in refused(simcore(place, *arguments))


def test_plot_draws_a_finished_run_anew(place: Path) -> None:
    simcore(place, "run", "good.yaml", "--no-plot")
    done = simcore(place, "plot", "runs/good", "--series", "queue.p*", "--out", "pictures")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [os.path.join("pictures", "series.png")]
    assert (place / "pictures" / "series.png").read_bytes().startswith(b"\x89PNG")
    assert "did you mean" in refused(simcore(place, "plot", "runs/good", "--series", "queue.presnt"))


def test_schema_is_json_and_can_go_to_a_file(place: Path) -> None:
    printed = json.loads(simcore(place, "schema", MODEL).stdout)
    assert {"servers", "seed", "expect", "base"} <= set(printed["properties"])
    assert simcore(place, "schema", MODEL, "--out", "schema.json").returncode == 0
    assert json.loads((place / "schema.json").read_text()) == printed


def test_a_directory_of_experiments_ends_in_one_table(place: Path) -> None:
    configs = place / "configs"
    configs.mkdir()
    (configs / "_base.yaml").write_text(GOOD)
    (configs / "a_holds.yaml").write_text("base: _base.yaml\n")
    (configs / "b_fails.yaml").write_text("base: _base.yaml\ncustomers: 10\n")
    (configs / "c_unchecked.yaml").write_text(f"model: {MODEL}\ncustomers: 10\n")
    (configs / "d_crashes.yaml").write_text("base: _base.yaml\ncrash: true\n")
    (configs / "e_sweep.yaml").write_text("base: _base.yaml\ndesign: {grid: {servers: [1, 2]}}\n")
    done = simcore(place, "run", "configs", "--json", "--jobs", "2")
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["experiment"], row["verdict"]) for row in rows] == [
        ("a_holds", "passed"),
        ("b_fails", "FAILED"),
        ("c_unchecked", "no checks"),
        ("d_crashes", "error"),
    ]
    assert json.loads((place / "runs" / "configs" / "verdicts.json").read_text()) == rows
    assert "| b_fails | FAILED | 1/2 |" in (place / "runs" / "configs" / "verdicts.md").read_text()
    assert (place / "runs" / "configs" / "a_holds" / "manifest.json").exists()
    (configs / "d_crashes.yaml").unlink()
    (configs / "b_fails.yaml").unlink()
    assert simcore(place, "run", "configs").returncode == 0


def test_one_bad_experiment_stops_a_directory_before_any_run(place: Path) -> None:
    (place / "worse.yaml").write_text(f"model: {MODEL}\nservers: many\n")
    assert "worse.yaml:2: servers: 'many'; expected an integer" in refused(simcore(place, "run", "."))
    assert not (place / "runs").exists()


def test_help_and_version_import_nothing_heavy(place: Path) -> None:
    """The bound is on what is imported, because time on a shared machine decides nothing."""
    script = (
        "import sys; from simcore.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'numpy', 'numba', 'pyarrow', 'simpy', 'matplotlib', 'scipy', 'pydantic', 'pandas'}\n"
        "print(code, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=place, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"
    assert all(command in done.stdout for command in ("run", "plot", "schema"))
    assert simcore(place, "--version").stdout.startswith("simcore ")
