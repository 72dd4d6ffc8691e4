"""Loading: inheritance by ``base:``, overrides by ``--set``, and errors that name their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcore.config import from_mapping, load
from simcore.errors import ConfigError
from simcore.yaml_source import Position


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return directory


def test_a_base_is_merged_below_and_positions_tell_the_files_apart(tmp_path: Path) -> None:
    write(
        tmp_path,
        base="machine: {memory: 64GiB, cpus: 4}\nlist: [1, 2]\n",
        child="base: base.yaml\nmachine:\n  cpus: 8\nlist: [3]\n",
    )
    loaded = load(tmp_path / "child.yaml")
    assert loaded.data == {"machine": {"memory": "64GiB", "cpus": 8}, "list": [3]}
    assert loaded.positions["machine", "memory"] == Position(str(tmp_path / "base.yaml"), 1)
    assert loaded.positions["machine", "cpus"] == Position(str(tmp_path / "child.yaml"), 3)
    assert ("list", 1) not in loaded.positions


def test_bases_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.yaml").write_text("base: c.yaml\nx: 1\n")
    (tmp_path / "sub" / "c.yaml").write_text("x: 0\ny: 2\n")
    write(tmp_path, a="base: sub/b.yaml\n")
    assert load(tmp_path / "a.yaml").data == {"x": 1, "y": 2}


def test_bases_that_inherit_from_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path, a="base: b.yaml\n", b="x: 1\nbase: a.yaml\n")
    with pytest.raises(
        ConfigError, match=r"b\.yaml:2: base: files inherit from each other: a.yaml -> b.yaml -> a.yaml"
    ):
        load(tmp_path / "a.yaml")


def test_a_missing_base_is_the_fault_of_the_file_that_names_it(tmp_path: Path) -> None:
    write(tmp_path, a="x: 1\nbase: bose.yaml\n", base="y: 1\n")
    with pytest.raises(
        ConfigError, match=r"a\.yaml:2: base: 'bose\.yaml': no such file; did you mean 'base\.yaml'\?"
    ):
        load(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "message"), [("", "empty"), ("- 1\n", "holds a list"), ("base: 3\n", "not a file name")]
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, a=text)
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "a.yaml")


def test_a_directory_or_missing_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, fork_bomb="x: 1\n")
    with pytest.raises(ConfigError, match="is a directory"):
        load(tmp_path)
    with pytest.raises(ConfigError, match=r"did you mean 'fork_bomb\.yaml'"):
        load(tmp_path / "fork_bom.yaml")


def test_overrides_are_yaml_and_create_what_is_missing(tmp_path: Path) -> None:
    write(tmp_path, a="machine: {cpus: 1}\nitems: [{x: 1}]\nexpect:\n  tasks.alive: '== 1'\n")
    loaded = load(
        tmp_path / "a.yaml",
        [
            "machine.cpus=2",
            "kernel.policy=page",
            "rate=1e-3",
            "items.0.x=[1, 2]",
            "expect.tasks.alive=> 3",
            "none=",
        ],
    )
    assert loaded.data == {
        "machine": {"cpus": 2},
        "kernel": {"policy": "page"},
        "rate": 0.001,
        "items": [{"x": [1, 2]}],
        "expect": {"tasks.alive": "> 3"},
        "none": None,
    }
    assert loaded.positions["machine", "cpus"] == Position("--set machine.cpus=2", None)


def test_overrides_from_python_leave_the_callers_objects_alone() -> None:
    mapping = {"a": {"b": 1}}
    value = {"c": [1]}
    loaded = from_mapping(mapping, {"a.b": value})
    loaded.data["a"]["b"]["c"].append(2)
    assert mapping == {"a": {"b": 1}}
    assert value == {"c": [1]}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cpus", "expected key.path=value"),
        ("=3", "expected key.path=value"),
        ("a.b=3", "below a single value"),
        ("l.9=3", "below a single value"),
        ("l.x=3", "below a single value"),
        ("a=[1", "not valid YAML"),
    ],
)
def test_overrides_that_do_not_fit_are_refused(tmp_path: Path, override: str, message: str) -> None:
    write(tmp_path, a="a: 1\nl: [1]\n")
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "a.yaml", [override])
