"""The store: parts are whole or absent, duplicates count once, a full disk loses nothing finished."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from simcore.sweep import store_files
from simcore.sweep.errors import StoreError
from simcore.sweep.store import MERGE_FROM, Store


def row(identity: str, status: str = "done", started_at: float = 0.0, **metrics: Any) -> dict[str, Any]:
    return {
        "identity": identity, "replication": 0, "status": status, "error": None, "wall_s": 0.5,
        "started_at": started_at, "worker": "host:1", "attempts": 1, "traceback": None, "model_version": "m",
        "simcore_version": "s", "python_version": "p", **metrics,
    }  # fmt: skip


def plan_of(*identities: str, **columns: list[Any]) -> pa.Table:
    count = len(identities)
    return pa.table({"identity": list(identities), "point": list(range(count)), "replication": [0] * count, **columns})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "sweep")
    with made.lock():
        pass
    return made


def test_rows_come_back_in_the_order_of_the_plan(store: Store) -> None:
    """Whatever part a row lies in, the table follows the plan; runs outside of the plan are not shown."""
    store.append([row("c", pages=3), row("x", pages=9)])
    store.append([row("a", pages=1), row("b", pages=2)])
    store.write_plan(plan_of("a", "b", "c", "later", size=[10, 20, 30, 40]))
    table = store.to_table()
    assert table["identity"].to_pylist() == ["a", "b", "c"]
    assert table["pages"].to_pylist() == [1, 2, 3]
    assert table["size"].to_pylist() == [10, 20, 30]
    assert store.recorded() == dict.fromkeys("abcx", ("done", 0.5))
    assert store.manifest().num_rows == 4


def test_done_counts_before_failed_and_newer_before_older(store: Store) -> None:
    """A retried run replaces its failure; a late failure does not replace a success."""
    store.append([row("a", "failed", 1.0), row("b", "done", 1.0, n=1), row("c", "failed", 1.0)])
    store.append([row("a", "done", 2.0, n=2), row("b", "failed", 2.0), row("c", "timeout", 2.0)])
    assert {name: status for name, (status, _) in store.recorded().items()} == {
        "a": "done", "b": "done", "c": "timeout",
    }  # fmt: skip


def test_what_a_killed_writer_left_is_never_read(store: Store) -> None:
    """A half-written part has another name; it is ignored, and cleared by the next sweep."""
    store.append([row("a", n=1)])
    whole = next(store.parts.glob("*.parquet"))
    half = whole.with_name(f".{whole.name}.123.tmp")
    half.write_bytes(whole.read_bytes()[:100])
    assert list(store.recorded()) == ["a"]
    with store.lock():
        assert not half.exists()
    assert list(store.recorded()) == ["a"]


def test_merging_keeps_every_row_even_when_killed_in_the_middle(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between writing the merged part and removing the others all rows are there twice, and count once."""
    for number in range(MERGE_FROM):
        store.append([row(f"{number:03}", n=number, started_at=float(number))])
    store.write_plan(plan_of(*(f"{number:03}" for number in range(MERGE_FROM))))
    before = store.to_table()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.merge()
    assert len(list(store.parts.glob("*.parquet"))) == MERGE_FROM + 1
    assert store.to_table().equals(before)
    store.merge()
    assert len(list(store.parts.glob("*.parquet"))) == 1
    assert store.to_table().equals(before)


def test_a_full_disk_is_one_clear_error_and_leaves_no_debris(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says that nothing finished is lost, and so it is."""
    store.append([row("a", n=1)])

    def write_half(path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_files, "_write_file", write_half)
        with pytest.raises(StoreError, match=r"no space left .* is kept"):
            store.append([row("b", n=2)])
    assert sorted(path.suffix for path in store.parts.iterdir()) == [".parquet"]
    assert list(store.recorded()) == ["a"]
    store.append([row("b", n=2)])
    assert sorted(store.recorded()) == ["a", "b"]


def test_two_sweeps_do_not_share_a_directory_at_a_time(store: Store) -> None:
    with store.lock(), pytest.raises(StoreError, match="in use"), Store(store.directory).lock():
        pass


def test_no_sweep_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no sweep"):
        Store.open(tmp_path)


def test_a_damaged_part_is_named(store: Store) -> None:
    (store.parts / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(StoreError, match=r"bad\.parquet cannot be read"):
        store.recorded()
