"""Presets by name and from a user's file: what is refused, and that the refusal says where."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from models.machine.preset_files import choose, is_own, read_own
from simcore.errors import ConfigError


class Kettle(BaseModel):
    """A preset of something."""

    model_config = ConfigDict(extra="forbid")

    name: str
    litres: float


def own(tmp_path: Path, text: str) -> Kettle:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return read_own(path, Kettle)


def test_a_file_is_told_from_a_name_by_its_ending() -> None:
    assert [is_own(name) for name in ("mine.yaml", "a/b.yml", "yaml", "haswell")] == [True, True, False, False]


def test_a_preset_is_named_after_its_file_unless_it_has_a_name(tmp_path: Path) -> None:
    assert own(tmp_path, "litres: 1e-1\n") == Kettle(name="mine", litres=0.1)
    assert own(tmp_path, "name: ours\nlitres: 2\n").name == "ours"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("litres: 1\nlitres: 2\n", r"mine\.yaml:2: litres: the key stands twice"),
        ("name: x\nlitre: 2\nlitres: 1\n", r"mine\.yaml:2: litre: unknown key.*did you mean 'litres'"),
        ("litres: on\n", r"mine\.yaml:1: litres"),
        ("- 1\n", r"mine\.yaml: holds a list"),
        ("", r"mine\.yaml: is empty"),
    ],
)
def test_a_file_that_is_no_preset_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    """A key that stands twice would else change a cost unnoticed."""
    with pytest.raises(ConfigError, match=message):
        own(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        read_own(tmp_path / "none.yaml", Kettle)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    assert choose("small", {"small": 1, "large": 2}, "kettle") == 1
    with pytest.raises(ConfigError, match=r"no kettle 'lrage'.*large, small.*did you mean 'large'"):
        choose("lrage", {"small": 1, "large": 2}, "kettle")
