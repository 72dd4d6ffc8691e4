"""YAML's scalars: they mean what their reader expects, and are written so that they mean it again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.yaml_scalars import dump_yaml, parse_scalar
from simcore.yaml_source import parse_yaml


def value(text: str) -> Any:
    return parse_yaml(text, "f.yaml").value


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("1e-3", 0.001),
        ("1e9", 1e9),
        ("-1.5E+3", -1500.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("-.inf", float("-inf")),
        ("12:30:00", "12:30:00"),
        ("1:30", "1:30"),
        ("2020-09-17", "2020-09-17"),
        ("64GiB", "64GiB"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", 1000),
        ("-7", -7),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!float 1", 1.0),
        ("1.2.3", "1.2.3"),
        ("=", "="),
    ],
)
def test_scalars_mean_what_their_reader_expects(text: str, meaning: Any) -> None:
    found = value(f"key: {text}\n")["key"]
    assert (type(found), found) == (type(meaning), meaning)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(
        ["on", "1e-3", "12:30:00", "0o7", "null", "~", "", "1_0", "2020-01-01", "<<", "=", ".5", "- a"]
    ),
)
KEYS = st.text(
    st.characters(categories=["L", "N"], include_characters="._- "), min_size=1, max_size=8
).filter(lambda key: isinstance(parse_scalar(key), str))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3)), max_size=5))
def test_what_is_dumped_reads_back_the_same(data: dict[str, Any]) -> None:
    """The effective configuration of a run must start the same run again."""
    assert value(dump_yaml(data)) == data
