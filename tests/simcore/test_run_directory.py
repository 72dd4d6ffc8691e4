"""Run directories: whole or known not to be, replaced only when they are runs, read back as written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import simcore
from simcore.errors import OutputError
from simcore.result import Result
from simcore.run_directory import write_atomically

EXPERIMENT = {
    "model": "tests.simcore.queue_model:QueueModel",
    "customers": 50,
    "name": "<b>50 $customers$</b>",
}


@pytest.fixture
def result() -> Result:
    return simcore.run(EXPERIMENT, set={"expect": {"queue.served": "== 50"}})


def test_what_is_written_reads_back(result: Result, tmp_path: Path) -> None:
    directory = result.save(tmp_path / "deep" / "run")
    again = Result.open(directory)
    assert sorted(path.name for path in directory.iterdir()) == [
        "config.yaml",
        "manifest.json",
        "series.parquet",
        "summary.json",
    ]
    assert again.summary == result.summary
    assert again.config == result.config
    assert again.manifest == result.manifest
    assert again.series.table.equals(result.series.table)
    assert again.passed


def test_a_run_can_be_repeated_from_its_own_configuration(result: Result, tmp_path: Path) -> None:
    directory = result.save(tmp_path / "run")
    assert simcore.run(directory / "config.yaml").fingerprint == result.fingerprint


def test_an_older_run_is_replaced_whole(result: Result, tmp_path: Path) -> None:
    directory = result.save(tmp_path / "run")
    (directory / "series.png").write_bytes(b"an old picture")
    result.save(directory)
    assert not (directory / "series.png").exists()
    assert Result.open(directory).name == result.name


def test_a_half_written_run_is_not_read_and_can_be_replaced(result: Result, tmp_path: Path) -> None:
    directory = result.save(tmp_path / "run")
    (directory / "manifest.json").unlink()
    (directory / "series.parquet.partial").write_bytes(b"torn")
    with pytest.raises(OutputError, match="did not finish"):
        Result.open(directory)
    result.save(directory)
    assert Result.open(directory).fingerprint == result.fingerprint


def test_anything_else_is_left_alone(result: Result, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    (tmp_path / "home" / "manifest.json").write_text('{"kind": "something else"}')
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for name in ("home", "file", "link"):
        with pytest.raises(OutputError, match="left alone"):
            result.save(tmp_path / name)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("damage", ["series.parquet", "summary.json", "config.yaml"])
def test_a_damaged_run_is_said_to_be_one(result: Result, tmp_path: Path, damage: str) -> None:
    directory = result.save(tmp_path / "run")
    (directory / damage).write_bytes(b"\x00{")
    with pytest.raises(OutputError, match="damaged"):
        Result.open(directory)


def test_what_is_no_run_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such run"):
        Result.open(tmp_path / "nowhere")
    (tmp_path / "manifest.json").write_text(json.dumps({"kind": "zoo"}))
    with pytest.raises(OutputError, match="not that of a run"):
        Result.open(tmp_path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def full(temporary: Path) -> None:
        temporary.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_atomically(path, full)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_notebooks_show_escaped_text(result: Result) -> None:
    page = result._repr_html_()
    assert "<b>50" not in page
    assert "&lt;b&gt;50 $customers$" in page
    assert "queue.served == 50" in page
