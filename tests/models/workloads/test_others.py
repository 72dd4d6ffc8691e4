"""Processes beside the experiment: they move the place of the next free page, and nothing else."""

from typing import Any

from simcore.result import Result
from simcore.run import run

MACHINE = {"memory": "4GiB", "cpus": 2}


def _run(**others: Any) -> Result:
    workloads: dict[str, Any] = {"w": {"kind": "one_file", "pages": 512, "rate": 1000.0}}
    if others:
        workloads["others"] = {"kind": "others", "rate": 1000.0, **others}
    return run({"model": "direct_map", "machine": MACHINE, "workloads": workloads})


def test_they_take_and_give_back_kernel_pages() -> None:
    """What they hold in the end is missing from free memory; the direct map is split by secret pages alone."""
    alone, beside = _run(), _run(steps=200, slots=4, pages=[8, 8])
    summary = beside.summary
    taken, back = summary["workloads.others.taken"], summary["workloads.others.given_back"]
    assert 0 < taken // 8 - back <= 4
    assert taken // 8 + back == 200
    free, less = (
        int(one.series["memory.free_bytes"][-1] + one.series["memory.per_cpu_bytes"][-1]) for one in (alone, beside)
    )
    assert free - less >= 8 * 4096 * (taken // 8 - back)
    assert summary["direct_map.level2_splits"] <= 2 + alone.summary["direct_map.level2_splits"]


def test_by_themselves_they_split_nothing() -> None:
    """They ask for no change of the direct map."""
    summary = run({"model": "direct_map", "machine": MACHINE, "workloads": {"o": {"kind": "others"}}}).summary
    assert summary["direct_map.level2_splits"] == 0
    assert summary["direct_map.unmapped_bytes"] == 0


def test_without_memory_they_are_refused() -> None:
    """Counted, and the pages got on the way given back."""
    others = {"kind": "others", "pages": [1 << 16, 1 << 16], "steps": 64, "slots": 1 << 20}
    summary = run({"model": "direct_map", "machine": {"memory": "1GiB"}, "workloads": {"o": others}}).summary
    assert summary["workloads.o.refused_ENOMEM"] > 0


def test_they_come_between_the_same_faults_however_these_are_delivered() -> None:
    """One event for many faults stops where they act: the run is the same to the bit."""
    experiment = {
        "model": "direct_map", "machine": MACHINE,
        "workloads": {
            "w": {"kind": "fork_bomb", "tasks": 64, "kernel_pages": 4},
            "f": {"kind": "one_file", "pages": 2000},
            "others": {"kind": "others", "rate": 50_000.0, "steps": 100, "before": True},
        },
    }  # fmt: skip
    one, other = (run({**experiment, "batching": batching}) for batching in (True, False))
    assert one.summary["fingerprint"] == other.summary["fingerprint"]


def test_a_larger_program_takes_and_gives_back_its_pages() -> None:
    """While tasks are there that many pages are missing, and none is in the end."""

    def missing(kernel_pages: int) -> tuple[int, int]:
        bomb = {"kind": "fork_bomb", "tasks": 50, "kernel_pages": kernel_pages}
        series = run({"model": "direct_map", "machine": MACHINE, "workloads": {"w": bomb}}).series
        free = series["memory.free_bytes"] + series["memory.per_cpu_bytes"]
        return int(free[0] - free.min()), int(free[0] - free[-1])

    (least, left), (more, same) = missing(0), missing(30)
    assert more - least >= 0.9 * 50 * 30 * 4096
    assert same - left <= 16 * 4096
