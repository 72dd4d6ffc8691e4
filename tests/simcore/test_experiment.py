"""Experiments: engine keys and model keys in one mapping, models by name, effective configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from simcore.errors import ConfigError
from simcore.experiment import Experiment, schema
from simcore.model import find_model, load_object

MODEL = "tests.simcore.queue_model:QueueModel"


def test_keys_go_to_the_engine_or_to_the_model(tmp_path: Path) -> None:
    path = tmp_path / "my_queue.yaml"
    path.write_text(f"model: {MODEL}\nuntil: 5ms\nservers: 3\nbuffer: 1MiB\ndesign: {{grid: {{}}}}\n")
    experiment = Experiment.load(path, ["seed=7"])
    assert (experiment.name, experiment.keys.until, experiment.keys.seed) == ("my_queue", 5_000_000, 7)
    config: Any = experiment.config
    assert (config.servers, config.buffer) == (3, 1 << 20)


def test_the_effective_configuration_reads_back_to_itself() -> None:
    experiment = Experiment.from_mapping({"model": MODEL, "until": "1ms", "expect": {"queue.served": "> 1"}})
    effective = experiment.effective()
    again = Experiment.from_mapping(effective)
    assert again.effective() == effective
    assert again.config == experiment.config
    assert again.keys == experiment.keys


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "direct_mop"}, "no model 'direct_mop'.*did you mean 'direct_map'"),
        ({"model": "no.such.module:X"}, "cannot be imported"),
        ({"model": "tests.simcore.queue_model:QueueModl"}, "did you mean 'QueueModel'"),
        ({"model": "tests.simcore.queue_model:deque"}, "is not a model"),
        ({"servrs": 2}, "servrs: unknown key.*did you mean 'servers'"),
        ({"sead": 2}, "sead: unknown key.*did you mean 'seed'"),
        ({"seed": -1}, "seed: -1; expected greater than or equal to 0"),
        ({"record": {"max_points": 3}}, "record.max_points: 3"),
        ({"until": "3 parsec"}, "until: .*unknown unit 'parsec'"),
        ({"expect": {"queue.served": "3 >"}}, "expect.queue.served"),
        ({"expect": ["import os"]}, "expect.0"),
        ({"name": ""}, "name"),
    ],
)
def test_bad_experiments_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Experiment.from_mapping({"model": MODEL} | change)


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("a b/../c", "a-b-..-c"),
        ("<script>", "script"),
        ("..", "experiment"),
        ("größe_1.5", "größe_1.5"),
        ("/", "experiment"),
    ],
)
def test_a_name_becomes_a_harmless_directory(name: str, directory: str) -> None:
    assert Experiment.from_mapping({"model": MODEL, "name": name}).directory_name == directory


def test_the_schema_accepts_what_is_valid_and_refuses_what_is_not() -> None:
    found = schema(MODEL)
    jsonschema.Draft202012Validator.check_schema(found)
    validator = jsonschema.Draft202012Validator(found)
    assert validator.is_valid(
        {"model": MODEL, "servers": 2, "buffer": "4KiB", "expect": {"x": "> 1"}, "base": "b.yaml"}
    )
    assert not validator.is_valid({"servrs": 2})
    assert not validator.is_valid({"buffer": "4KB"})
    assert not validator.is_valid({"order": "random"})


def test_models_and_objects_are_found_by_name() -> None:
    assert find_model(MODEL).__name__ == "QueueModel"
    assert load_object("collections:deque").__name__ == "deque"
    with pytest.raises(ConfigError, match="names no class"):
        load_object("collections")
