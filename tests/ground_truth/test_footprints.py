"""Footprints against recorded kernels: the requests of every workload, in order, without an allocator."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from models.host.recorded_fragmenting import fragmenting_of
from models.host.recording import AllocatorRecording
from models.kernel.footprint_presets import load_footprints
from tests.ground_truth.footprint_workloads import Workload, interpolate
from tests.ground_truth.recorded import RECORDINGS, read
from tests.models.kernel.footprint_reference import Release, Request

#: Sample from which requests are compared, samples at which that stops, label of the samples that give times.
WINDOWS = {
    "a": ("mapped", {"munmap"}, "fault"),
    "b": ("ready", {"munmap"}, "memfd"),
    "c": ("ready", {"peak"}, "fork"),
    "d": ("ready", {"peak", "anonfreed", "fillfreed"}, "secret"),
    "h": ("ready", {"peak", "anonfreed", "fillfreed"}, "secret"),
    "f": ("ready", {"allfree"}, "churn"),
}
#: How many order-0 unmovable requests a secret page may be away from its recorded place in their sequence,
#: and the share of pages of each migratetype that may be too many or too few. Grace periods decide what is
#: left: with one busy task (b, f) they are irregular, and on two CPUs objects wait for both.
TOLERANCE = {
    "a": (1, 0.001),
    "b": (30, 0.005),
    "c": (6, 0.005),
    "d": (3, 0.002),
    "h": (3, 0.002),
    "f": (12, 0.003),
}
TWO_CPUS = (48, 0.01)
#: Recordings of more than 100,000 page tables or ordinary pages.
LONG = ("d_page_4g_cross", "h_page_2g_anon_pressure", "h_page_4g_pt400", "h_pool_4g_pt600")
NAMES = sorted(path.name.removesuffix(".json.gz") for path in (RECORDINGS / "allocator").glob("*.json.gz"))

Token = tuple[int, int, str]


@lru_cache(maxsize=1)
def recording(name: str) -> dict[str, Any]:
    """A recording's JSON."""
    return _read(RECORDINGS / "allocator" / f"{name}.json.gz")


def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return data


def recorded_requests(data: dict[str, Any]) -> list[Token]:
    """(order, migratetype, kind) of every successful request in the window, split tables left out."""
    events = data["allocator_events"]
    start, stop, _ = WINDOWS[data["workload"]["code"]]
    labels = {sample["index"]: sample["label"] for sample in data["samples"]}
    requests, rows, sites = iter(events["request"]), events["requests"]["rows"], events["sites"]["rows"]
    out: list[Token] = []
    pfn, started = 0, False
    for index, op in enumerate(events["op"]):
        pfn += events["pfn_delta"][index]
        site = sites[rows[next(requests)][3]][0] if op in "ABKfgFDIP" else ""
        if op == "M":
            if labels[pfn] in stop:
                break
            started = started or labels[pfn] == start
        elif started and site == "mmu_gather" and data["workload"]["code"] != "f":
            break
        elif started and op in "ABK" and pfn and site != "direct_map_split":
            kind = {"secret_pool_bookkeeping": "pool_bitmap"}.get(site, site.split(":")[0])
            out.append((int(events["order"][index], 36), int(events["type"][index], 36), kind))
    return out


def generated(data: dict[str, Any]) -> Workload:
    """The workload of a recording, run to its peak."""
    code = data["workload"]["code"]
    _, stop, label = WINDOWS[code]
    begin = data["samples"][1]["time_ns"]
    if code == "f":
        points = [(0, begin), (data["allocator_events"]["op"].count("m"), data["samples"][-2]["time_ns"])]
    else:
        points = [(0, begin)]
        for sample in data["samples"]:
            if sample["label"] == label and sample["secret_pages"] > points[-1][0]:
                points.append((sample["secret_pages"], sample["time_ns"]))
    parameters, fragmenting = data["workload"]["parameters"], None
    if "frag" in parameters:
        whole = read("allocator", data["name"])
        assert isinstance(whole, AllocatorRecording)
        fragmenting = fragmenting_of(whole)
    workload = Workload(
        parameters,
        data["source"]["secretmem_policy"],
        data["machine"]["cpus"],
        time_ns=interpolate(points),
        samples=frozenset(s["secret_pages"] for s in data["samples"] if s["label"] == label),
        booted_ns=data["samples"][0]["time_ns"],
        stop_after=next(s["secret_pages"] for s in data["samples"] if s["label"] in stop),
        fragmenting=fragmenting,
    )
    workload.run(code)
    return workload


def tokens(entries: list[Request | Release]) -> list[Token]:
    """Requests as recordings name them."""
    names = {"copy": "anon", "fdtable": "kmalloc_large", "kernfs_node": "slab"}
    out = []
    for entry in entries:
        if isinstance(entry, Request):
            kind = entry.kind.split(":")[0]
            out.append((entry.order, entry.migratetype, names.get(kind, kind)))
    return out


def secret_places(requests: list[Token]) -> list[int]:
    """Where in the sequence of unmovable order-0 requests (or 2M chunks) the secret pages are."""
    stream = [kind for order, migratetype, kind in requests if migratetype == 0 and order in (0, 9)]
    return [place for place, kind in enumerate(stream) if kind == "secret"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in NAMES]
)
def test_requests_follow_the_recorded_order(name: str) -> None:
    """What decides where secret pages lie: how many unmovable pages are asked for between any two of them."""
    data = recording(name)
    shift, share = TWO_CPUS if data["machine"]["cpus"] > 1 else TOLERANCE[data["workload"]["code"]]
    theirs, ours = recorded_requests(data), tokens(generated(data).out)
    their_places, our_places = secret_places(theirs), secret_places(ours)
    assert len(our_places) == len(their_places)
    worst = max((abs(a - b) for a, b in zip(their_places, our_places, strict=True)), default=0)
    assert worst <= shift, f"a secret page is {worst} unmovable requests away from its recorded place"
    for migratetype in (0, 1):
        recorded_pages = sum(1 << order for order, kind, _ in theirs if kind == migratetype)
        our_pages = sum(1 << order for order, kind, _ in ours if kind == migratetype)
        assert abs(our_pages - recorded_pages) <= max(share * recorded_pages, shift)


def test_one_file_matches_request_by_request() -> None:
    """The recording with no background noise and no grace period is generated without a single difference."""
    data = recording("a_page_4g_4096")
    assert tokens(generated(data).out) == recorded_requests(data)


def test_fork_orders_all_but_slab_pages_exactly() -> None:
    """Stacks, page tables, copies and secret pages of every task come in the recorded order."""
    data = recording("c_page_4g_1024")
    theirs, ours = recorded_requests(data), tokens(generated(data).out)
    assert [token for token in ours if token[2] != "slab"] == [
        token for token in theirs if token[2] != "slab"
    ]


def test_exit_gives_back_what_the_recorded_exits_gave() -> None:
    """After all tasks have gone the same slabs are left over as on the real kernel, so free memory agrees."""
    data = recording("c_page_4g_1024")
    workload = generated(data)
    ours = Counter((r.kind, r.order) for r in workload.exit_all() if isinstance(r, Release))
    theirs = _recorded_releases(data)
    for level in ("pte", "pmd", "pud", "p4d"):
        assert ours[f"page_table:{level}", 0] == theirs[f"page_table:{level}", 0]
    assert ours["mmu_gather", 0] == theirs["mmu_gather", 0]
    by_order = {
        order: sum(n for (kind, o), n in ours.items() if kind.startswith("slab") and o == order)
        for order in (1, 3)
    }
    proc_inodes = sum(n for (kind, _), n in theirs.items() if kind == "slab:proc_alloc_inode")
    for order, count in by_order.items():
        recorded_count = sum(n for (kind, o), n in theirs.items() if kind.startswith("slab") and o == order)
        recorded_count -= proc_inodes if order == 1 else 0
        assert abs(count - recorded_count) <= 0.06 * recorded_count
    # Two stacks stay on the CPU for the next tasks, which the footprints leave out.
    assert 0 <= ours["kernel_stack", 0] - theirs["kernel_stack", 0] <= 8


def _recorded_releases(data: dict[str, Any]) -> Counter[tuple[str, int]]:
    events = data["allocator_events"]
    requests, rows, sites = iter(events["request"]), events["requests"]["rows"], events["sites"]["rows"]
    peak = next(s["event_index"] for s in data["samples"] if s["label"] == "peak")
    owner: dict[int, str] = {}
    out: Counter[tuple[str, int]] = Counter()
    pfn = 0
    for index, op in enumerate(events["op"]):
        pfn += events["pfn_delta"][index]
        site = sites[rows[next(requests)][3]][0] if op in "ABKfgFDIP" else ""
        if op in "ABK":
            owner[pfn] = site
        elif op in "fgF":
            kind = owner.pop(pfn, "")
            if index > peak:
                out[kind, int(events["order"][index], 36)] += 1
    return out


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("fork_bomb-4g-page-minimal", "minimal_6_1"),
        ("fork_bomb-4g-page-distribution", "distribution_6_1"),
    ],
)
def test_memory_per_task_agrees_with_the_counters(name: str, preset: str) -> None:
    """The sum of a task's footprint is what free memory falls by per task, to 1 %."""
    task = ["fork", "fork_returns", "child_starts", "parent_resumes"]
    file = ["memfd_secret", "mmap_file", "secret_fault"]
    assert _kb_per_run(preset, task + file) == pytest.approx(_recorded_slope(name, "fork"), rel=0.01)


def test_memory_per_file_agrees_with_the_counters() -> None:
    """The same for files of one page on the distribution kernel, to 3 %."""
    steps = ["memfd_secret", "mmap_fixed", "secret_fault"]
    recorded = _recorded_slope("many_files-4g-page-distribution", "memfd")
    assert _kb_per_run("distribution_6_1", steps) == pytest.approx(recorded, rel=0.03)


def _kb_per_run(preset: str, operations: list[str]) -> float:
    footprints = load_footprints(preset)
    return 4 * sum(sum(footprints.pages_per_run(operation).values()) for operation in operations)


def _recorded_slope(name: str, label: str) -> float:
    data = _read(RECORDINGS / "counters" / f"{name}.json.gz")
    samples = [s for s in data["samples"] if s["label"] == label]
    middle = next(s for s in samples if s["secret_pages"] >= samples[-1]["secret_pages"] // 8)
    last = samples[-1]
    return float((middle["free_kb"] - last["free_kb"]) / (last["secret_pages"] - middle["secret_pages"]))
