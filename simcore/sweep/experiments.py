"""The experiments of a sweep: built from its base and a point, run, and the version of their model."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from simcore.config import Loaded, from_mapping
from simcore.experiment import Experiment
from simcore.run_directory import write_atomically
from simcore.simulation import simulate
from simcore.sweep.errors import SweepError
from simcore.sweep.jobs import Job, Setting
from simcore.sweep.rows import VOLATILE
from simcore.sweep.store import Store

__all__ = ["Experiments", "model_version", "versions"]

SOURCES = (".py", ".yaml", ".yml")
"""Files of a package that a run can depend on: code, and presets beside it."""

NOT_IN_A_RUN = ("views", "analysis", "cli.py", "verify.py")
"""What of the engine looks at results only."""


class Experiments:
    """Builds the experiments of one sweep; keeps the last point, because replications come in a row."""

    def __init__(self, base: Loaded) -> None:
        """Take the configuration without the keys of the sweep."""
        self.base = base
        self._last: tuple[Mapping[str, Any], Experiment] | None = None

    def at(self, overrides: Mapping[str, Any], replication: int = 0) -> Experiment:
        """Return the experiment of a point.

        Raises:
            ConfigError: the values make no valid experiment.
        """
        if self._last is None or self._last[0] != overrides:
            changed = from_mapping(self.base.data, overrides)  # type: ignore[arg-type]
            loaded = Loaded(changed.data, self.base.positions, self.base.path)
            self._last = (overrides, Experiment.from_loaded(loaded))
        experiment = self._last[1]
        keys = experiment.keys.model_copy(update={"replication": replication})
        return dataclasses.replace(experiment, keys=keys)

    def effective(self, overrides: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Return the effective configuration of a point, and its model as `module:Class`.

        Raises:
            ConfigError: the values make no valid experiment.
        """
        experiment = self.at(overrides)
        return experiment.effective(), f"{experiment.model.__module__}:{experiment.model.__qualname__}"

    def run(self, job: Job, setting: Setting) -> dict[str, Any]:
        """Make a run, leave what the sweep keeps of it, and return its metrics by name.

        Metrics are the single values of its summary, `mean(series)` over time and `peak(series)` of every
        series, and `expect.failed`, the number of conditions that did not hold, when there are any.

        Raises:
            Exception: whatever the run or its model raises.
        """
        result = simulate(self.at(job.overrides, job.replication))
        kept = Store(setting.store).kept(job.identity)
        if setting.keep == "all":
            result.save(kept)
        elif setting.keep == "series":
            kept.mkdir(parents=True, exist_ok=True)
            write_atomically(kept / "series.parquet", lambda path: pq.write_table(result.series.table, path))
        metrics = {name: value for name, value in result.values.items() if name not in ("name", *VOLATILE)}
        for name, statistics in result.summary["statistics"].items():
            for function, key in (("mean", "mean"), ("peak", "max")):
                if statistics.get(key) is not None:
                    metrics[f"{function}({name})"] = statistics[key]
        if result.verdicts:
            metrics["expect.failed"] = sum(not verdict["passed"] for verdict in result.verdicts)
        return metrics


def versions(model: str) -> dict[str, str]:
    """Return what rows tell of the code that made them: the model, and the versions of all that matters.

    Args:
        model: `module:Class`.
    """
    return {
        "model": model,
        "model_version": model_version(model),
        "simcore_version": version("simcore"),
        "python_version": platform.python_version(),
    }


def model_version(model: str) -> str:
    """Return a hash over the sources that a run of a model depends on.

    These are all modules and presets of the model's top-level package (or its one module), and the engine's
    own but for what only looks at results.

    Args:
        model: `module:Class`.

    Raises:
        SweepError: the module cannot be found.
    """
    digest = hashlib.sha256()
    for package in dict.fromkeys(("simcore", model.partition(".")[0].partition(":")[0])):
        for name, path in _sources(package):
            if package == "simcore" and name.split("/")[0] in NOT_IN_A_RUN:
                continue
            content = path.read_bytes()
            digest.update(f"{package}/{name}:{len(content)}:".encode())
            digest.update(content)
    return digest.hexdigest()


def _sources(package: str) -> list[tuple[str, Path]]:
    """Return name and path of every source file of a package or module, in a fixed order."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise SweepError(f"the sources of {package} cannot be found, so runs could not be told from older ones")
    if spec.submodule_search_locations is None:
        return [(Path(str(spec.origin)).name, Path(str(spec.origin)))]
    found = {
        path.relative_to(root).as_posix(): path
        for root in map(Path, spec.submodule_search_locations)
        for path in root.rglob("*")
        if path.suffix in SOURCES and "__pycache__" not in path.parts
    }
    return sorted(found.items())
