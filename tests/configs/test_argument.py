"""The argument's experiments: each says what it shows, and shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simcore.batch import find_experiments, run_all
from simcore.experiment import Experiment

ARGUMENT = Path(__file__).parents[2] / "configs" / "argument"
EXPERIMENTS = find_experiments(ARGUMENT)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_says_what_it_shows(path: Path) -> None:
    """An opening comment, a description for the table, and at least one condition."""
    assert path.read_text(encoding="utf-8").startswith("# ")
    experiment = Experiment.load(path)
    assert experiment.keys.description
    assert experiment.checks


@pytest.mark.long
def test_all_verdicts_are_as_expected(tmp_path: Path) -> None:
    """One command, one table, nothing failed."""
    rows = run_all(ARGUMENT, [], tmp_path)
    assert {row["experiment"]: row["failed"] or row.get("message") for row in rows if row["verdict"] != "passed"} == {}
    assert len(rows) == len(EXPERIMENTS)
    assert (tmp_path / "verdicts.md").exists()


def test_the_page_beside_them_names_every_experiment() -> None:
    """A claim that is tried is told, and what is told is tried."""
    named = set(re.findall(r"`([a-z]\w+_\w+)`", (ARGUMENT / "README.md").read_text(encoding="utf-8")))
    assert named - {"boot_reserve"} == {path.stem for path in EXPERIMENTS}
