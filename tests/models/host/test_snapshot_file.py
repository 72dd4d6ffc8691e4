"""The file of a snapshot."""

from pathlib import Path

import pytest
import yaml

from models.host.snapshot import take_snapshot
from models.host.snapshot_file import describe, to_yaml
from models.machine.snapshot import load_snapshot
from models.machine.snapshot_parts import ListSnapshot, PageSnapshot
from simcore.errors import ConfigError
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
    """Page by page, and list by list in their order."""
    pages = PageSnapshot(free="10+4", unmarked="20+1", types=((0, 4, "Movable"),))
    part = {"node": 0, "zone": "Normal", "type": "Unmovable"}
    lists = ListSnapshot.model_validate(
        {
            "buddy": [{**part, "order": 1, "pfns": "1f0 4 a2"}],
            "per_cpu": [{**part, "order": 0, "cpu": 1, "pfns": "9 3 100"}],
        }
    )
    snapshot = take_snapshot(sources("zen5_guest_24g")).model_copy(update={"pages": pages, "lists": lists})
    path = tmp_path / "machine.yaml"
    path.write_text(to_yaml(snapshot), encoding="utf-8")
    assert (load_snapshot(path).pages, load_snapshot(path).lists) == (pages, lists)


@pytest.mark.parametrize("pfns", ["8 a", "4 4", "5"])
def test_impossible_lists_are_refused(pfns: str, tmp_path: Path) -> None:
    """A page on two lists would be handed out twice, and an unaligned block is none."""
    part = {"node": 0, "zone": "Normal", "type": "Unmovable"}
    lists = {
        "buddy": [{**part, "order": 1, "pfns": pfns}],
        "per_cpu": [{**part, "order": 0, "cpu": 0, "pfns": "b"}],
    }
    document = yaml.safe_load(to_yaml(take_snapshot(sources("zen5_guest_24g")))) | {"lists": lists}
    path = tmp_path / "machine.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ConfigError, match="a page lies on two lists, or a block is not aligned"):
        load_snapshot(path)
