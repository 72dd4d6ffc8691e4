"""The schema that editors use for configs/ is the one that the program prints."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from simcore.experiment import schema

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_schema_is_current() -> None:
    """After a change of keys: ``simcore schema --out configs/schema.json``."""
    assert json.loads((CONFIGS / "schema.json").read_text()) == schema()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_files_that_name_the_schema_keep_to_it(path: Path) -> None:
    """An editor finds nothing to complain about."""
    text = path.read_text()
    if text.startswith("# yaml-language-server: $schema=schema.json"):
        document = yaml.safe_load(text)
        if "base" not in document:
            jsonschema.validate(document, json.loads((CONFIGS / "schema.json").read_text()))


def test_the_schema_refuses_what_the_program_refuses() -> None:
    """An unknown key is marked while one types."""
    current = json.loads((CONFIGS / "schema.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"workloads": {"a": {"kind": "one_file"}}, "sede": 1}, current)
