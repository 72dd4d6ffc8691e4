"""Sweeps as a whole: the same table everywhere, additive, and alive after anything that is killed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from simcore.result import Result
from simcore.sweep import store_files
from simcore.sweep.dispatch import Progress
from simcore.sweep.errors import StoreError, SweepError
from simcore.sweep.executors import Pool, SerialExecutor, open_pool
from simcore.sweep.plan import make_plan
from simcore.sweep.result import SweepResult
from simcore.sweep.store import Store
from simcore.sweep.sweep import Sweep
from tests.simcore.sweep.sweep_files import rows, run, run_and_forget, stable, write_sweep

GRID = {"grid": {"service_us": [100, 400, 800], "policy": ["fifo", "double"]}}


def statuses(result: SweepResult) -> dict[str, int]:
    found = [row["status"] for row in rows(result)]
    return {status: found.count(status) for status in sorted(set(found))}


class KillsWorkers:
    """A reporter that kills a worker, found by the rows it wrote, after some of the chunks.

    A run whose worker dies twice is recorded as killed, and the workers are not to blame here: the next one is
    killed when all that was handed out by then has ended: two chunks a worker, and as many for what it left.
    """

    def __init__(self, out: Path, times: int) -> None:
        self.out = out
        self.left = times
        self.killed: set[int] = set()
        self.pause = 0

    def __call__(self, progress: Progress) -> None:
        self.pause -= 1
        if not self.left or self.pause > 0:
            return
        workers = {int(name.rpartition(":")[2]) for name in Store(self.out).manifest()["worker"].to_pylist()}
        for pid in workers - self.killed - {os.getpid()}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.killed.add(pid)
            self.left -= 1
            self.pause = 4 * progress.workers
            return


def test_the_same_table_on_every_executor(tmp_path: Path) -> None:
    """Serial, two processes, two Dask workers: equal in every column but those about the execution."""
    config = write_sweep(tmp_path / "sweep.yaml", design=GRID, replications=4)
    tables = {name: stable(run(config, tmp_path / name, name)) for name in ("serial", "processes", "dask")}
    assert tables["serial"].num_rows == 24
    assert set(tables["serial"]["status"].to_pylist()) == {"done"}
    assert tables["processes"].equals(tables["serial"])
    assert tables["dask"].equals(tables["serial"])


def test_common_random_numbers_pair_the_points(tmp_path: Path) -> None:
    """At the same replication two points see the same arrivals: twice the service is the doubled policy."""
    result = run(write_sweep(tmp_path / "sweep.yaml", design=GRID, replications=3), tmp_path / "out")
    by_run = {(row["service_us"], row["policy"], row["replication"]): row["wait_ns"] for row in rows(result)}
    for replication in range(3):
        assert by_run[400, "double", replication] == by_run[800, "fifo", replication]
    assert len({by_run[800, "fifo", replication] for replication in range(3)}) == 3


def test_a_grown_sweep_keeps_every_run(tmp_path: Path) -> None:
    """More replications and more points run only what is new; the result is the large sweep's."""
    small = write_sweep(tmp_path / "small.yaml", design={"grid": {"service_us": [100, 400]}}, replications=2)
    large = write_sweep(tmp_path / "large.yaml", design={"grid": {"service_us": [50, 100, 400]}}, replications=3)
    first = {row["identity"]: row["started_at"] for row in rows(run(small, tmp_path / "grown"))}
    grown = run(large, tmp_path / "grown")
    second = {row["identity"]: row["started_at"] for row in rows(grown)}
    assert len(first) == 4
    assert len(second) == 9
    assert {identity: second[identity] for identity in first} == first
    assert stable(grown).equals(stable(run(large, tmp_path / "at once")))


def test_a_finished_sweep_runs_nothing(tmp_path: Path) -> None:
    config = write_sweep(tmp_path / "sweep.yaml", design=GRID)
    run(config, tmp_path / "out")
    reports: list[Progress] = []
    run(config, tmp_path / "out", report=reports.append)
    assert reports == []


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_failing_run_is_a_row(tmp_path: Path, executor: str) -> None:
    """Exceptions of a model, and its exit, are rows with their origin; the others are done."""
    config = write_sweep(tmp_path / "sweep.yaml", design={"grid": {"trouble": ["none", "raise", "exit"]}})
    result = run(config, tmp_path / "out", executor)
    done, raised, ended = rows(result)
    assert (done["status"], done["error"]) == ("done", None)
    assert (raised["status"], raised["error"]) == ("failed", "ValueError: this queue is closed")
    assert raised["wait_ns"] is None
    assert (ended["status"], ended["error"]) == ("failed", "SystemExit: 3")
    traces = {row["identity"]: row["traceback"] for row in result.manifest().to_pylist()}
    assert "_make_trouble" in traces[raised["identity"]]
    assert traces[done["identity"]] is None


def test_failed_runs_are_made_again_only_when_asked(tmp_path: Path) -> None:
    design = {"grid": {"trouble": ["raise once"]}}
    config = write_sweep(tmp_path / "sweep.yaml", design=design, scratch=str(tmp_path))
    assert statuses(run(config, tmp_path / "out")) == {"failed": 1}
    assert statuses(run(config, tmp_path / "out")) == {"failed": 1}
    assert statuses(run(config, tmp_path / "out", retry_failed=True)) == {"done": 1}


@pytest.mark.parametrize("executor", ["serial", "processes", "dask"])
def test_a_run_that_takes_too_long_is_a_row(tmp_path: Path, executor: str) -> None:
    """Timeouts end sleeping runs and endless compiled loops alike, on every executor; the others are done."""
    design = {"grid": {"trouble": ["none", "spin", "sleep"], "service_us": [100]}}
    config = write_sweep(tmp_path / "sweep.yaml", design=design, timeout="4s")
    done, spun, slept = rows(run(config, tmp_path / "out", executor))
    assert done["status"] == "done"
    for row in (spun, slept):
        assert (row["status"], row["error"], row["wall_s"]) == ("timeout", "took longer than 4 s", 4.0)


def test_a_longer_timeout_tries_again(tmp_path: Path) -> None:
    """What was too slow runs again when there is more time, and not otherwise."""
    keys: dict[str, Any] = {"design": {"grid": {"busy_s": [1.0]}}}
    short = write_sweep(tmp_path / "short.yaml", timeout="200ms", **keys)
    long = write_sweep(tmp_path / "long.yaml", timeout="60s", **keys)
    first = run(short, tmp_path / "out")
    assert statuses(first) == {"timeout": 1}
    started = rows(first)[0]["started_at"]
    assert rows(run(short, tmp_path / "out"))[0]["started_at"] == started
    assert statuses(run(long, tmp_path / "out")) == {"done": 1}


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_run_that_kills_its_workers_is_tried_twice(tmp_path: Path, executor: str) -> None:
    """Killed once, it is done at the second attempt; killed twice, it is recorded; nobody else is hurt."""
    design = {"grid": {"trouble": ["none", "die once", "die"], "service_us": [100, 200]}}
    design["where"] = "trouble == 'none' or service_us == 100"  # type: ignore[assignment]
    config = write_sweep(tmp_path / "sweep.yaml", design=design, replications=1, scratch=str(tmp_path))
    found = rows(run(config, tmp_path / "out", executor))
    by_trouble = {row["trouble"]: row for row in found}
    assert (by_trouble["die once"]["status"], by_trouble["die once"]["attempts"]) == ("done", 2)
    assert (by_trouble["die"]["status"], by_trouble["die"]["attempts"]) == ("killed", 2)
    assert "twice" in by_trouble["die"]["error"]
    assert all(row["status"] == "done" for row in found if row["trouble"] == "none")


def test_a_run_that_kills_its_process_under_a_timeout_is_recorded(tmp_path: Path) -> None:
    """The same with a timeout, when runs have processes of their own: a serial sweep survives too."""
    design = {"grid": {"trouble": ["none", "die"]}}
    config = write_sweep(tmp_path / "sweep.yaml", design=design, timeout="60s")
    assert [row["status"] for row in rows(run(config, tmp_path / "out"))] == ["done", "killed"]


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_workers_killed_from_outside(tmp_path: Path, executor: str) -> None:
    """SIGKILL of workers at work: the sweep ends, with a row for every run and the undisturbed table."""
    config = write_sweep(tmp_path / "sweep.yaml", design=GRID, replications=40, busy_s=0.01)
    killer = KillsWorkers(tmp_path / "out", times=3)
    disturbed = run(config, tmp_path / "out", executor, killer)
    assert len(killer.killed) == 3
    assert stable(disturbed).equals(stable(run(config, tmp_path / "calm")))


def test_parent_killed_twenty_times(tmp_path: Path) -> None:
    """SIGKILL of the whole sweep at random moments: it continues, and ends with the undisturbed table."""
    config = write_sweep(tmp_path / "sweep.yaml", design=GRID, replications=40, busy_s=0.005)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["simcore.sweep.sweep", "tests.simcore.sweep.sweep_models"])
    moments = random.Random(20)
    recorded = []
    for number in range(20):
        executor = "processes" if number % 4 == 0 else "serial"
        process = context.Process(target=run_and_forget, args=(config, tmp_path / "out", executor))
        process.start()
        process.join(moments.uniform(0.05, 0.6) + (0.5 if executor == "processes" else 0))
        process.kill()
        process.join()
        recorded.append(len(Store(tmp_path / "out").recorded()))
    assert recorded == sorted(recorded)
    continued = run(config, tmp_path / "out")
    assert continued.to_table().num_rows == 240
    assert stable(continued).equals(stable(run(config, tmp_path / "calm")))


def test_any_executor_will_do_and_may_break(tmp_path: Path) -> None:
    """The standard library's own pool works too; broken by a dead worker it is made anew."""
    design = {"grid": {"trouble": ["none", "die once", "die"], "service_us": [100, 200, 300]}}
    design["where"] = "trouble == 'none' or service_us == 200"  # type: ignore[assignment]
    config = write_sweep(tmp_path / "sweep.yaml", design=design, scratch=str(tmp_path))
    context = multiprocessing.get_context("forkserver")
    made: list[ProcessPoolExecutor] = []

    def open_executor() -> ProcessPoolExecutor:
        made.append(ProcessPoolExecutor(2, mp_context=context))
        return made[-1]

    pool = Pool(open_executor(), 2, reopen=open_executor)
    found = rows(Sweep(make_plan(config), tmp_path / "out").run(pool))
    assert {(row["trouble"], row["status"]) for row in found} == {
        ("none", "done"), ("die once", "done"), ("die", "killed"),
    }  # fmt: skip
    assert len(made) >= 3
    with (
        ProcessPoolExecutor(1, mp_context=context) as fragile,
        pytest.raises(SweepError, match="broke the executor"),
    ):
        Sweep(make_plan(config), tmp_path / "fragile").run(Pool(fragile, 1))


def test_workers_that_cannot_start_end_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that dies at once is one clear error and no endless loop."""
    config = write_sweep(tmp_path / "sweep.yaml", design=GRID)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SweepError, match="die before they start"):
        run(config, tmp_path / "out", "processes")


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep stops with one message; with space again it continues to the undisturbed table."""
    config = write_sweep(tmp_path / "sweep.yaml", design=GRID, replications=2)
    written: list[Path] = []
    write_file = store_files._write_file

    def fill_up(path: Path, content: bytes) -> None:
        if path.parent.name == "parts":
            written.append(path)
            if len(written) > 1:
                path.write_bytes(content[:50])
                raise OSError(errno.ENOSPC, "No space left on device")
        write_file(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(store_files, "_write_file", fill_up)
        with pytest.raises(StoreError, match="no space left"):
            run(config, tmp_path / "out")
    kept = Store(tmp_path / "out").recorded()
    assert 1 <= len(kept) < 12
    continued = run(config, tmp_path / "out")
    walls = {row["identity"]: ("done", row["wall_s"]) for row in rows(continued)}
    assert kept.items() <= walls.items()
    assert stable(continued).equals(stable(run(config, tmp_path / "calm")))


def test_a_full_disk_under_a_run_directory_is_no_failure_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When what a run leaves does not fit, the sweep stops; the run is not recorded as failed."""
    config = write_sweep(tmp_path / "sweep.yaml", design=GRID, keep="all")

    def refuse(self: Result, directory: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Result, "save", refuse)
        with pytest.raises(StoreError, match="no space left"):
            run(config, tmp_path / "out")
    assert Store(tmp_path / "out").recorded() == {}


def test_sources_that_change_under_a_sweep_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of two versions of a model never mix, even when it is edited while the sweep runs."""
    config = write_sweep(tmp_path / "sweep.yaml", design=GRID)
    made = make_plan(config)
    monkeypatch.setitem(made.versions, "model_version", "0" * 64)
    with pytest.raises(SweepError, match=r"sources of the model .* changed"):
        Sweep(made, tmp_path / "out").run(Pool(SerialExecutor(), 1))


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_the_stopping_rule_stops_each_point_by_itself(tmp_path: Path, executor: str) -> None:
    """Every point ends narrow enough or at the most; quiet points need fewer; any executor decides alike."""
    stop = {"metrics": ["simulated_ns"], "rel_half_width": 0.15, "max": 40}
    design = {"grid": {"customers": [4, 200]}}
    config = write_sweep(tmp_path / "sweep.yaml", design=design, replications=5, stop=stop)
    result = run(config, tmp_path / "out", executor)
    few, many = result.statistics()
    assert many["n"] < few["n"] == 40 or few["half_width"] <= 0.15 * few["mean"]
    assert many["half_width"] <= 0.15 * many["mean"]
    assert many["n"] < few["n"]
    once_more = run(config, tmp_path / "again", "serial")
    assert stable(once_more).equals(stable(result))


def test_a_stopping_rule_on_no_metric_is_said_so(tmp_path: Path) -> None:
    stop = {"metrics": ["no.such"], "rel_half_width": 0.1, "max": 4}
    config = write_sweep(tmp_path / "sweep.yaml", design=GRID, replications=2, stop=stop)
    with pytest.raises(SweepError, match=r"no run has a metric no\.such"):
        run(config, tmp_path / "out")


def test_what_a_run_leaves_is_chosen(tmp_path: Path) -> None:
    """`all` leaves a whole run directory, `series` the series alone, `summary` nothing but the row."""
    design = {"grid": {"service_us": [100]}}
    configs = {
        keep: write_sweep(tmp_path / f"{keep}.yaml", design=design, keep=keep, replications=2)
        for keep in ("summary", "series", "all")
    }
    out = tmp_path / "out"
    first = run(configs["summary"], out)
    assert not Store(out).runs.exists()
    series = run(configs["series"], out)
    for row in rows(series):
        assert [path.name for path in Store(out).kept(row["identity"]).iterdir()] == ["series.parquet"]
    everything = run(configs["all"], out)
    for row in rows(everything):
        whole = Result.open(Store(out).kept(row["identity"]))
        assert whole.fingerprint == row["fingerprint"]
        assert whole.config["replication"] == row["replication"]
    assert stable(first).equals(stable(series))
    assert stable(first).equals(stable(everything))


def test_conditions_that_fail_are_counted(tmp_path: Path) -> None:
    """`expect` in a sweep is a column."""
    config = write_sweep(
        tmp_path / "sweep.yaml", design={"grid": {"customers": [3, 9]}}, expect={"queue.served": "< 5"}
    )
    assert [row["expect.failed"] for row in rows(run(config, tmp_path / "out"))] == [0, 1]


def test_unknown_executors_are_refused() -> None:
    for arguments, message in [
        (("proceses",), "did you mean processes"),
        (("serial", 0), "at least 1"),
        (("serial", 1, "tcp://x:1"), "goes with the executor dask"),
    ]:
        with pytest.raises(SweepError, match=message), open_pool(*arguments):  # type: ignore[arg-type]
            pass


@pytest.mark.long
def test_a_hundred_thousand_runs_fit_into_a_gibibyte(tmp_path: Path) -> None:
    """The parent plans, continues, reads and summarises 100,000 runs of 60 metrics in under 1 GiB."""
    code = """
import sys
from pathlib import Path
from simcore.sweep.executors import Pool, SerialExecutor
from simcore.sweep.plan import make_plan
from simcore.sweep.store import Store
from simcore.sweep.sweep import Sweep
from simcore.sweep.job_run import failure_row
from simcore.sweep.jobs import Setting
config, out = sys.argv[1:]
plan = make_plan(config)
counts = [plan.config.replications] * len(plan.points)
sweep = Sweep(plan, out)
setting = Setting(out, plan.base, "summary", None, plan.versions)
with sweep.store.lock():
    rows = []
    for number, job in enumerate(plan.jobs(counts)):
        metrics = {f"metric{place}": number % 97 + place for place in range(60)}
        rows.append(failure_row(job, setting, "done", "") | metrics)
        if len(rows) == 500:
            sweep.store.append(rows)
            rows.clear()
    sweep.store.append(rows)
result = sweep.run(Pool(SerialExecutor(), 1))
result.statistics()
result.plot()
# Not ru_maxrss: that of a child starts at what its parent held.
print(result.to_table().num_rows, Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
    design = {"grid": {"service_us": {"from": 1, "to": 1000, "steps": 1000, "integer": True}}}
    config = write_sweep(tmp_path / "sweep.yaml", design=design, replications=100)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(config), str(tmp_path / "out")],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    count, peak_kib = map(int, done.stdout.split())
    assert count == 100_000
    assert peak_kib < 1 << 20


def test_results_are_read_back_long_after(tmp_path: Path) -> None:
    """A sweep's directory is enough: table, statistics, differences, plots, and plain Parquet files."""
    design = {**GRID, "baseline": {"policy": "fifo"}}
    config = write_sweep(tmp_path / "sweep.yaml", design=design, replications=5)
    run(config, tmp_path / "out")
    result = SweepResult.open(tmp_path / "out")
    assert result.to_table().num_rows == 30
    assert {row["policy"] for row in result.differences("wait_ns")} == {"double"}
    assert len(result.statistics(["wait_ns", "queue.served"])) == 12
    assert all(path.stat().st_size > 5000 for path in result.plot(["wait_ns"]))
    started = time.time()
    assert all(row["started_at"] < started for row in rows(result))
