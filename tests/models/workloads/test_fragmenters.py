"""What fragments the direct map besides secret memory: the lasting state after each, and that rates are kept."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from models.direct_map_model import DirectMapConfig
from simcore.experiment import Experiment
from simcore.simulation import simulate

MERGING = ("never", "on_request", "on_free")


def run(workload: dict[str, Any], *, merging: Any = "never", **kernel: Any) -> dict[str, Any]:
    """Summary of a run of one workload, called ``it``, on a machine of 2 GiB that has seen some use."""
    experiment = {
        "name": "fragmenter",
        "seed": 5,
        "machine": {"memory": "2GiB", "cpus": 2},
        "kernel": {"state": {"profile": "fragmented", "age": 1, "used": 0.4}, "merging": merging, **kernel},
        "workloads": {"it": workload},
    }
    return dict(simulate(Experiment.from_mapping(experiment)).summary)


def splits(summary: dict[str, Any]) -> int:
    return int(summary["direct_map.level2_splits"])


def four_k_bytes(summary: dict[str, Any]) -> int:
    return int(summary["direct_map.4k_bytes"])


def identity(summary: dict[str, Any], boot: dict[str, Any]) -> None:
    """The sizes in a run's last row follow from its counters, from a run that did nothing."""
    made = splits(summary) - int(summary["direct_map.level2_collapses"])
    assert four_k_bytes(summary) - four_k_bytes(boot) == made * (2 << 20)


LEAVES_SPLITS: dict[str, dict[str, Any]] = {
    "modules": {"kind": "modules", "steps": 60, "slots": 20, "unload_at_end": True},
    "bpf": {"kind": "bpf", "steps": 200, "slots": 40, "free_at_end": True},
    "tracing": {"kind": "tracing", "sessions": 30, "probes": 300},
    "guest_memfd": {"kind": "guest_memfd", "memory": "16MiB"},
    "snp": {"kind": "snp", "memory": "16MiB"},
    "drivers": {"kind": "drivers", "steps": 30, "slots": 10, "free_at_end": True},
}


@pytest.fixture(scope="module")
def nothing() -> dict[str, Any]:
    return run({"kind": "one_file", "pages": 1}, secretmem={"policy": "pmd_pool"})


@pytest.mark.parametrize("kind", LEAVES_SPLITS)
def test_what_has_gone_leaves_its_splits_under_mainline(kind: str, nothing: dict[str, Any]) -> None:
    """Everything is unloaded, freed or shut down in the end, all pages are present, and the map stays fragmented."""
    for merging in ("never", "on_request"):
        summary = run(LEAVES_SPLITS[kind], merging=merging)
        assert splits(summary) >= 1
        assert summary["direct_map.level2_collapses"] == 0
        assert summary["direct_map.unmapped_bytes"] == 0
        identity(summary, nothing)


@pytest.mark.parametrize("kind", LEAVES_SPLITS)
def test_merging_on_free_undoes_all_of_it(kind: str, nothing: dict[str, Any]) -> None:
    """With nothing left that needs small entries, every split has been undone."""
    summary = run(LEAVES_SPLITS[kind], merging="on_free")
    assert summary["direct_map.level2_collapses"] == splits(summary) >= 1
    assert four_k_bytes(summary) == four_k_bytes(nothing)


def test_bad_pages_are_never_undone(nothing: dict[str, Any]) -> None:
    """Two splits for a bad page at the most, by any policy: it stays out of the direct map."""
    for merging in MERGING:
        summary = run({"kind": "hwpoison", "pages": 6}, merging=merging)
        bad = summary["direct_map.unmapped_bytes"] // 4096
        assert 1 <= bad == summary["workloads.it.free"] + summary.get("workloads.it.used", 0)
        assert splits(summary) <= bad
        assert summary["direct_map.level2_collapses"] == 0
        identity(summary, nothing)


def test_loaded_modules_keep_their_regions() -> None:
    """Even `on_free` cannot merge what still holds code."""
    summary = run({"kind": "modules", "steps": 20, "slots": 1000}, merging="on_free")
    assert summary["workloads.it.loaded"] > 15
    assert splits(summary) > summary["direct_map.level2_collapses"]


def test_packs_split_less_than_programs_of_their_own() -> None:
    """One split per program at the most; packs of single pages about one per region; packs of 2M none."""
    programs = {"kind": "bpf", "steps": 300, "slots": 100_000, "other_pages": 0}
    made = {packing: splits(run({**programs, "packing": packing})) for packing in ("single", "pack_4k", "pack_2m")}
    assert made["pack_2m"] == 0
    assert 1 <= made["single"] <= 300
    assert made["pack_4k"] >= 1


def test_a_pack_is_freed_with_its_last_program() -> None:
    """Programs larger than what is left of a pack open a new one; empty packs go."""
    large = {"kind": "bpf", "steps": 60, "slots": 30, "packing": "pack_2m", "size_bytes": [600_000, 700_000]}
    summary = run({**large, "free_at_end": True})
    assert summary["workloads.it.packs"] == summary["workloads.it.packs_freed"] > 1


def test_private_2m_pages_split_nothing() -> None:
    """SNP with huge private pages, as long as there are blocks; where there are none, 4K pages take their place."""
    summary = run({"kind": "snp", "memory": "64MiB", "private": "2M"})
    assert summary["workloads.it.folios_2m"] == 32
    assert splits(summary) == 0


def test_guest_memory_that_stays_mapped_splits_nothing() -> None:
    """Ordinary guest_memfd."""
    assert splits(run({"kind": "guest_memfd", "memory": "16MiB", "remove": False})) == 0


def test_the_last_guest_may_stay() -> None:
    """Its memory is then still out of the direct map."""
    summary = run({"kind": "guest_memfd", "memory": "16MiB", "guests": 2, "keep_last": True})
    assert summary["direct_map.unmapped_bytes"] == 16 << 20


def test_memory_that_comes_and_goes_splits_nothing_by_itself() -> None:
    """It only moves the place where the next pages lie; it keeps to its target."""
    summary = run({"kind": "memory_churn", "steps": 10, "step": "32MiB", "used": 0.3})
    assert splits(summary) == 0
    assert 0.25 < summary["workloads.it.held_pages"] * 4096 / (2 << 30) < 0.35


def test_a_rate_may_be_said_by_the_day() -> None:
    """24 a day is one an hour: 25 steps take a day."""
    summary = run({"kind": "tracing", "sessions": 25, "rate": "24/d"})
    assert summary["simulated_ns"] // 3_600_000_000_000 == 24


@pytest.mark.parametrize("rate", ["24/fortnight", "often", "-1/s"])
def test_a_rate_must_be_one(rate: str) -> None:
    """The error shows the value."""
    with pytest.raises(ValidationError, match="rate"):
        DirectMapConfig.model_validate({"workloads": {"it": {"kind": "tracing", "rate": rate}}})


def test_a_range_of_sizes_ascends() -> None:
    """`[9, 3]` is refused."""
    with pytest.raises(ValidationError, match="lowest"):
        DirectMapConfig.model_validate({"workloads": {"it": {"kind": "modules", "text_pages": [9, 3]}}})


def test_the_scanner_merges_in_the_background() -> None:
    """`periodic`: while programs come and go, regions without code merge, and merging costs flushes."""
    programs = {"kind": "bpf", "steps": 400, "slots": 60, "rate": 1000.0}
    quiet = run(programs)
    summary = run(programs, merging={"policy": "periodic", "interval": "10ms", "budget": 256})
    assert summary["direct_map.level2_collapses"] >= 1
    assert summary["tlb.flushes"] > quiet["tlb.flushes"]


def test_background_compaction_and_its_series() -> None:
    """Rounds at a rate make blocks of 2 MiB; how many can be had is in the summary, and sampled on request."""
    workload = {"kind": "memory_churn", "steps": 40, "step": "16MiB", "used": 0.7, "rate": 100.0}
    quiet = run(workload)
    busy = run(workload, compaction={"interval": "5ms", "budget": 64, "sample": "50ms"})
    assert quiet["memory.compaction.moved_pages"] == 0 < busy["memory.compaction.moved_pages"]
    assert quiet["memory.order9_available"] >= quiet["memory.order9_free"]
    assert busy["memory.order9_available"] >= 0
