"""Editor support: the schema beside the configurations is current, and fits every one of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from simcore.experiment import schema

CONFIGS = Path(__file__).parents[2] / "configs"
EXPERIMENTS = sorted(path for path in CONFIGS.rglob("*.yaml") if "bystanders" not in path.parts)


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((CONFIGS / "schema.json").read_text(encoding="utf-8"))
    return content


def test_the_schema_is_current(kept: dict[str, Any]) -> None:
    """Whoever changes a key writes it anew: `simcore schema --out configs/schema.json`."""
    assert kept == schema()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_experiment_names_it_and_fits(path: Path, kept: dict[str, Any]) -> None:
    """An editor finds the schema by the first line, and marks nothing that runs."""
    there = os.path.relpath(CONFIGS / "schema.json", path.parent)
    assert path.read_text(encoding="utf-8").splitlines()[0] == f"# yaml-language-server: $schema={there}"
    jsonschema.Draft202012Validator(kept).validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_it_refuses_what_does_not_run(kept: dict[str, Any]) -> None:
    """A schema that takes everything helps nobody: unknown keys and wrong kinds are marked."""
    wrong: list[dict[str, Any]] = [
        {"machin": {}},
        {"machine": {"memroy": "4GiB"}},
        {"machine": {"memory": "4 parsecs"}, "kernel": {"secretmem": {"polcy": "page"}}},
        {"workloads": {"bomb": {"kind": "fork_bomb", "taks": 5}}},
        {"until": "soon"},
    ]
    for document in wrong:
        assert not jsonschema.Draft202012Validator(kept).is_valid(document), document


def test_it_explains_keys(kept: dict[str, Any]) -> None:
    """What an editor shows beside a key is what the class says of it."""
    assert "tasks" in kept["$defs"]["ForkBombConfig"]["properties"]["hold"]["description"] or (
        kept["$defs"]["ForkBombConfig"]["properties"]["hold"]["description"].startswith("how long")
    )
