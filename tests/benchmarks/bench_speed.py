"""How fast the simulator is: ratios against other engines, faults, lives of tasks, scaling, real-time factors.

``python tests/benchmarks/bench_speed.py [--write docs/performance.md] [--tasks 1000000]`` measures everything in
one run and prints Markdown; with ``--write`` it replaces the figures in that file. Times are CPU seconds of this
process, each the median of several runs; what matters are the ratios.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import platform
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import numba
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
sys.path.append(str(ROOT / "build" / "engines"))  # where `make bench` puts the other engines

from models.direct_map_model import DirectMapModel  # noqa: E402
from models.kernel.attributes import split_range  # noqa: E402
from simcore.environment import Environment  # noqa: E402
from simcore.experiment import Experiment  # noqa: E402
from simcore.garbage import QuietCollector  # noqa: E402
from tests.benchmarks.engines import ENGINES, FORK_BOMBS, QUEUES, bare_events  # noqa: E402

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
RECORDINGS = ROOT / "tests" / "recordings" / "counters"
REPEATS = 3
FOREVER = "1000000s"
Config = dict[str, Any]


class Timed(NamedTuple):
    seconds: float
    events: int
    simulated_ns: int
    model: DirectMapModel


def timed(config: Config, prepare: Callable[[DirectMapModel], None] | None = None) -> Timed:
    """Build a model and let it run; only the run itself is timed."""
    gc.collect()
    experiment = Experiment.from_mapping({"name": "bench", **config})
    with QuietCollector() as collector:
        env = Environment(0, 0, experiment.keys.record.max_points)
        if experiment.keys.until is not None:
            env.until_ns = experiment.keys.until
        model = DirectMapModel.build(env, experiment.config)
        if prepare is not None:
            prepare(model)
        assert model.finished is not None
        env.stop_at(model.finished)
        before = env.events
        began = process_time()
        while env.advance(1 << 18):
            collector.step()
        seconds = process_time() - began
        return Timed(seconds, env.events - before, env.now, model)


def rate(count: int, config: Config) -> float:
    """Median of ``count`` per second over several runs."""
    return median(count / timed(config).seconds for _ in range(REPEATS))


def per_second(count: int, call: Callable[[], object]) -> float:
    """Median of ``count`` per second over several calls."""
    rates = []
    for _ in range(REPEATS):
        gc.collect()
        began = process_time()
        call()
        rates.append(count / (process_time() - began))
    return median(rates)


def files(
    number: int, pages: int, memory: str, *, batching: bool = True, cpus: int | None = None, costs: str | None = None
) -> Config:
    """Tasks that fault a file each and keep it."""
    machine: Config = {"memory": memory, "cpus": cpus or number}
    if costs is not None:
        machine["costs"] = costs
    return {
        "machine": machine, "batching": batching, "users": {"user": {"memlock": "15TiB"}}, "until": "900000s",
        "workloads": {f"file{i}": {"kind": "one_file", "pages": pages, "hold": FOREVER} for i in range(number)},
    }  # fmt: skip


def bomb(tasks: int, *, cpus: int = 64, memory: str = "64GiB", batching: bool = True) -> Config:
    """A fork bomb of live tasks with one secret page each."""
    return {
        "machine": {"memory": memory, "cpus": cpus}, "batching": batching, "users": {"user": {"processes": 1 << 30}},
        "workloads": {"bomb": {"kind": "fork_bomb", "tasks": tasks}},
    }  # fmt: skip


def day(batching: bool = True) -> Config:
    """A day of modules and BPF programs that come and go, with two bystanders who pay."""
    seconds = 86_400
    return {
        "machine": {"memory": "64GiB", "cpus": 16}, "batching": batching, "until": f"{seconds}s",
        "workloads": {
            "modules": {"kind": "modules", "steps": seconds // 60, "rate": 1 / 60},
            "bpf": {"kind": "bpf", "steps": seconds // 10, "rate": 0.1},
        },
        "bystanders": {name: {"preset": name, "sample": "600s"} for name in ("kernel_build", "memcached")},
    }  # fmt: skip


def _split(handle: int, first_pfn: int, regions: int) -> int:
    made = 0
    for region in range(regions):
        made += split_range(handle, 0, 0, first_pfn + (region << 9), 1)
    return made


_compiled_split: Any = numba.njit(_split)


def split_everything(model: DirectMapModel) -> None:
    """Split every entry of the direct map down to 4K, as a long-lived adversary leaves it."""
    state = model.kernel.state
    for first, count, _ in state.direct_map.tiles:
        _compiled_split(model.kernel.handle, first, count >> 9)
    state.charge[:] = 0


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def engines(bare: float) -> str:
    """Other engines on the same queue and the same plain fork bomb."""
    customers, tasks, servers = 20_000, 10_000, 4
    random = np.random.default_rng(1)
    gaps = [round(gap) for gap in random.exponential(1e6 / (servers * 0.8), customers)]
    services = [round(service) for service in random.exponential(1e6, customers)]
    rows, base = [], (0.0, 0.0)
    for name in QUEUES:
        small = 10 if name in ("salabim", "Ciw") else 1
        queue, plain = QUEUES[name], FORK_BOMBS[name]
        n, t = customers // small, tasks // small
        try:
            rates = (
                per_second(n, lambda q=queue, n=n: q(gaps[:n], services[:n], servers)),  # type: ignore[misc]
                per_second(t, lambda p=plain, t=t: p(t, 8)),  # type: ignore[misc]
            )
        except ImportError:
            rows.append([name, "not installed", "", "", ""])
            continue
        base = base if base[0] else rates
        ratios = [f"{own / simpys:.2f}" for own, simpys in zip(rates, base, strict=True)]
        rows.append([name, f"{rates[0]:,.0f}", ratios[0], f"{rates[1]:,.0f}", ratios[1]])
    head = ["engine", "M/M/4 customers/s", "ratio to SimPy", "plain fork bomb tasks/s", "ratio to SimPy"]
    return f"Bare SimPy (one process that waits): {bare / 1e6:.2f} M events/s.\n\n" + table(head, rows)


def faults(bare: float) -> str:
    """Faults and lives, with batching and without."""
    rows = []

    def row(what: str, aim: str, unit: str, count: int, on: Config, few: int, off: Config) -> None:
        fast, slow = rate(count, on), rate(few, off)
        rows.append([what, aim, f"{fast:,.0f} {unit}/s", f"{fast / bare:.2f}", f"{slow:,.0f} {unit}/s"])

    row("one task faulting a large file", "20,000,000 faults/s, 12 x bare SimPy", "faults",
        12_000_000, files(1, 12_000_000, "64GiB"), 20_000, files(1, 20_000, "64GiB", batching=False))  # fmt: skip
    row("64 CPUs faulting at once, `page`", "2,000,000 faults/s", "faults",
        64 * 8000, files(64, 8000, "64GiB"), 64 * 300, files(64, 300, "64GiB", batching=False))  # fmt: skip
    row("`fork_bomb`, 64 CPUs, 64 GiB", "100,000 tasks/s", "tasks",
        100_000, bomb(100_000), 10_000, bomb(10_000, batching=False))  # fmt: skip
    text = table(["what", "aim", "measured", "ratio to bare SimPy events", "`batching: off`"], rows)
    on, off = timed(day()), timed(day(batching=False))
    return text + (
        f"\n\nA day of module and BPF churn with two bystanders: {on.seconds:.1f} s (aim: under 10 s); "
        f"`batching: off`: {off.seconds:.1f} s."
    )


def memory() -> str:
    """The largest machine, whole and split."""
    pages = 900_000
    small = median(timed(files(1, pages, "4GiB")).seconds / pages for _ in range(REPEATS))
    large = median(timed(files(1, pages, "16TiB"), split_everything).seconds / pages for _ in range(REPEATS))
    off = timed(files(1, 20_000, "16TiB", batching=False), split_everything).seconds / 20_000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    return (
        f"`one_file` on 16 TiB with every 2M region split: {large * 1e9:.0f} ns per fault, {large / small:.2f} times "
        f"that on 4 GiB ({small * 1e9:.0f} ns; aim: 1.5 at the most); `batching: off`: {off * 1e9:,.0f} ns. "
        f"Peak memory of the process up to here: {peak:.2f} GiB (aim: under 2 GiB)."
    )


def scaling(most_tasks: int) -> str:
    """Tasks, memory, CPUs."""
    cpu_rows = []
    for cpus in (1, 2, 8, 64, 256, 512):
        each, few = max(400, 400_000 // cpus), max(20, 12_000 // cpus)
        on = 1e9 / rate(each * cpus, files(cpus, each, "512GiB"))
        off = 1e9 / rate(few * cpus, files(cpus, few, "512GiB", batching=False))
        cpu_rows.append([str(cpus), f"{on:.0f}", f"{off:,.0f}"])
    memory_rows = []
    for size in ("4GiB", "64GiB", "1TiB", "16TiB"):
        on = 1e9 / rate(800_000, files(1, 800_000, size))
        off = 1e9 / rate(10_000, files(1, 10_000, size, batching=False))
        memory_rows.append([size, f"{on:.0f}", f"{off:,.0f}"])
    task_rows, bombs, tasks = [], [], 1000
    while tasks <= most_tasks:
        size = "512GiB" if tasks > 100_000 else "64GiB"
        on_life, off_life = (in_a_process_of_its_own(tasks, size, batching) for batching in (True, False))
        bombs.append(on_life)
        task_rows.append([
            f"{tasks:,}", f"{on_life.seconds / tasks * 1e6:.1f}", f"{off_life.seconds / tasks * 1e6:.1f}",
            f"{on_life.grown_bytes / tasks:,.0f}", f"{on_life.peak_bytes / (1 << 30):.2f}",
        ])  # fmt: skip
        tasks *= 10
    linear = (bombs[-1].seconds / 10) / bombs[-2].seconds if len(bombs) > 1 else 1.0
    return "\n\n".join(
        [
            table(["CPUs faulting at once", "ns per fault", "`batching: off`"], cpu_rows),
            table(["memory", "ns per fault", "`batching: off`"], memory_rows),
            table(
                ["live tasks", "us per life", "`batching: off`", "bytes per task", "peak memory of the process, GiB"],
                task_rows,
            ),
            f"The last row takes {linear:.2f} times as long per task as the one before (aim: 1.3); aims for memory: "
            "2 KiB per task, 2.5 GiB for a million.",
        ]
    )


class Lives(NamedTuple):
    seconds: float
    grown_bytes: int
    peak_bytes: int


def lives(tasks: int, memory: str, batching: bool) -> Lives:
    """A fork bomb of live tasks, after a small one: time, memory that it adds, most memory of this process."""
    timed(bomb(100, batching=batching))
    before = resident_bytes()
    run = timed(bomb(tasks, memory=memory, batching=batching))
    # Not getrusage: its maximum outlives exec, and would be that of whoever started this process.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) << 10
    return Lives(run.seconds, max(0, peak - before), peak)


def in_a_process_of_its_own(tasks: int, memory: str, batching: bool) -> Lives:
    """The same where no earlier run has left its peak."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(lives, tasks, memory, batching).result()


def resident_bytes() -> int:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def real_time() -> str:
    """Simulated CPU seconds per second of computing, by cost preset, and against recorded kernels."""
    rows = []
    for preset in ("haswell_bare_metal", "zen5_guest_2cpu"):
        one = timed(files(1, 2_000_000, "64GiB", costs=preset, cpus=2))
        one_off = timed(files(1, 20_000, "64GiB", costs=preset, cpus=2, batching=False))
        all_ = timed(files(64, 4000, "64GiB", costs=preset))
        all_off = timed(files(64, 200, "64GiB", costs=preset, batching=False))
        for what, cpus, on, off in (("one task", 1, one, one_off), ("64 CPUs", 64, all_, all_off)):
            factors = [cpus * faulting_ns(run) / 1e9 / run.seconds for run in (on, off)]
            rows.append([what, preset, f"{factors[0]:,.1f}", f"{factors[1]:,.2f}"])
    text = table(["faulting", "costs", "simulated CPU s per s", "`batching: off`"], rows)
    recorded_rows = []
    for name, first, last, config in (
        ("one_file-4g-page-distribution", "mapped", "fault", {"kind": "one_file", "pages": 65536}),
        ("fork_bomb-4g-page-distribution", "ready", "allexit", {"kind": "fork_bomb", "tasks": 4096}),
    ):
        recorded_ns = recorded(name, first, last)
        base = {"machine": {"memory": "4GiB", "cpus": 1}, "users": {"user": {"memlock": "1TiB", "processes": 1 << 20}}}
        factors = [
            recorded_ns / 1e9 / timed({**base, "workloads": {"w": config}, "batching": batching}).seconds
            for batching in (True, False)
        ]
        recorded_rows.append([name, f"{recorded_ns / 1e9:.2f}", f"{factors[0]:,.1f}", f"{factors[1]:,.2f}"])
    head = ["recorded kernel", "recorded s (an instruction per ns)", "recorded s per s of computing", "`batching: off`"]
    return text + "\n\n" + table(head, recorded_rows)


def faulting_ns(run: Timed) -> int:
    """Simulated time from the start to the last fault: the clock itself goes on to the end of the holding."""
    return int(run.model._vector.store.book[0, 2])


def recorded(name: str, first: str, last: str) -> int:
    """Time between two samples of a recorded run, ns."""
    with gzip.open(RECORDINGS / f"{name}.json.gz") as file:
        samples = json.load(file)["samples"]
    begin = next(sample["time_ns"] for sample in samples if sample["label"] == first)
    return int([sample["time_ns"] for sample in samples if sample["label"] == last][-1] - begin)


def environment() -> str:
    """Versions and machine."""
    versions = []
    for name, package in {**ENGINES, "NumPy": "numpy", "Numba": "numba"}.items():
        try:
            versions.append(f"{name} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{name} not installed")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"Python {platform.python_version()}, {', '.join(versions)}; {cpu}, one core."


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown file whose figures are replaced")
    parser.add_argument("--tasks", type=int, default=1_000_000, help="largest fork bomb of the scaling table")
    options = parser.parse_args()
    timed(files(2, 200, "4GiB"))
    timed(bomb(20, cpus=2, memory="4GiB"))
    bare = per_second(500_000, lambda: bare_events(500_000))
    parts = [environment()]
    tables: tuple[tuple[str, Callable[[], str]], ...] = (
        ("Against other engines", lambda: engines(bare)),
        ("Faults and lives", lambda: faults(bare)),
        ("The largest machine", memory),
        ("Scaling", lambda: scaling(options.tasks)),
        ("Real-time factors", real_time),
    )
    for title, make in tables:
        parts.append(f"### {title}\n\n{make()}")
        print(parts[-1], "\n", flush=True)
    if options.write is not None:
        text = options.write.read_text()
        head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        options.write.write_text(head + "\n" + "\n\n".join(parts) + "\n" + tail)


if __name__ == "__main__":
    main()
