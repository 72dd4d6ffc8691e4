"""One run: a function of its configuration alone, ended where it should be, with the collector given back."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

import pytest

import simcore
from simcore.errors import ConfigError, SimcoreError
from simcore.experiment import Experiment
from simcore.garbage import QuietCollector
from simcore.result import Result
from simcore.simulation import simulate
from tests.simcore.queue_model import QueueModel

BASE = {"model": "tests.simcore.queue_model:QueueModel", "customers": 300}


def run(**changes: Any) -> Result:
    return simcore.run(BASE | changes)


def test_the_same_configuration_gives_the_same_fingerprint() -> None:
    first, second = run(), run()
    assert first.fingerprint == second.fingerprint
    assert first.series.table.equals(second.series.table)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"replication": 1},
        {"customers": 301},
        {"order": "lifo", "mean_service": 990},
        {"buffer": 1},
        {"record": {"max_points": 64}},
    ],
)
def test_another_outcome_gives_another_fingerprint(change: dict[str, Any]) -> None:
    assert run(**change).fingerprint != run().fingerprint


def test_what_is_written_of_the_series_does_not_touch_the_fingerprint() -> None:
    part = run(record={"series": ["queue.p*"]})
    assert part.series.names == ["queue.present"]
    assert part.fingerprint == run().fingerprint


def test_progress_does_not_touch_the_result() -> None:
    shown: list[tuple[int, Mapping[str, int]]] = []
    experiment = Experiment.from_mapping(BASE)
    watched = simulate(experiment, lambda now, figures: shown.append((now, figures)))
    assert watched.fingerprint == run().fingerprint
    assert shown[-1] == (watched.summary["simulated_ns"], {"customers": 300})


def test_a_run_ends_with_its_model_or_at_until() -> None:
    whole = run()
    assert whole.summary["queue.served"] == 300
    assert not whole.manifest["until_reached"]
    cut = run(until=50_000)
    assert cut.summary["simulated_ns"] == 50_000
    assert cut.manifest["until_reached"]
    assert 0 < cut.summary["queue.served"] < 300
    endless = run(customers=None, until="20us")
    assert endless.summary["simulated_ns"] == 20_000


def test_the_summary_repeats_finals_and_says_how_it_went() -> None:
    summary = run().summary
    assert summary["queue.served"] == summary["statistics"]["queue.served"]["final"] == 300
    assert summary["queue.order"] == "fifo"
    assert {"fingerprint", "events", "wall_s", "simulated_ns"} <= set(summary)
    assert summary["events"] > 600


def test_a_model_may_refuse_its_configuration_when_it_is_built() -> None:
    with pytest.raises(
        ConfigError, match="set servers: servers: 13 servers are bad luck; expected another number"
    ):
        simcore.run(BASE, set={"servers": 13})


def test_unknown_names_in_conditions_are_refused_before_the_run() -> None:
    with pytest.raises(ConfigError, match=r"'queue\.servd'.*did you mean 'queue\.served'"):
        run(expect={"queue.servd": "> 1"}, crash=True)


def test_a_result_with_the_name_of_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueueModel, "summary", lambda self: {"queue.served": -1})
    with pytest.raises(SimcoreError, match=r"queue\.served.*-1"):
        run()


def test_a_bug_of_the_model_is_not_hidden_and_the_collector_comes_back() -> None:
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="has a bug"):
        run(crash=True)
    assert gc.isenabled()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        with QuietCollector() as collector:
            assert not gc.isenabled()
            collector.step()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_cycles_are_collected_during_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With automatic collection off, a long run must not grow without bound."""
    monkeypatch.setattr("simcore.garbage._COLLECT_AFTER", 1000)

    class Knot:
        alive = 0

        def __init__(self) -> None:
            self.me = self
            Knot.alive += 1

        def __del__(self) -> None:
            Knot.alive -= 1

    with QuietCollector() as collector:
        for _ in range(20_000):
            Knot()
            collector.step()
    assert Knot.alive < 10_000
