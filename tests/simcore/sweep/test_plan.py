"""Plans: what is checked before anything runs, and what makes two runs the same run."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from simcore.errors import ConfigError
from simcore.sweep.experiments import model_version
from simcore.sweep.plan import Plan, make_plan
from tests.simcore.sweep.sweep_files import write_sweep

DESIGN = {"grid": {"service_us": [100, 200]}}


def plan(tmp_path: Path, **keys: Any) -> Plan:
    return make_plan(write_sweep(tmp_path / "sweep.yaml", **{"design": DESIGN, **keys}))


def identities(made: Plan, replications: int = 2) -> list[str]:
    return [job.identity for job in made.jobs([replications] * len(made.points))]


def test_every_run_has_its_own_identity(tmp_path: Path) -> None:
    """Two points and three replications are six runs, the same six each time."""
    made = identities(plan(tmp_path), 3)
    assert len(set(made)) == 6
    assert identities(plan(tmp_path), 3) == made


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"customers": 6}, {"until": "1s"}, {"policy": "double"}, {"record": {"max_points": 100}}],
)
def test_identity_follows_what_a_run_depends_on(tmp_path: Path, change: dict[str, Any]) -> None:
    assert not set(identities(plan(tmp_path))) & set(identities(plan(tmp_path, **change)))


def test_identity_leaves_out_what_does_not_matter(tmp_path: Path) -> None:
    """Names, spelling of quantities, defaults written out, and how the sweep goes about it change nothing."""
    made = identities(plan(tmp_path, memory="1GiB"))
    assert identities(plan(tmp_path, memory=1 << 30, name="other", description="words")) == made
    assert identities(plan(tmp_path, policy="fifo", seed=0)) == made
    assert identities(plan(tmp_path, keep="all", timeout="10s", replications=9)) == made


def test_sweeps_grow_by_points_and_replications(tmp_path: Path) -> None:
    """A larger sweep has all the runs of the smaller one."""
    small = set(identities(plan(tmp_path), 2))
    grown = {"grid": {"service_us": [50, 100, 200]}}
    assert small < set(identities(plan(tmp_path, design=grown), 5))


def test_points_that_are_alike_run_once(tmp_path: Path) -> None:
    """Two spellings of one value are one run, shown at both points."""
    made = plan(tmp_path, design={"grid": {"memory": ["1GiB", 1 << 30, "2GiB"]}})
    assert len(identities(made, 2)) == 4
    table = made.to_table([2, 2, 2])
    assert table.num_rows == 6
    assert table["memory"].to_pylist() == [1 << 30] * 4 + [2 << 30] * 2


def test_random_numbers_are_common_unless_asked(tmp_path: Path) -> None:
    """By default no point has a seed of its own; `independent` gives each one."""
    common = plan(tmp_path)
    assert all("seed" not in point.overrides for point in common.points)
    own = plan(tmp_path, design={**DESIGN, "random_numbers": "independent"})
    seeds = [point.overrides["seed"] for point in own.points]
    assert len(set(seeds)) == 2
    again = plan(tmp_path, design={**DESIGN, "random_numbers": "independent"})
    assert [point.overrides["seed"] for point in again.points] == seeds


def test_any_key_of_the_experiment_can_vary(tmp_path: Path) -> None:
    made = plan(tmp_path, design={"grid": {"seed": [1, 2], "until": ["1ms", "2ms"], "record.max_points": [64]}})
    assert made.to_table([1] * 4)["until"].to_pylist() == [1_000_000, 2_000_000] * 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"design": {"grid": {"servce_us": [1]}}}, "did you mean 'service_us'"),
        ({"design": {"grid": {"service_us": ["fast"]}}}, "design point 0"),
        ({"design": {"grid": {"service_us": [1, 2], "policy": ["fifo", "lifo"]}}}, "policy = lifo"),
        ({"design": {"grid": {}}}, "design.grid: is empty"),
        ({"design": {"grid": {"service_us": [1]}, "where": "service_us > 1"}}, "excludes every point"),
        (
            {"design": {"sobol": {"points": 3, "over": {"service_us": {"from": 1, "to": 2}}}}},
            "not a power of two",
        ),
        ({"design": {"gird": {}}}, "did you mean 'grid'"),
        ({"design": {"grid": {"replication": [1]}}}, "replication cannot be varied"),
        ({"replications": 0}, "replications"),
        ({"timeout": "3 apples"}, "timeout"),
        ({"stop": {"metrics": [], "rel_half_width": 0.1, "max": 5}}, "stop.metrics"),
        ({"keep": "everything"}, "keep"),
    ],
)
def test_bad_sweeps_are_refused_with_file_and_key(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        plan(tmp_path, **keys)
    assert "sweep.yaml" in str(caught.value)


def test_an_experiment_is_no_sweep(tmp_path: Path) -> None:
    path = write_sweep(tmp_path / "plain.yaml")
    with pytest.raises(ConfigError, match="design: this is no sweep"):
        make_plan(path)


def test_model_version_follows_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in any module or preset of the model's package is another version; other files are not."""
    package = tmp_path / "queueing"
    (package / "presets").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep.py").write_text("RATE = 1\n")
    (package / "presets" / "fast.yaml").write_text("rate: 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    versions = [model_version("queueing.deep:Model")]
    (package / "notes.txt").write_text("words")
    assert model_version("queueing.deep:Model") == versions[0]
    for path, text in [("deep.py", "RATE = 2\n"), ("presets/fast.yaml", "rate: 2\n"), ("new.py", "")]:
        (package / path).write_text(text)
        versions.append(model_version("queueing.deep:Model"))
    assert len(set(versions)) == 4
