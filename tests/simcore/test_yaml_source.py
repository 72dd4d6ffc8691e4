"""YAML: the traps of PyYAML and YAML 1.1 are closed, unsafe and oversized documents are refused."""

from __future__ import annotations

from typing import Any

import pytest

from simcore.errors import ConfigError
from simcore.yaml_source import Position, parse_yaml


def value(text: str) -> Any:
    return parse_yaml(text, "f.yaml").value


def test_duplicate_keys_are_refused_with_both_lines() -> None:
    with pytest.raises(ConfigError, match=r"f\.yaml:4: machine\.cpus: the key stands twice, first in line 2"):
        value("machine:\n  cpus: 1\n  memory: 2\n  cpus: 3\n")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "!custom 3",
        "!!set {a}",
        "!!binary aa",
    ],
)
def test_tags_are_refused(tag: str) -> None:
    with pytest.raises(ConfigError, match=r"f\.yaml:2: tag .* is not allowed"):
        value(f"a: 1\nb: {tag}\n")


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    with pytest.raises(ConfigError, match="values, counting each use of an alias"):
        value("\n".join(lines))


def test_aliases_in_measure_are_copies() -> None:
    found = value("a: &x {k: [1]}\nb: *x\n")
    assert found == {"a": {"k": [1]}, "b": {"k": [1]}}
    found["a"]["k"].append(2)
    assert found["b"] == {"k": [1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\nb: 3", "f.yaml:2: not valid YAML"),
        ("a: &x [*x]", "contains itself"),
        ("a: *nowhere", "no anchor"),
        ("[" * 100_000, "levels deep"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: a second document"),
        ("<<: {a: 1}", "merge keys"),
        ("[1]: 2", "not a name"),
        ("true: 2", "not a name"),
        ("1.5: 2", "not a name"),
        ("a:\tb\n\tc: 3", "f.yaml:2: not valid YAML"),
        ("a: \x01", "not valid YAML"),
        ("a: !!int x", "is not a int"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        value(text)


def test_size_and_encoding_are_checked() -> None:
    with pytest.raises(ConfigError, match="at most"):
        parse_yaml(b"#" * (5 << 20), "f.yaml")
    with pytest.raises(ConfigError, match=r"f\.yaml:2: byte 0xff is not UTF-8"):
        parse_yaml(b"a: 1\nb: \xff\n", "f.yaml")
    assert parse_yaml("\ufeffa: é\n".encode(), "f.yaml").value == {"a": "é"}


def test_positions_are_those_of_keys_and_items() -> None:
    positions = parse_yaml("a: 1\nb:\n  c:\n  - x\n  - y\n", "f.yaml").positions
    assert positions["b", "c"] == Position("f.yaml", 3)
    assert positions["b", "c", 1] == Position("f.yaml", 5)
