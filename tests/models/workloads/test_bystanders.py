"""Bystanders in a run: series, integrals, reproducibility, a CPU of the user's own, words of confidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from models.tlb.analytic import evaluate
from models.workloads.bystanders import BYSTANDER_SERIES
from simcore.errors import ConfigError
from simcore.experiment import Experiment
from simcore.result import Result
from simcore.run import run
from simcore.run_directory import read_run

SMALL = {"page_cache_bytes": "32MiB", "slab_bytes": "16MiB", "slab_holes": 0.2}


def experiment(**changes: Any) -> dict[str, Any]:
    return {
        "name": "bystanders",
        "seed": 3,
        "model": "direct_map",
        "machine": {"memory": "1GiB", "cpus": 4, "tlb": "skylake_sp"},
        "bystanders": {"cache": {"preset": "memcached", "values": SMALL, "sample": "1ms"}},
        "workloads": {"file": {"kind": "one_file", "pages": 1024, "hold": "5ms"}},
        **changes,
    }


@pytest.fixture(scope="module")
def result() -> Result:
    return run(experiment())


def test_costs_add_up_and_every_series_is_there(result: Result) -> None:
    """`tlb.cost_ns` is reach, flushes and refills; a bystander's slowdown is reach and flushes; shares sum to one."""
    final = result.summary
    assert final["tlb.cost_ns"] == final["tlb.reach_ns"] + final["tlb.flush_ns"] + final["tlb.refill_ns"]
    assert final["tlb.reach_ns"] > 0
    assert final["tlb.flush_ns"] > 0
    assert final["tlb.refill_ns"] > 0
    for series in BYSTANDER_SERIES:
        assert f"bystander.cache.{series}" in final
    frame = result.series.to_pandas()
    parts = frame["bystander.cache.slowdown_reach"] + frame["bystander.cache.slowdown_flush"]
    np.testing.assert_allclose(frame["bystander.cache.slowdown"], parts, atol=1e-12)
    shares = sum(frame[f"bystander.cache.share_{size}"] for size in ("4k", "2m", "1g"))
    np.testing.assert_allclose(shares, 1, atol=1e-9)
    assert frame["bystander.cache.slowdown_flush"].max() > frame["bystander.cache.slowdown_flush"].iloc[-1] == 0


def test_the_integral_of_reach_is_that_of_its_slowdown(result: Result) -> None:
    """After the last split the cost grows at the constant rate that the slowdown says, to the nanosecond's rounding."""
    frame = result.series.to_pandas()
    quiet = frame[frame["direct_map.level2_splits"] == frame["direct_map.level2_splits"].iloc[-1]]
    quiet = quiet.drop_duplicates("tlb.reach_ns").iloc[1:]
    grown = quiet["tlb.reach_ns"].iloc[-1] - quiet["tlb.reach_ns"].iloc[0]
    elapsed = quiet["time_ns"].iloc[-1] - quiet["time_ns"].iloc[0]
    cpus = 4
    assert elapsed > 0
    assert grown == pytest.approx(elapsed * cpus * result.summary["bystander.cache.slowdown_reach"], rel=1e-3)


@pytest.mark.parametrize("changes", [{"batching": False}, {"bystanders.cache.sample": "170us"}])
def test_costs_do_not_depend_on_how_time_is_cut(result: Result, changes: dict[str, Any]) -> None:
    """One event per fault, or other sampling: reach is the same sum between changes of the tiling."""
    other = run(experiment(), set=changes)
    assert other.summary["tlb.flush_ns"] == result.summary["tlb.flush_ns"]
    assert other.summary["tlb.reach_ns"] == pytest.approx(result.summary["tlb.reach_ns"], rel=1e-6, abs=10)
    assert other.summary["bystander.cache.slowdown_reach"] == result.summary["bystander.cache.slowdown_reach"]
    if "batching" in changes:
        assert other.fingerprint == result.fingerprint


def test_a_run_is_repeatable_and_its_series_survive_the_disk(result: Result, tmp_path: Path) -> None:
    """Same configuration, same fingerprint; the confidence table is read back with it."""
    again = run(experiment(), out=tmp_path / "run")
    assert again.fingerprint == result.fingerprint
    table = read_run(tmp_path / "run").tables["confidence"].to_pylist()
    words = {row["confidence"] for row in table}
    assert {"measured", "unverified"} & words
    assert {row["of"] for row in table} == {"tlb skylake_sp", "costs haswell_bare_metal", "bystander cache"}
    assert all(row["confidence"] for row in table)
    replaced = next(row for row in table if row["value"] == "slab_bytes")
    assert (replaced["number"], replaced["source"]) == ("1.67772e+07", "given by the configuration")


def test_a_cpu_of_the_users_own_is_one_file_of_an_experiment(tmp_path: Path) -> None:
    """`machine.tlb` takes a path; a small TLB costs more, and the table shows the user's words."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "same_as: skylake_sp\nconfidence: measured\nl2: []\n"
        "l1d:\n  - {sizes: [4K, 2M, 1G], entries: {value: 16, confidence: measured, source: counted}, ways: 0}\n"
    )
    tiny = run(experiment(machine={"memory": "1GiB", "cpus": 4, "tlb": str(path)}))
    assert tiny.summary["bystander.cache.time_at_4k"] > 1
    rows = tiny.tables["confidence"].to_pylist()
    entries = next(row for row in rows if row["of"] == "tlb tiny" and row["value"] == "l1d.0.entries")
    assert (entries["number"], entries["confidence"], entries["source"]) == ("16", "measured", "counted")


def test_what_comes_after_the_splits_pays_for_them_too() -> None:
    """A bystander that takes its memory where all is at 4K is compared with the boot's tiling, not with what it met."""
    late = run(
        experiment(
            workloads={"fragmenter": {"kind": "shatter", "share": 1.0, "hold": "200ms"}},
            bystanders={"cache": {"preset": "memcached", "values": SMALL, "start": "100ms"}},
        )
    )
    assert late.summary["bystander.cache.share_4k"] == pytest.approx(1)
    assert late.summary["bystander.cache.slowdown_reach"] == pytest.approx(
        late.summary["bystander.cache.time_at_4k"] - 1, rel=1e-6
    )
    assert late.summary["bystander.cache.slowdown_reach"] > 0


def test_where_4k_pages_coalesce_secret_pages_cost_their_neighbours_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret page parts its group of four: without that, the bystander's other pages there would share an entry."""
    bystanders = {"router": {"preset": "packet_forwarder", "values": {"slab_bytes": "64MiB", "slab_holes": 0.3}}}
    mapping = experiment(
        machine={"memory": "1GiB", "cpus": 4, "tlb": "zen5"},
        bystanders=bystanders,
        workloads={"file": {"kind": "one_file", "pages": 2000, "hold": "20ms"}},
        users={"user": {"memlock": "1GiB"}},
    )
    parted = run(mapping).summary
    monkeypatch.setattr("models.workloads.bystanders.Bystanders._break_groups", lambda *_: None)
    together = run(mapping).summary
    assert parted["bystander.router.share_4k"] == together["bystander.router.share_4k"] > 0.3
    assert parted["bystander.router.l1_misses"] > together["bystander.router.l1_misses"]


def test_a_host_with_4k_pages_lengthens_walks_and_takes_the_reach_away() -> None:
    """In a virtual machine on 4K pages a split changes no reach: 4K and 2M miss alike, and 4K walks cost more."""

    def run_on(host_page: str | None) -> dict[str, Any]:
        machine = {"memory": "1GiB", "cpus": 4, "tlb": "skylake_sp", "host_page": host_page}
        return run(experiment(machine=machine)).summary

    bare, nested = run_on(None), run_on("4K")
    assert nested["bystander.cache.walk_share_at_2m"] > bare["bystander.cache.walk_share_at_2m"]
    assert nested["bystander.cache.slowdown_4k_2m"] > 0


def test_a_run_cut_short_is_accounted_for_up_to_its_end() -> None:
    """`until` in the middle of a sample: costs reach there, but for the last nanosecond."""
    whole = run(experiment(until="4500us"))
    rows = whole.series.to_pandas()
    assert whole.summary["simulated_ns"] == 4_500_000
    assert rows["time_ns"].iloc[-1] >= 4_499_999
    assert whole.summary["tlb.reach_ns"] > 0


def test_an_interval_surrounds_a_uniform_tilings_cost_and_is_the_same_twice() -> None:
    """Drawn bystanders: low below high, the middle near the preset's own, nothing left to chance."""
    bystanders = {"cache": {"preset": "memcached", "values": {"page_cache_bytes": "16MiB"}, "uncertainty": 30}}
    one, two = (run(experiment(bystanders=bystanders)) for _ in range(2))
    name = "bystander.cache.slowdown_4k_2m"
    assert one.summary[f"{name}_low"] < one.summary[name] < one.summary[f"{name}_high"]
    assert {key: value for key, value in one.summary.items() if key.startswith("bystander")} == {
        key: value for key, value in two.summary.items() if key.startswith("bystander")
    }
    assert sum(one.summary[f"bystander.cache.best_at_{size}"] for size in ("4k", "2m", "1g")) == pytest.approx(1)


def test_an_interval_goes_with_every_slowdown_unless_there_is_nothing_to_draw(result: Result, tmp_path: Path) -> None:
    """Without a word of it in the configuration; a preset whose values have no range has none."""
    final = result.summary
    assert final["bystander.cache.slowdown_reach_low"] < final["bystander.cache.slowdown_reach_high"]
    sure = yaml.safe_load((Path(__file__).parents[3] / "configs" / "bystanders" / "gups.yaml").read_text())
    sure["page_cache_bytes"]["value"] = "16MiB"
    (tmp_path / "sure.yaml").write_text(yaml.safe_dump(sure))
    told = run(experiment(bystanders={"sure": {"preset": str(tmp_path / "sure.yaml")}}))
    assert "bystander.sure.slowdown_4k_1g" in told.summary
    assert not [key for key in told.summary if key.endswith("_low")]


def test_evaluations_are_lazy(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one evaluation per change of the tiling and per sample, beside the boot's and the summary's."""
    calls = []

    def counted(*given: Any, **more: Any) -> Any:
        calls.append(1)
        return evaluate(*given, **more)

    monkeypatch.setattr("models.workloads.bystander.evaluate", counted)
    alone = {"cache": {"preset": "memcached", "values": SMALL, "sample": "1ms", "uncertainty": 0}}
    told = run(experiment(bystanders=alone))
    changes = told.summary["direct_map.level2_splits"] + told.summary["direct_map.level3_splits"]
    samples = told.summary["simulated_ns"] // 1_000_000 + 2
    assert 0 < len(calls) <= changes + 2 * samples + 1 + 2 * 3


@pytest.mark.parametrize(
    ("bystander", "message"),
    [
        ({"preset": "memcachd"}, "memcached"),
        ({"preset": "memcached", "values": {"slab": 1}}, "slab_bytes|slab_holes|slab_order"),
        ({"preset": "memcached", "sample": 0}, "sample"),
    ],
)
def test_mistakes_are_told_with_their_key(bystander: dict[str, Any], message: str) -> None:
    """A wrong name or value is an error of the configuration."""
    with pytest.raises(ConfigError, match=message):
        Experiment.from_mapping(experiment(bystanders={"cache": bystander}))


def test_a_day_has_thousands_of_samples_and_not_millions() -> None:
    """Without a sampling time, samples grow apart as the run goes on; costs reach to its end all the same."""
    day_ns = 86_400 * 10**9
    done = run(
        experiment(
            bystanders={"cache": {"preset": "memcached", "values": SMALL}},
            workloads={"file": {"kind": "one_file", "pages": 1024, "hold": day_ns}},
        )
    )
    assert done.summary["events"] < 20_000
    expected = day_ns * 4 * done.summary["bystander.cache.slowdown_reach"]
    assert expected > 0
    assert done.summary["tlb.reach_ns"] == pytest.approx(expected, rel=1e-6)
