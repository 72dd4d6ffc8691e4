"""Workloads by name: the user's own beside the built-in ones, told apart by their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import simcore
from models.workloads.registry import WORKLOADS, find_workload
from simcore.errors import ConfigError

OWN = '''
from typing import Literal

from models.workloads.base import Positive, Workload, WorkloadConfig


class OwnConfig(WorkloadConfig):
    kind: Literal["own_workloads:Own"] = "own_workloads:Own"
    pages: Positive = 3


class Own(Workload):
    Config = OwnConfig

    def run(self, thread):
        file = yield from thread.open_secret(self.config.pages)
        mapping = yield from thread.map_secret(file, self.config.pages)
        yield from thread.touch_secret(mapping, self.config.pages)
        self.count("secret_pages", self.config.pages)
'''


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "own_workloads.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return {
        "machine": {"memory": "1GiB", "cpus": 2},
        "workloads": {"own": {"kind": "own_workloads:Own", "pages": 5}, "bomb": {"kind": "fork_bomb", "tasks": 2}},
    }


def test_a_class_of_ones_own_runs_beside_the_others(experiment: dict[str, Any]) -> None:
    """Its keys are read by its own class, and its configuration reads back to the same run."""
    result = simcore.run(experiment, progress=False)
    assert result.summary["workloads.own.secret_pages"] == 5
    assert result.config["workloads"]["own"]["pages"] == 5
    assert simcore.run(result.config, progress=False).fingerprint == result.fingerprint


def test_its_keys_are_checked(experiment: dict[str, Any]) -> None:
    """A typing error in a key of one's own class is an error as in any other."""
    experiment["workloads"]["own"]["pgaes"] = 1
    with pytest.raises(ConfigError, match="pgaes"):
        simcore.run(experiment, progress=False)


def test_what_is_no_workload_is_refused() -> None:
    """A name that leads to something else must not get as far as a run."""
    with pytest.raises(ValueError, match="no subclass"):
        find_workload("models.workloads.base:WorkloadConfig")
    with pytest.raises(ConfigError, match="own_wrkloads"):
        find_workload("own_wrkloads:Own")


def test_built_in_kinds_are_found() -> None:
    """Every kind leads to the class whose configuration has that kind."""
    for kind, workload in WORKLOADS.items():
        assert find_workload(kind) is workload
        assert workload.Config.model_fields["kind"].default == kind
