"""Overhead of a sweep over its runs: time of the whole sweep against the time spent in runs per worker.

Run as a script; workers have started and imported the model before the clock does:
``python tests/benchmarks/bench_sweep.py [--runs 10000] [--jobs 2] [--executor processes]``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[2]))

from simcore.sweep.executors import open_pool
from simcore.sweep.plan import make_plan
from simcore.sweep.sweep import Sweep
from tests.simcore.sweep.sweep_files import write_sweep

REPLICATIONS = 20


def measure(runs: int, jobs: int, executor: str, customers: int) -> dict[str, float]:
    """Return seconds of planning, of the sweep, of the ideal, and their ratio."""
    with tempfile.TemporaryDirectory() as name, open_pool(executor, jobs) as pool:
        place = Path(name)
        warm = write_sweep(
            place / "warm.yaml",
            design={"grid": {"service_us": [1, 2, 3, 4]}},
            replications=10,
            customers=customers,
        )
        Sweep(make_plan(warm), place / "warm").run(pool)
        steps = max(2, runs // REPLICATIONS)
        grid = {"service_us": {"from": 1, "to": 900, "steps": steps}}
        config = write_sweep(
            place / "sweep.yaml", design={"grid": grid}, replications=REPLICATIONS, customers=customers
        )
        begin = perf_counter()
        plan = make_plan(config)
        planned = perf_counter()
        result = Sweep(plan, place / "sweep").run(pool)
        ended = perf_counter()
        walls = result.to_table()["wall_s"].to_numpy()
    ideal = float(walls.sum()) / jobs
    return {
        "runs": float(walls.size),
        "run_ms": float(walls.mean() * 1e3),
        "plan_s": planned - begin,
        "sweep_s": ended - planned,
        "ideal_s": ideal,
        "ratio": (ended - planned) / ideal,
        "ratio_with_plan": (ended - begin) / ideal,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--executor", default="processes")
    parser.add_argument("--customers", type=int, default=250, help="length of a run; 250 take about 10 ms")
    options = parser.parse_args()
    for name, value in measure(options.runs, options.jobs, options.executor, options.customers).items():
        print(f"{name:16} {value:10.3f}")
