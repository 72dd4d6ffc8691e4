"""Running a sweep: rounds of replications over the plan, on a pool, into the store, until it is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from simcore.analysis.intervals import mean_interval
from simcore.analysis.tables import groups, numbers
from simcore.config import Loaded, Overrides
from simcore.sweep.dispatch import Progress, dispatch
from simcore.sweep.errors import SweepError
from simcore.sweep.executors import Pool, open_pool
from simcore.sweep.jobs import Job, Setting
from simcore.sweep.plan import Plan, make_plan
from simcore.sweep.quantities import quantity, units
from simcore.sweep.result import SweepResult
from simcore.sweep.store import Store

__all__ = ["Sweep", "run_sweep"]

GROWTH = 4
"""A point that needs more replications gets a quarter more: few rounds, and little run in vain."""


def run_sweep(
    config: Path | str | Loaded,
    overrides: Overrides = (),
    *,
    out: Path | str | None = None,
    executor: str = "processes",
    jobs: int | None = None,
    scheduler: str | None = None,
) -> SweepResult:
    """Run what is left of a sweep and return its result.

    Args:
        config: YAML file with the keys of an experiment and of a sweep.
        overrides: changes as of `--set`.
        out: directory of the sweep; `runs/NAME` by default. A sweep that is there already is continued.
        executor: `serial`, `processes` or `dask`.
        jobs: number of workers, all CPUs by default.
        scheduler: address of a Dask scheduler.

    Raises:
        ConfigError: a bad configuration or design; nothing has run.
        SweepError: the sweep cannot go on; what was finished is kept.
    """
    sweep = Sweep(make_plan(config, overrides), out)
    with open_pool(executor, jobs, scheduler) as pool:
        return sweep.run(pool)


class Sweep:
    """A plan and the store that its runs go to.

    Attributes:
        plan: what to run.
        store: where rows go.
    """

    def __init__(self, plan: Plan, out: Path | str | None = None) -> None:
        """Bind a plan to a directory; nothing is written yet."""
        self.plan = plan
        self.store = Store(Path(out) if out is not None else Path("runs") / plan.name)

    def run(
        self,
        pool: Pool,
        report: Callable[[Progress], None] = lambda progress: None,
        *,
        retry_failed: bool = False,
    ) -> SweepResult:
        """Make every run that has no row yet, in as many rounds as the stopping rule asks for.

        Args:
            pool: where to run.
            report: called as runs end.
            retry_failed: make failed runs once more.

        Raises:
            SweepError: the sweep cannot go on; what was finished is kept.
        """
        with self.store.lock():
            self.store.merge()
            self._write_about()
            counts = [self.plan.config.replications] * len(self.plan.points)
            retried: set[str] = set()
            while True:
                self.store.write_plan(self.plan.to_table(counts))
                left = [job for job in self.missing(counts, retry_failed) if job.identity not in retried]
                if retry_failed:
                    retried.update(job.identity for job in left)
                if left:
                    dispatch(left, len(left), pool, self._setting(), report)
                grown = self._grow(counts)
                if grown == counts:
                    break
                counts = grown
            self.store.merge()
            self._write_manifest()
        return SweepResult(self.store)

    def missing(self, counts: list[int], retry_failed: bool = False) -> Iterator[Job]:
        """Return the runs that have no row yet, or whose row does not count.

        A row does not count when it timed out under a shorter timeout than now, when it lacks the files
        that `keep` asks for, or, with `retry_failed`, when it failed.
        """
        recorded = self.store.recorded()
        config = self.plan.config
        for job in self.plan.jobs(counts):
            status, wall_s = recorded.get(job.identity, ("", 0.0))
            if status == "done":
                if config.keep == "summary" or self._has_kept(job.identity):
                    continue
            elif status == "timeout":
                if not retry_failed and config.timeout_s is not None and config.timeout_s <= wall_s:
                    continue
            elif status and not retry_failed:
                continue
            yield job

    def counts(self) -> list[int]:
        """Return the replications per point that the rows so far are known to ask for."""
        counts = [self.plan.config.replications] * len(self.plan.points)
        while self.store.has_rows() and not any(True for _ in self.missing(counts)):
            grown = self._grow(counts, self.plan.to_table(counts))
            if grown == counts:
                break
            counts = grown
        return counts

    def _grow(self, counts: list[int], planned: Any = None) -> list[int]:
        """Return the replications per point after another look at the intervals.

        The number depends on the results of the point alone, never on when or where they came in.
        """
        stop = self.plan.config.stop
        if stop is None:
            return counts
        table = self.store.to_table(planned)
        unknown = [metric for metric in stop.metrics if metric not in table.column_names]
        if unknown and "done" in table["status"].to_pylist():
            raise SweepError(f"stop.metrics: no run has a metric {', '.join(unknown)}")
        rows = {} if unknown else groups(table, ["point"])
        values = {} if unknown else {metric: numbers(table, metric) for metric in stop.metrics}
        grown = list(counts)
        for place, point in enumerate(self.plan.points):
            members = rows.get((point.index,))
            if members is None or counts[place] >= stop.max:
                continue
            intervals = [mean_interval(values[metric][members], stop.confidence) for metric in stop.metrics]
            if any(interval.n == 0 for interval in intervals):
                continue  # nothing but failures: more of them tell nothing
            if not all(interval.rel_half_width <= stop.rel_half_width for interval in intervals):
                grown[place] = min(stop.max, counts[place] + max(1, counts[place] // GROWTH))
        return grown

    def _setting(self) -> Setting:
        config = self.plan.config
        directory = str(self.store.directory.resolve())
        return Setting(directory, self.plan.base, config.keep, config.timeout_s, self.plan.versions)

    def _has_kept(self, identity: str) -> bool:
        kept = self.store.kept(identity)
        return (kept / ("manifest.json" if self.plan.config.keep == "all" else "series.parquet")).is_file()

    def _write_about(self) -> None:
        stop, design = self.plan.config.stop, self.plan.config.design
        about = {
            "name": self.plan.name,
            "title": str(self.plan.base.data.get("name", self.plan.name)),
            "description": str(self.plan.base.data.get("description", "")),
            "source": None if self.plan.base.path is None else str(self.plan.base.path),
            "config": dict(self.plan.base.data),
            "parameters": self.plan.parameters,
            "units": units([point.overrides for point in self.plan.points[:1]], design),
            "metrics": [] if stop is None else stop.metrics,
            "baseline": self._baseline(),
            "confidence": 0.95 if stop is None else stop.confidence,
            "keep": self.plan.config.keep,
            "indices": design.sobol is not None and design.sobol.indices,
            "versions": dict(self.plan.versions),
        }
        self.store.write_json("sweep.json", about)

    def _baseline(self) -> dict[str, Any] | None:
        """Return the baseline as the table shows it."""
        given = self.plan.config.design.baseline
        if given is None:
            return None
        shown = {}
        for key, value in given.items():
            for point in self.plan.points:
                if quantity(point.overrides[key]) == quantity(value):
                    shown[key] = point.columns[key]
        return shown

    def _write_manifest(self) -> None:
        """Write the finished table, and last of all the file that says that the sweep is complete."""
        table = self.store.to_table()
        self.store.write_table("table.parquet", table)
        statuses = table["status"].to_pylist()
        self.store.write_json(
            "manifest.json",
            {
                "name": self.plan.name,
                "points": len(self.plan.points),
                "runs": table.num_rows,
                "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
                "wall_s": float(sum(table["wall_s"].to_pylist())),
                "versions": dict(self.plan.versions),
            },
        )
