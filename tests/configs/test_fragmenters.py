"""The experiments on other fragmenters, and the calibrations: every condition in them holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcore.experiment import Experiment
from simcore.simulation import simulate

CONFIGS = Path(__file__).parents[2] / "configs"
FOLDERS = ("fragmenters", "calibrations")
EXPERIMENTS = sorted(path for folder in FOLDERS for path in (CONFIGS / folder).glob("*.yaml") if path.stem[0] != "_")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_condition_holds(path: Path) -> None:
    """What the experiment says it shows, it shows; calibrations lie within the spread that they are fitted to."""
    experiment = Experiment.load(path)
    assert experiment.checks
    verdicts = simulate(experiment).summary["expect"]
    assert [verdict["check"] for verdict in verdicts if not verdict["passed"]] == []


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_opens_by_saying_what_it_shows(path: Path) -> None:
    """A comment comes first; a calibration calls itself one in it."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    if path.parent.name == "calibrations":
        assert "\n# A calibration, not a prediction" in f"\n{text}"
