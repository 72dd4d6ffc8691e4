"""From measured figures to a cost preset; the measuring itself is tried in test_live.py."""

from pathlib import Path

import pytest

from models.host.calibrate import Calibration, derive, disagreement
from models.machine.costs import load_costs
from models.machine.machine import MachineConfig, build_machine
from simcore.errors import ConfigError

FIGURES = {
    "null_syscall": [150.0, 160.0, 155.0], "ordinary_fault": [1500.0, 1600.0, 1580.0], "shared_fault": [2400.0, 2430.0],
    "page_clear_hot": [76.0, 80.0], "page_clear_cold": [330.0, 340.0], "secret_fault": [16000.0, 16600.0, 17000.0],
    "munmap_page": [260.0], "free_page": [1140.0], "memfd_secret": [1850.0], "ftruncate": [1000.0], "mmap": [6000.0],
    "fork": [70000.0, 80000.0], "fork_exit_wait": [128000.0, 130000.0], "fault_with_2m_split": [35000.0, 36000.0],
}  # fmt: skip


def _preset(**changed: list[float]) -> Calibration:
    figures = {**FIGURES, **changed}
    return Calibration(derive(figures, cpus=2, ghz=2.6, virtual=True, machine="a test"), figures, {}, "a test")


def test_a_secret_fault_is_put_together_to_what_was_measured() -> None:
    """Fault, direct-map entry and flush are told apart by arithmetic; their sum is the measurement."""
    costs = _preset().preset
    total = costs.ns("secret_fault") + costs.ns("direct_map_entry") + costs.flush.initiator_ns(1, 1)
    assert total == pytest.approx(16600, rel=0.01)
    assert total + costs.split(1, 0).total_ns == pytest.approx(35500, rel=0.01)


def test_one_cpu_has_nobody_to_wait_for() -> None:
    """On one CPU the flush is local, and the sum still holds."""
    costs = derive({**FIGURES, "secret_fault": [4500.0]}, cpus=1, ghz=2.6, virtual=False, machine="a test")
    total = costs.ns("secret_fault") + costs.ns("direct_map_entry") + costs.flush.initiator_ns(1, 0)
    assert total == pytest.approx(4500, rel=0.01)


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
    with pytest.raises(ConfigError, match="cannot be read"):
        load_costs(str(tmp_path / "none.yaml"))
