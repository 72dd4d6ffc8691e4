from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.host.recording import AllocatorRecording, CountersRecording, RecordingError, read_recording
from simcore.errors import SimcoreError
from tests.models.host.edited_recordings import (
    ALLOCATOR,
    COUNTERS,
    RECORDINGS,
    Edit,
    aux_at,
    event_at,
    load,
    put_letter,
    repeat_event,
    request_at,
    smallest,
    store,
)

SMALL = smallest(ALLOCATOR)
SMALL_COUNTERS = smallest(COUNTERS)


def unruns(runs: list[int]) -> list[int]:
    out = []
    for at in range(0, len(runs), 3):
        out += [runs[at] + i * runs[at + 2] for i in range(runs[at + 1])]
    return out


def refusal(data: Any, path: Path) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        read_recording(store(data, path))
    assert str(caught.value).startswith(str(path))
    return caught.value


@pytest.mark.parametrize("path", sorted(RECORDINGS.rglob("*.json.gz")), ids=lambda path: path.name[:-8])
def test_every_recording_is_accepted(path: Path) -> None:
    """No check may be stricter than the recorded kernels."""
    recording = read_recording(path)
    assert recording.name == path.name.removesuffix(".json.gz")
    if path.parent.name == "counters":
        assert isinstance(recording, CountersRecording)
    else:
        assert isinstance(recording, AllocatorRecording)
        assert recording.events.op[-1] == ord("M")


@pytest.mark.parametrize("name", ["a_page_4g_4096", "c_page_4g_512_2cpu", "b_page_1g_steal"])
def test_events_are_decoded_as_the_format_says(name: str) -> None:
    """The arrays hold what the format's own reference decoder yields, event by event."""
    path = ALLOCATOR / f"{name}.json.gz"
    data = load(path)
    recording = read_recording(path)
    assert isinstance(recording, AllocatorRecording)
    events = recording.events
    expected = list(reference_events(data["allocator_events"]))
    assert len(events) == len(expected)
    for column in ("cpu", "zone", "order", "type", "pfn", "pid"):
        np.testing.assert_array_equal(getattr(events, column), [event[column] for event in expected])
    assert bytes(events.op).decode() == "".join(event["op"] for event in expected)
    np.testing.assert_array_equal(events.aux, [(event["aux"] + [-1] * 4)[:4] for event in expected])
    for at, column in enumerate(("gfp", "alloc_flags", "context", "site")):
        wanted = [-1 if event["request"] is None else event["request"][at] for event in expected]
        np.testing.assert_array_equal(getattr(events, column), wanted)
    assert [[site.kind, site.stack] for site in events.sites] == data["allocator_events"]["sites"]["rows"]


def reference_events(stream: Any) -> Iterator[dict[str, Any]]:
    """The decoder of the recordings' README."""
    pfn = 0
    requests, aux = iter(stream["request"]), iter(stream["aux"])
    pids = (pid for pid, count in stream["pid"] for _ in range(count))
    counts = dict.fromkeys("KfgrdDWRVmuSHUFL", 1)
    counts.update(X=4, Y=3)
    for at, op in enumerate(stream["op"]):
        pfn += stream["pfn_delta"][at]
        yield {
            "op": op,
            "cpu": int(stream["cpu"][at]) if len(stream["cpu"]) > 1 else 0,
            "zone": int(stream["zone"][at], 36),
            "order": int(stream["order"][at], 36),
            "type": int(stream["type"][at], 36),
            "pfn": pfn,
            "pid": next(pids),
            "request": stream["requests"]["rows"][next(requests)] if op in "ABKfgFDIP" else None,
            "aux": [next(aux) for _ in range(counts.get(op, 0))],
        }


@pytest.mark.parametrize("name", ["b_page_2g_steal", "b_pagewise_4g_512", "c_page_4g_512_2cpu"])
@pytest.mark.parametrize("which", ["initial", "final"])
def test_state_is_unrolled_as_the_format_says(name: str, which: str) -> None:
    """Lists keep their order, types and overrides; pageblocks their runs."""
    path = ALLOCATOR / f"{name}.json.gz"
    data = load(path)
    recording = read_recording(path)
    raw, state = data[which], getattr(recording, which)
    zones = {zone["name"]: zone["index"] for zone in data["machine"]["zones"]}
    types = ["Unmovable", "Movable", "Reclaimable", "HighAtomic"]
    assert len(state.free_lists) == len(raw["free_lists"])
    for held in raw["free_lists"]:
        key = (zones[held["zone"]], held["order"], types.index(held["type"]))
        assert state.free_lists[key].tolist() == unruns(held["pfns"])
    for one in raw["pcp"]:
        pcp = state.pcp[zones[one["zone"]], one["cpu"]]
        assert pcp.count == sum(len(held.pfns) << held.order for held in pcp.lists.values()) == one["count"]
        overrides = dict(map(tuple, one["type_overrides"]))
        for held in one["lists"]:
            assert pcp.lists[held["index"]].pfns.tolist() == unruns(held["pfns"])
            usual = types.index(held["type"]) if held["type"] != "any" else None
            wanted = [overrides.get(pfn, usual) for pfn in unruns(held["pfns"])]
            assert pcp.lists[held["index"]].remembered_types.tolist() == wanted
    for one in raw["pageblocks"]:
        wanted = [kind for kind, count in one["runs"] for _ in range(count)]
        assert state.pageblocks[zones[one["zone"]]].types.tolist() == wanted
    assert state.direct_map.runs.tolist() == raw["direct_map"]["runs"]


def test_a_recording_cannot_be_changed() -> None:
    """Two comparisons of one recording must see the same."""
    recording = read_recording(SMALL)
    assert isinstance(recording, AllocatorRecording)
    with pytest.raises(ValueError, match="read-only"):
        recording.events.pfn[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        next(iter(recording.initial.free_lists.values()))[0] = 1


def zone(data: Any, at: int = 0) -> Any:
    return data["machine"]["zones"][at]


def longest(lists: Any) -> Any:
    return max(lists, key=lambda one: len(one["pfns"]))


def set_in(*path: Any, to: Any) -> Edit:
    def edit(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return edit


def free_a_free_page(data: Any) -> None:
    """Put the first block of a free list on a per-CPU list as well."""
    pcp = data["initial"]["pcp"][0]
    held = next(
        one for one in data["initial"]["free_lists"] if one["zone"] == pcp["zone"] and one["order"] == 1
    )
    pcp["lists"][0]["pfns"] += [held["pfns"][0], 1, 0]
    pcp["count"] += 1 << pcp["lists"][0]["order"]


def grow_list(data: Any) -> None:
    longest(data["initial"]["free_lists"])["pfns"][1] += 1 << 40


STATE_EDITS: dict[str, tuple[Edit, str]] = {
    "format": (set_in("format", to=2), "format"),
    "no format": (lambda data: data.pop("format"), "format"),
    "tier": (set_in("tier", to="traces"), "tier"),
    "number as text": (set_in("machine", "cpus", to="1"), "machine.cpus"),
    "number as truth": (set_in("initial", "pcp", 0, "count", to=True), "initial.pcp[0].count"),
    "number as fraction": (set_in("samples", 1, "free_kb", to=1.5), "samples[1].free_kb"),
    "policy": (set_in("source", "secretmem_policy", to="none"), "source.secretmem_policy"),
    "workload": (set_in("workload", "type", to="nothing"), "workload.type"),
    "huge machine": (set_in("machine", "memory_bytes", to=1 << 60), "machine.memory_bytes"),
    "zone beyond memory": (lambda data: zone(data, -1).update(spanned=1 << 40), "machine.zones"),
    "zones overlap": (
        lambda data: zone(data, -1).update(start_pfn=zone(data)["start_pfn"]),
        "machine.zones[1]",
    ),
    "more managed": (lambda data: zone(data).update(managed=zone(data)["spanned"]), "machine.zones[0]"),
    "unknown zone": (set_in("initial", "free_lists", 0, "zone", to="HighMem"), "initial.free_lists[0].zone"),
    "order": (set_in("initial", "free_lists", 0, "order", to=11), "initial.free_lists[0].order"),
    "type": (set_in("final", "free_lists", 1, "type", to="Fixed"), "final.free_lists[1].type"),
    "list twice": (
        lambda data: data["initial"]["free_lists"].append(data["initial"]["free_lists"][0]),
        "initial.free_lists[",
    ),
    "half a run": (lambda data: data["initial"]["free_lists"][2]["pfns"].pop(), "initial.free_lists[2].pfns"),
    "endless list": (grow_list, "initial.free_lists"),
    "pfn outside zone": (
        set_in("initial", "free_lists", 0, "pfns", 0, to=1 << 45),
        "initial.free_lists[0].pfns",
    ),
    "pfn beyond 64 bits": (
        set_in("initial", "free_lists", 0, "pfns", 0, to=1 << 70),
        "initial.free_lists[0].pfns",
    ),
    "misaligned": (
        lambda data: data["initial"]["free_lists"][1]["pfns"].__setitem__(
            0, data["initial"]["free_lists"][1]["pfns"][0] + 1
        ),
        "initial.free_lists[1].pfns",
    ),
    "free and on a CPU's list": (free_a_free_page, "initial.pcp[0].lists[0].pfns"),
    "zone counter": (
        set_in("final", "zone_state", 0, "nr_free_pages", to=1),
        "final.zone_state[0].nr_free_pages",
    ),
    "zone without state": (lambda data: data["initial"]["zone_state"].pop(), "initial.zone_state"),
    "pcp count": (set_in("initial", "pcp", 0, "count", to=1), "initial.pcp[0].count"),
    "pcp missing": (lambda data: data["final"]["pcp"].pop(), "final.pcp"),
    "pcp of no CPU": (set_in("initial", "pcp", 0, "cpu", to=1), "initial.pcp[0].cpu"),
    "pcp list": (set_in("initial", "pcp", 0, "lists", 0, "order", to=3), "initial.pcp[0].lists[0]"),
    "override of nothing": (
        set_in("initial", "pcp", 0, "type_overrides", to=[[1, 0]]),
        "initial.pcp[0].type_overrides",
    ),
    "pageblock type": (
        set_in("initial", "pageblocks", 0, "runs", 0, 0, to=77),
        "initial.pageblocks[0].runs[0]",
    ),
    "pageblock count": (set_in("initial", "pageblocks", 0, "runs", 0, 1, to=2000), "initial.pageblocks[0]"),
    "map overlaps": (set_in("initial", "direct_map", "runs", 1, 0, to=0), "initial.direct_map.runs[1]"),
    "map has a gap": (lambda data: data["final"]["direct_map"]["runs"].pop(2), "final.direct_map.runs[2]"),
    "map is cut": (lambda data: data["final"]["direct_map"]["runs"].pop(), "final.direct_map.runs"),
    "table twice": (
        lambda data: data["initial"]["direct_map"]["tables"].append(
            data["initial"]["direct_map"]["tables"][0]
        ),
        "initial.direct_map.tables[",
    ),
    "splits": (
        set_in("final", "direct_map", "counters", "level2_splits", to=77),
        "final.direct_map.counters.level2_splits",
    ),
    "time goes back": (set_in("samples", 2, "time_ns", to=0), "samples[2].time_ns"),
    "sample without event": (set_in("samples", 2, "event_index", to=1 << 40), "samples[2].event_index"),
    "sample lost": (lambda data: data["samples"].pop(), "samples"),
    "sample renumbered": (set_in("samples", 2, "index", to=7), "samples[2].index"),
    "secret page outside": (set_in("secret_pfns", 0, 1, to=1 << 45), "secret_pfns[0]"),
    "secret pages lost": (set_in("secret_pfns", 0, 0, to=1), "secret_pfns[0]"),
    "firmware range": (set_in("machine", "e820", 1, 0, to=0), "machine.e820[1]"),
}


@pytest.mark.parametrize("edit", STATE_EDITS)
def test_an_edited_recording_is_refused_with_the_field(edit: str, tmp_path: Path) -> None:
    """A wrong or impossible value outside of the stream is named by its field."""
    data = load(SMALL)
    change, field = STATE_EDITS[edit]
    change(data)
    error = refusal(data, tmp_path / "edited.json.gz")
    assert error.field is not None
    assert error.field.startswith(field)


STREAM_EDITS: dict[str, tuple[str, Any]] = {
    "unknown operation": ("f", lambda data, at: put_letter(data, "op", at, "z")),
    "letter beyond ASCII": ("f", lambda data, at: put_letter(data, "op", at, "é")),
    "no digit": ("A", lambda data, at: put_letter(data, "order", at, "-")),
    "order": ("A", lambda data, at: put_letter(data, "order", at, "b")),
    "zone": ("A", lambda data, at: put_letter(data, "zone", at, "3")),
    "type": ("A", lambda data, at: put_letter(data, "type", at, "4")),
    "request": (
        "A",
        lambda data, at: set_in("allocator_events", "request", request_at(data, at), to=10**6)(data),
    ),
    "pfn far away": ("f", lambda data, at: set_in("allocator_events", "pfn_delta", at, to=1 << 39)(data)),
    "pfn beyond 64 bits": (
        "f",
        lambda data, at: set_in("allocator_events", "pfn_delta", at, to=1 << 45)(data),
    ),
    "remembered type": (
        "f",
        lambda data, at: set_in("allocator_events", "aux", aux_at(data, at), to=9)(data),
    ),
    "pages of a mapping": (
        "m",
        lambda data, at: set_in("allocator_events", "aux", aux_at(data, at), to=0)(data),
    ),
    "level of a split": ("S", lambda data, at: put_letter(data, "order", at, "1")),
    "region of a split": (
        "S",
        lambda data, at: set_in("allocator_events", "aux", aux_at(data, at), to=3)(data),
    ),
    "blocks of a refill": (
        "r",
        lambda data, at: set_in("allocator_events", "aux", aux_at(data, at), to=-1)(data),
    ),
    "order of a steal": (
        "X",
        lambda data, at: set_in("allocator_events", "aux", aux_at(data, at), to=11)(data),
    ),
}


@pytest.mark.parametrize("edit", STREAM_EDITS)
def test_an_edited_event_is_refused_with_its_index(edit: str, tmp_path: Path) -> None:
    """A value that no event of its kind can have is named by the index of the event."""
    data = load(SMALL)
    letter, change = STREAM_EDITS[edit]
    at = event_at(data, letter)
    change(data, at)
    error = refusal(data, tmp_path / "edited.json.gz")
    assert error.event == at
    assert f"event {at}" in str(error)


@pytest.mark.parametrize("column", ["op", "zone", "order", "type", "pfn_delta", "request", "aux", "pid"])
def test_a_column_that_is_cut_is_refused(column: str, tmp_path: Path) -> None:
    """A column of the wrong length would shift everything after it."""
    data = load(SMALL)
    data["allocator_events"][column] = data["allocator_events"][column][:-1]
    assert refusal(data, tmp_path / "edited.json.gz").field == f"allocator_events.{column}"


def test_a_cpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The stream may only name CPUs of the machine."""
    data = load(ALLOCATOR / "a_page_4g_4096_2cpu.json.gz")
    put_letter(data, "cpu", 5, "2")
    assert refusal(data, tmp_path / "edited.json.gz").event == 5


@given(number=st.integers(0, 10**6), letter=st.sampled_from("Afg"))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_page_freed_or_taken_twice_is_refused_where_it_happens(
    number: int, letter: str, tmp_path: Path
) -> None:
    """Ownership of every page is followed; the second of two equal events is the one that is named."""
    data = load(SMALL)
    occurrences = data["allocator_events"]["op"].count(letter)
    at = event_at(data, letter, number % occurrences)
    repeat_event(data, at)
    error = refusal(data, tmp_path / "edited.json.gz")
    assert error.event == at + 1
    assert ("freed while it is free" if letter in "fg" else "allocated while it is in use") in str(error)


def test_a_lost_free_is_refused_by_the_end_state(tmp_path: Path) -> None:
    """A page that the stream leaves in use cannot be on a final list."""
    data = load(SMALL)
    held = longest(data["final"]["free_lists"])
    count = len(unruns(held["pfns"][-3:])) << held["order"]
    del held["pfns"][-3:]
    state = next(one for one in data["final"]["zone_state"] if one["zone"] == held["zone"])
    state["nr_free_pages"] -= count
    assert "after the last event" in str(refusal(data, tmp_path / "edited.json.gz"))


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_is_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    """Wherever the file or its JSON ends early, nothing of it is used."""
    for source in (SMALL, SMALL_COUNTERS):
        whole = source.read_bytes()
        path = tmp_path / "cut.json.gz"
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(RecordingError, match=r"cut\.json\.gz"):
            read_recording(path)
        text = gzip.decompress(whole)
        path.write_bytes(gzip.compress(text[: int(share * len(text))], compresslevel=1))
        with pytest.raises(RecordingError, match="JSON"):
            read_recording(path)


@pytest.mark.parametrize("source", [SMALL, SMALL_COUNTERS], ids=["allocator", "counters"])
@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_missing_field_is_named(source: Path, data: st.DataObject, tmp_path: Path) -> None:
    """Every documented field that all recordings have is required."""
    recording = load(source)
    parts = ["format", "name", "machine", "initial", "workload", "secret_pfns"]
    place = data.draw(st.sampled_from(parts))
    where, field = recording, place
    while isinstance(where[place], dict) and data.draw(st.booleans()):
        inner = [key for key in where[place] if key not in OPTIONAL]
        if not inner or place in ("parameters", "zones", "free_blocks"):
            break
        where, place = where[place], data.draw(st.sampled_from(inner))
        field = f"{field}.{place}"
    del where[place]
    found = refusal(recording, tmp_path / "edited.json.gz").field or ""
    assert found.split(".")[0] == field.split(".")[0]
    assert found.split(".")[-1] == field.split(".")[-1] or place == "type"


OPTIONAL = {"stop_below_free_kb", "note", "rounds", "compact_after"}


COUNTERS_EDITS: dict[str, tuple[Edit, str]] = {
    "free blocks": (set_in("initial", "free_blocks", "Normal", 10, to=7), "initial.free_blocks.Normal"),
    "orders": (lambda data: data["initial"]["free_blocks"]["Normal"].pop(), "initial.free_blocks.Normal"),
    "zones overlap": (set_in("machine", "zones", "Normal", "start_pfn", to=5), "machine.zones.Normal"),
    "zone without start": (
        lambda data: data["machine"]["zones"]["Normal"].pop("start_pfn"),
        "machine.zones.Normal",
    ),
    "tiles overlap": (set_in("initial", "direct_map_tiles", 1, 0, to=0), "initial.direct_map_tiles[1]"),
    "level": (set_in("initial", "direct_map_tiles", 1, 2, to=4), "initial.direct_map_tiles[1][2]"),
    "time goes back": (set_in("samples", 3, "time_ns", to=1), "samples[3].time_ns"),
    "workload": (set_in("workload", "type", to="nothing"), "workload"),
    "accounting": (set_in("source", "accounting", to="none"), "source.accounting"),
    "build": (set_in("source", "build", to="minima"), "source.build"),
    "repeatable": (set_in("repeatable", to=1), "repeatable"),
    "beyond memory": (set_in("machine", "zones", "Normal", "spanned", to=1 << 40), "machine.zones"),
}


@pytest.mark.parametrize("edit", COUNTERS_EDITS)
def test_an_edited_counters_recording_is_refused(edit: str, tmp_path: Path) -> None:
    """Recordings without events are checked as strictly as far as they go."""
    data = load(SMALL_COUNTERS)
    change, field = COUNTERS_EDITS[edit]
    change(data)
    assert (refusal(data, tmp_path / "edited.json.gz").field or "").startswith(field)


def test_churn_operations_must_fit_their_slots(tmp_path: Path) -> None:
    """A slot cannot be filled twice."""
    data = load(COUNTERS / "churn-4g-page-minimal.json.gz")
    data["workload"]["operations"].insert(1, data["workload"]["operations"][0])
    assert refusal(data, tmp_path / "edited.json.gz").field == "workload.operations[1]"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\x1f\x8b", b'{"format": 1}', b"\xff\xfe"])
def test_what_is_no_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    """Any other file ends in one readable message."""
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(SimcoreError, match=r"other\.json"):
        read_recording(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """No traceback for a mistyped path."""
    with pytest.raises(RecordingError, match="cannot be read"):
        read_recording(tmp_path / "none.json.gz")


@pytest.mark.parametrize("source", [SMALL, SMALL_COUNTERS], ids=["allocator", "counters"])
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_single_edit_ends_in_a_traceback(source: Path, data: st.DataObject, tmp_path: Path) -> None:
    """Whatever one value is replaced with, the recording is read or refused in one message."""
    recording = load(source)
    where, key = recording, data.draw(st.sampled_from(sorted(recording)))
    while isinstance(where[key], dict | list) and where[key] and data.draw(st.integers(0, 9)):
        where = where[key]
        key = data.draw(
            st.sampled_from(sorted(where)) if isinstance(where, dict) else st.integers(0, len(where) - 1)
        )
    where[key] = data.draw(
        st.one_of(
            st.integers(-(1 << 66), 1 << 66),
            st.integers(-2, 4096),
            st.sampled_from([None, True, "", "x", 0.5, [], {}, [[]], [1 << 80]]),
        )
    )
    with contextlib.suppress(RecordingError):
        read_recording(store(recording, tmp_path / "edited.json.gz"))
