"""From measured figures to a cost preset; the measuring itself is tried in test_live.py."""

from pathlib import Path

import pytest

from models.host.calibrate import Calibration, disagreement
from models.host.cost_derivation import derive
from models.machine.costs import load_costs
from models.machine.machine import MachineConfig, build_machine
from simcore.errors import ConfigError
from tests.models.host.test_cost_derivation import FIGURES


def _preset(**changed: list[float]) -> Calibration:
    figures = {**FIGURES, **changed}
    return Calibration(derive(figures, cpus=2, ghz=2.6, virtual=True, machine="a test"), figures, {}, "a test")


def test_the_file_is_a_cost_preset(tmp_path: Path) -> None:
    """It loads by path, from a machine's configuration too, and says what was not measured."""
    calibration = _preset()
    path = tmp_path / "mine.yaml"
    path.write_text(calibration.to_yaml(), encoding="utf-8")
    assert load_costs(str(path)).values == calibration.preset.values
    machine = build_machine(MachineConfig.model_validate({"memory": "4GiB", "cpus": 2, "costs": str(path)}))
    assert machine.costs.name == "mine"
    assert machine.costs.values.pool_chunk_ns.confidence == "swept"
    assert machine.costs.values.ordinary_fault_ns.confidence == "measured"


def test_noise_is_told() -> None:
    """Two measurements that differ by more than 15 % must not pass for a calibration."""
    apart = disagreement({"secret_fault": [10.0, 11.0, 12.0]}, {"secret_fault": [14.0, 15.0, 16.0]})
    noisy = Calibration(_preset().preset, FIGURES, apart, "a test")
    assert noisy.too_noisy == ["secret_fault"]
    assert "TOO NOISY" in noisy.to_yaml()
    assert not Calibration(_preset().preset, FIGURES, {"secret_fault": 0.1}, "a test").too_noisy


def test_a_file_that_is_no_preset_is_refused(tmp_path: Path) -> None:
    """With the file's name."""
    path = tmp_path / "wrong.yaml"
    path.write_text("values: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"wrong\.yaml"):
        load_costs(str(path))
    with pytest.raises(ConfigError, match="no such file"):
        load_costs(str(tmp_path / "none.yaml"))
