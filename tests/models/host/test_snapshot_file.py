"""The file of a snapshot."""

from pathlib import Path

import pytest

from models.host.snapshot import take_snapshot
from models.host.snapshot_file import describe, to_yaml
from models.machine.snapshot import PageSnapshot, load_snapshot
from tests.models.host.proc_machines import MACHINES, sources


@pytest.mark.parametrize("machine", MACHINES)
def test_a_snapshot_is_read_back_as_it_was_written(machine: str, tmp_path: Path) -> None:
    """The file is the only thing that a simulation sees."""
    snapshot = take_snapshot(sources(machine))
    path = tmp_path / "machine.yaml"
    path.write_text(to_yaml(snapshot), encoding="utf-8")
    assert load_snapshot(path) == snapshot
    assert len(describe(snapshot, tmp_path)) > len(snapshot.provenance)


def test_pages_are_read_back(tmp_path: Path) -> None:
    """Pages given back are told by CPU."""
    pages = PageSnapshot(
        free="10+4", unmarked="20+1", types=((0, 4, "Movable"),)
    )
    snapshot = take_snapshot(sources("zen5_guest_24g")).model_copy(update={"pages": pages})
    path = tmp_path / "machine.yaml"
    path.write_text(to_yaml(snapshot), encoding="utf-8")
    assert load_snapshot(path).pages == pages
