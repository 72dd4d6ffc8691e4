"""One simulation in memory: build the model, run it to its end, gather what it leaves."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.environment import NEVER_NS, Environment
from simcore.errors import ConfigError, SimcoreError
from simcore.expect import check_names, evaluate
from simcore.experiment import Experiment
from simcore.fingerprint import fingerprint
from simcore.garbage import QuietCollector
from simcore.model import Model, WithTables
from simcore.result import Result
from simcore.series import Series, table_of

if TYPE_CHECKING:
    from simcore.trace import Trace

__all__ = ["Progress", "simulate"]

#: Called now and then with simulated time and the model's own figures.
Progress = Callable[[int, Mapping[str, int]], None]

_SLICE_S = 0.1
_ENGINE_RESULTS = ("fingerprint", "events", "wall_s", "simulated_ns")


def simulate(experiment: Experiment, progress: Progress | None = None, trace: Trace | None = None) -> Result:
    """Run an experiment; nothing is written.

    Args:
        experiment: What to run.
        progress: Told how far the run is, about every tenth of a second.
        trace: Where the model reports what happens; the results are the same with and without.

    Raises:
        ConfigError: The model refuses its configuration, or a condition names what no run has.
    """
    began = perf_counter()
    with QuietCollector() as collector:
        env, model = _build(experiment, trace)
        _advance(env, model, collector, progress)
        env.recorder.finish()
        wall_s = perf_counter() - began
        return _gather(experiment, env, model, wall_s)


def _build(experiment: Experiment, trace: Trace | None) -> tuple[Environment, Model]:
    keys = experiment.keys
    env = Environment(keys.seed, keys.replication, keys.record.max_points)
    env.trace = trace
    if keys.until is not None:
        env.until_ns = keys.until
    try:
        model = experiment.model.build(env, experiment.config)
        if experiment.checks:
            check_names(experiment.checks, {*env.recorder.names, *model.summary(), *model.quantities()})
    except ConfigError as error:
        raise experiment.loaded.located(error) from None
    return env, model


def _advance(env: Environment, model: Model, collector: QuietCollector, progress: Progress | None) -> None:
    """Process events in slices of about a tenth of a second; how they are cut does not touch the result."""
    if model.finished is not None:
        if model.finished.callbacks is None:
            return
        env.stop_at(model.finished)
    max_events = 1000
    began = perf_counter()
    while env.advance(max_events):
        collector.step()
        now = perf_counter()
        if progress is not None:
            progress(env.now, model.progress())
        if now - began < _SLICE_S / 2:
            max_events = min(2 * max_events, 1 << 20)
        elif now - began > 2 * _SLICE_S:
            max_events = max(max_events // 2, 16)
        began = perf_counter()
    if progress is not None:
        progress(env.now, model.progress())


def _gather(experiment: Experiment, env: Environment, model: Model, wall_s: float) -> Result:
    keys = experiment.keys
    end_ns = env.now
    statistics = env.recorder.statistics(end_ns)
    finals: dict[str, Any] = {name: entry["final"] for name, entry in statistics.items()}
    own = _plain(model.summary())
    for name in own:
        taken = name in _ENGINE_RESULTS or (name in finals and finals[name] != own[name])
        if taken:
            raise SimcoreError(f"the model's result {name!r} = {own[name]!r} has the name of another result")
    values = {**model.quantities(), **finals, **own}
    verdicts = evaluate(experiment.checks, values, statistics)
    summary: dict[str, Any] = {
        "name": keys.name,
        "fingerprint": fingerprint(env.recorder, end_ns, model.state_digest()),
        "events": env.events,
        "wall_s": wall_s,
        "simulated_ns": end_ns,
        **finals,
        **own,
        "expect": [verdict.to_json() for verdict in verdicts],
        "quantities": _plain(model.quantities()),
        "statistics": statistics,
    }
    manifest = {
        "kind": "simcore run",
        "format": 1,
        "name": keys.name,
        "model": keys.model,
        "model_class": f"{experiment.model.__module__}:{experiment.model.__qualname__}",
        "source": None if experiment.loaded.path is None else str(experiment.loaded.path),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": summary["fingerprint"],
        "versions": dict(_versions()),
        "until_reached": env.until_ns != NEVER_NS and end_ns >= env.until_ns,
    }
    return Result(
        series=Series(table_of(env.recorder, keys.record.max_points, keys.record.series)),
        summary=summary,
        config=experiment.effective(),
        manifest=manifest,
        tables=dict(model.tables()) if isinstance(model, WithTables) else {},
    )


@cache
def _versions() -> Mapping[str, str]:
    """Return the versions of what a result may depend on. Looking takes as long as a short run."""
    installed = {name: version(name) for name in ("simcore", "simpy", "numpy", "numba", "pyarrow")}
    return installed | {"python": platform.python_version()}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return NumPy's numbers as Python's, which JSON takes."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
