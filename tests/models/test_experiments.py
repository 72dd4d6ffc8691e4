"""What the experiments in configs/ show: the claims that the project makes about policies, checked by running them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.direct_map_model import DirectMapModel
from models.kernel.direct_map import RESTORED
from simcore.environment import Environment
from simcore.experiment import Experiment
from simcore.result import Result
from simcore.simulation import simulate

CONFIGS = Path(__file__).parents[2] / "configs"
MIB, GIB = 1 << 20, 1 << 30
PAGE_BYTES = 4096


def run(name: str, **changes: Any) -> Result:
    """Run a file of configs/, with keys changed: ``machine__cpus=1`` is ``machine.cpus``."""
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in changes.items()]
    return simulate(Experiment.load(CONFIGS / f"{name}.yaml", overrides))


def final(result: Result, name: str) -> int:
    return int(result.summary[name])


def highest(result: Result, name: str) -> int:
    return int(np.max(result.series.high(name)))


def lowest(result: Result, name: str) -> int:
    return int(np.min(result.series.low(name)))


def check_identity(result: Result) -> None:
    """The counter identity, in every row of the series, collapses included."""
    series = result.series

    def since_the_start(name: str) -> Any:
        return series[f"direct_map.{name}"] - series[f"direct_map.{name}"][0]

    splits = {n: since_the_start(f"level{n}_splits") - since_the_start(f"level{n}_collapses") for n in (2, 3)}
    kib = {size: since_the_start(f"{size}_bytes") // 1024 for size in ("4k", "2m", "1g")}
    assert (kib["4k"] == 2048 * splits[2]).all()
    assert (kib["2m"] == 1048576 * splits[3] - 2048 * splits[2]).all()
    assert (kib["1g"] == -1048576 * splits[3]).all()


class TestPools:
    """`pmd_pool`, 4,096 files of one page on 64 GiB."""

    def test_with_the_capability(self) -> None:
        """No 2M entry is split, every 1G entry touched is, 8 GiB are taken for 16 MiB of mappings."""
        result = run("many_files_pool")
        check_identity(result)
        assert final(result, "direct_map.level2_splits") == 0
        assert highest(result, "secretmem.pages") * PAGE_BYTES == 16 * MIB
        assert highest(result, "direct_map.unmapped_bytes") == 8 * GIB
        taken = highest(result, "memory.free_bytes") - lowest(result, "memory.free_bytes")
        assert 8 * GIB <= taken < 8 * GIB + 64 * MIB
        assert 8 <= final(result, "direct_map.level3_splits") <= 9

    def test_as_many_1g_splits_as_1g_entries_touched(self) -> None:
        """Counted by the 1G entries of the boot in which pages have been absent, and bear the mark of it."""
        experiment = Experiment.load(CONFIGS / "many_files_pool.yaml")
        env = Environment(experiment.keys.seed)
        model = DirectMapModel.build(env, experiment.config)
        tiles = model.kernel.state.direct_map.tiles
        while env.advance(1000):
            pass
        page = model.kernel.store.pages
        touched = {
            pfn >> 18
            for start, pages, level in tiles
            if level == 3
            for pfn in range(start, start + pages, 512)
            if page["flags"][pfn] & RESTORED
        }
        assert int(model.kernel.state.direct_map.counters[0]["level3_splits"]) == len(touched) in {8, 9}

    def test_without_it(self) -> None:
        """EAGAIN at page 2,049."""
        result = run("many_files_pool", users__root__capabilities="[]")
        assert final(result, "workloads.files.files") == 2048
        assert final(result, "refused.EAGAIN") == final(result, "workloads.files.refused_EAGAIN") == 1
        assert highest(result, "secretmem.pages") == 2048

    def test_one_large_file_is_what_pools_are_for(self) -> None:
        """65,536 pages, 128 chunks, no 4K entry."""
        result = run("one_file_pool")
        assert final(result, "direct_map.level2_splits") == 0
        assert highest(result, "direct_map.unmapped_bytes") == 65536 * PAGE_BYTES

    def test_a_full_machine_livelocks_or_kills(self) -> None:
        """6.1 retries the fault for ever; kernels of 2020 called the OOM killer. Neither is an exception."""
        retry = run("fork_bomb_pool_livelock")
        assert final(retry, "tasks.livelocked") > 0
        assert final(retry, "tasks.oom_kills") == 0
        kill = run("fork_bomb_pool_livelock", kernel__secretmem__on_fault_oom="kill")
        assert final(kill, "tasks.livelocked") == 0
        assert final(kill, "tasks.oom_kills") == final(kill, "tasks.killed.SIGKILL") > 0
        assert final(kill, "tasks.alive") == final(kill, "secretmem.pages") == 0
        check_identity(kill)


class TestPage:
    """The merged design."""

    @pytest.mark.parametrize("seed", range(4))
    def test_one_file_on_a_fresh_machine(self, seed: int) -> None:
        """1,024 pages: two to four new 2M splits; freed and repeated: none more."""
        once = run("one_file", seed=seed, workloads__file__repeat=1)
        assert 2 <= final(once, "direct_map.level2_splits") <= 4
        again = run("one_file", seed=seed)
        assert final(again, "direct_map.level2_splits") == final(once, "direct_map.level2_splits")

    def test_the_number_of_files_does_not_matter(self) -> None:
        """4,096 files of one page split hardly more than one file of 4,096 pages."""
        many, one = run("many_files"), run("one_file", workloads__file__pages=2048, workloads__file__repeat=1)
        assert final(many, "direct_map.level2_splits") <= 3 * final(one, "direct_map.level2_splits")

    def test_a_fork_bomb_spreads_by_itself(self) -> None:
        """What tasks cost in kernel memory spreads secret pages: many more regions than their number needs."""
        result = run("fork_bomb")
        check_identity(result)
        assert final(result, "direct_map.level2_splits") > 3 * (4096 // 512)
        assert highest(result, "tasks.alive") == 4097
        assert final(result, "tasks.alive") == 0

    def test_the_adversary_shatters_the_machine(self) -> None:
        """4 GiB, 1,600 secret pages below the limit of 8 MiB, page tables between them: at least 1,590 2M entries."""
        result = run("spread")
        check_identity(result)
        assert final(result, "direct_map.level2_splits") >= 1590
        assert final(result, "workloads.spread.secret_pages") == 1600
        assert final(result, "direct_map.4k_bytes") > 3 * GIB
        assert final(result, "secretmem.pages") == 0

    def test_movable_filler_spreads_nothing(self) -> None:
        """Ordinary memory comes from other pageblocks."""
        result = run("spread_ordinary")
        assert final(result, "direct_map.level2_splits") <= 12

    def test_churn_stops_splitting(self) -> None:
        """Freed pages are taken again under `page`; pools visit ever new places."""
        page, pool = run("churn"), run("churn_pool")
        assert final(page, "workloads.churn.files") == final(pool, "workloads.churn.files")
        assert final(page, "direct_map.level2_splits") <= 24
        assert final(pool, "direct_map.level2_splits") > 5 * final(page, "direct_map.level2_splits")


def test_two_users_on_two_nodes() -> None:
    """Several workloads at once, each with its user, start and rate; splits are counted for the whole machine."""
    result = run("two_nodes")
    check_identity(result)
    assert final(result, "workloads.files.files") == 512
    assert final(result, "workloads.bomb.tasks") == 1024
    assert final(result, "simulated_ns") >= 511 * 10**9 // 20000
    series = result.series
    begun = series.time_ns[np.flatnonzero(series["tasks.alive"] > 1)[0]]
    assert begun >= 10_000_000 if series["tasks.alive"][0] <= 1 else begun >= 0


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_says_what_it_shows(path: Path) -> None:
    """A file opens with a comment, and its name is its file's."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# yaml-language-server:")]
    assert lines[0].startswith("# ")
    assert len(lines[0]) > 40


def test_every_workload_has_files_for_both_policies() -> None:
    """One file at least of each kind of workload under `page`, one under `pmd_pool`."""
    found: dict[str, set[str]] = {}
    for path in CONFIGS.glob("*.yaml"):
        text = path.read_text()
        if "\nworkloads:" not in text or "\nbase:" in text or "\ndesign:" in text:
            continue
        config: Mapping[str, Any] = Experiment.load(path).effective()
        for workload in config["workloads"].values():
            found.setdefault(workload["kind"], set()).add(config["kernel"]["secretmem"]["policy"])
    for kind in ("one_file", "many_files", "fork_bomb", "spread", "churn"):
        assert found[kind] >= {"page", "pmd_pool"}
