"""The cost models against published measurements; and a model that charges nothing, which must fail most of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.validation.document import distance
from models.validation.rows import Row, rows
from simcore.batch import find_experiments
from simcore.experiment import Experiment
from simcore.run import run

ROOT = Path(__file__).parents[3]
CONFIGS = find_experiments(ROOT / "configs" / "validation")
NO_FLUSH = dict.fromkeys(
    (
        "flush_a_ns", "flush_b_ns_per_cpu", "flush_socket_b_ns_per_cpu", "flush_receiver_ns", "flush_broadcast_ns",
        "invlpg_cycles", "global_flush_cycles",
    ), 0.0,
)  # fmt: skip
NO_MISSES = """\
l1d: [{sizes: [4K, 2M, 1G], entries: 67108864, ways: 0}]
l2_latency_cycles: 1
"""
SLOW = {"basu_gups.yaml", "invlpgb.yaml"}


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[pytest.mark.long] if p.name in SLOW else [], id=p.stem) for p in CONFIGS]
)
def test_each_validation_holds(path: Path) -> None:
    """What the configuration expects of the published figure is what the model says."""
    result = run(path)
    assert result.verdicts
    assert result.passed, [verdict for verdict in result.verdicts if not verdict["passed"]]


def free(path: Path, tlb: Path) -> dict[str, Any]:
    """Changes that make flushes, walks and the work of removal cost nothing."""
    changes: dict[str, Any] = {f"machine.cost_values.{name}": 0.0 for name in NO_FLUSH}
    changes["machine.tlb"] = str(tlb)
    for name, workload in Experiment.load(path).effective()["workloads"].items():
        if workload["kind"] == "removal":
            changes[f"workloads.{name}.work"] = 0
    return changes


def test_a_model_that_charges_nothing_fails_most_of_them(tmp_path: Path) -> None:
    """Neither flushes nor walks cost anything: at least half of the validations notice."""
    (tmp_path / "free.yaml").write_text(NO_MISSES)
    passed = [run(path, set=free(path, tmp_path / "free.yaml")).passed for path in CONFIGS if path.name not in SLOW]
    assert sum(passed) <= len(passed) / 2


def test_every_file_is_in_the_table_and_no_row_is_fitted_and_predicted() -> None:
    """Each configuration gives a row of the document; a figure is either fitted or predicted."""
    table = rows()
    assert {row.config for row in table} == {path.name for path in CONFIGS}
    uses: dict[tuple[str, str], set[str]] = {}
    for row in table:
        uses.setdefault((row.source, row.what), set()).add(row.use)
    assert all(len(use) == 1 for use in uses.values())
    assert {row.use for row in table if row.source in {"rapoport_2020", "intel_0day_2021", "ampereone_2025"}} == {
        "predict"
    }
    assert {row.use for row in table if "96 CPUs" in row.what} == {"predict"}
    assert {row.use for row in table if row.source == "xpfo_2019" and "on 4 CPUs" in row.what} == {"fit"}


def test_the_document_has_every_row_as_it_is_now() -> None:
    """docs/costs_validation.md names each figure; the quick ones' numbers are those of a run of today."""
    text = (ROOT / "docs" / "costs_validation.md").read_text()
    quick = {"xpfo_96cpu.yaml", "guest_memfd.yaml", "ampereone_memory.yaml", "xpfo_4cpu_deferred.yaml"}
    summaries = {name: run(ROOT / "configs" / "validation" / name).summary for name in quick}
    for row in rows():
        line = next(line for line in text.splitlines() if line.startswith(f"| {row.source} | {row.what} |"))
        assert f"| {row.use} |" in line
        if row.config in quick:
            assert line.endswith(f"| {distance(row, row.model(summaries[row.config]))} |")


def test_distances_are_told_from_the_nearest_end_of_a_range() -> None:
    """Inside a range is inside; outside, the distance is to its nearer end."""
    row = Row("s", "w", "c", "predict", (90.0, 150.0), lambda summary: 0.0)
    assert [distance(row, value) for value in (100.0, 45.0, 300.0)] == ["inside", "-50 %", "+100 %"]
    assert distance(row._replace(published=200.0), 150.0) == "-25 %"
