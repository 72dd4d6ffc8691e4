"""An experiment: the engine's keys and the model's, validated, from one YAML mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from simcore.config import Loaded, Overrides, from_mapping, load
from simcore.errors import ConfigError
from simcore.expect import Check, Expectations, parse_checks
from simcore.model import Model, find_model
from simcore.units import Nanoseconds
from simcore.validation import validate

__all__ = ["SWEEP_KEYS", "EngineKeys", "Experiment", "RecordKeys", "schema"]

#: Keys that only a sweep reads; one run of the experiment leaves them alone.
SWEEP_KEYS = ("design", "replications", "stop", "keep", "timeout")


class RecordKeys(BaseModel):
    """What a run keeps of its series."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_points: int = Field(
        default=65536,
        ge=16,
        le=1 << 24,
        description="Cap on rows per series; beyond it, buckets of time are merged.",
    )
    series: list[str] = Field(
        default=["*"],
        description="Patterns of names to write to series.parquet; all count for the fingerprint.",
    )


class EngineKeys(BaseModel):
    """The keys of an experiment that every model has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    name: str = Field(
        default="experiment", min_length=1, max_length=200, description="Shown, and names the output."
    )
    description: str = Field(default="", description="What the experiment shows.")
    model: str | None = Field(default=None, description="An installed model, or module:Class.")
    seed: int = Field(default=0, ge=0, lt=1 << 64, description="Root of all random streams.")
    replication: int = Field(default=0, ge=0, lt=1 << 32, description="Which repetition; moves every stream.")
    until: Nanoseconds | None = Field(default=None, description="The run ends here at the latest.")
    record: RecordKeys = RecordKeys()
    expect: Expectations = Field(default={}, description="Conditions that the results must fulfil.")


@dataclass(frozen=True)
class Experiment:
    """A validated experiment; a run is a function of it and nothing else.

    Attributes:
        keys: The engine's part.
        model: The model's class.
        config: The model's part.
        checks: Conditions of ``expect:``.
        loaded: Where it came from; places errors that turn up later.
    """

    keys: EngineKeys
    model: type[Model]
    config: BaseModel
    checks: list[Check]
    loaded: Loaded

    @classmethod
    def load(cls, path: Path | str, overrides: Overrides = ()) -> Experiment:
        """Read an experiment from a file.

        Raises:
            ConfigError: Anything wrong with it, with file, line and key.
        """
        return cls.from_loaded(load(path, overrides))

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], overrides: Overrides = ()) -> Experiment:
        """Return an experiment that Python code describes.

        Raises:
            ConfigError: Anything wrong with it.
        """
        return cls.from_loaded(from_mapping(data, overrides))

    @classmethod
    def from_loaded(cls, loaded: Loaded) -> Experiment:
        """Validate a loaded configuration. Keys of sweeps are left to the sweep.

        Raises:
            ConfigError: Anything wrong with it.
        """
        engine_names = set(EngineKeys.model_fields)
        engine = {key: value for key, value in loaded.data.items() if key in engine_names}
        if loaded.path is not None:
            engine.setdefault("name", loaded.path.stem)
        keys = validate(EngineKeys, engine, loaded)
        try:
            model = find_model(keys.model)
            checks = parse_checks(keys.expect)
        except ConfigError as error:
            raise loaded.located(error) from None
        own = {
            key: value
            for key, value in loaded.data.items()
            if key not in engine_names and key not in SWEEP_KEYS
        }
        config = validate(model.Config, own, loaded, [*sorted(engine_names), "base", *SWEEP_KEYS])
        return cls(keys, model, config, checks, loaded)

    @property
    def name(self) -> str:
        """Name of the experiment: as given, else that of its file."""
        return self.keys.name

    @property
    def directory_name(self) -> str:
        """The name, reduced to what any file system takes."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip("-.")[:100] or "experiment"

    def effective(self) -> dict[str, Any]:
        """Return the configuration with all defaults, as plain values that ``from_mapping`` reads back."""
        keys = self.keys.model_dump(mode="json", exclude_none=True)
        return keys | self.config.model_dump(mode="json", exclude_none=True, by_alias=True)


def schema(model_name: str | None = None) -> dict[str, Any]:
    """Return the JSON schema of an experiment file for a model.

    Raises:
        ConfigError: No such model.
    """
    from simcore.reference import describe  # noqa: PLC0415 - it imports this module
    from simcore.sweep.plan import SweepConfig  # noqa: PLC0415 - likewise

    model = find_model(model_name)
    result = model.Config.model_json_schema(schema_generator=_AsWritten)
    describe(result, model.Config)
    engine = EngineKeys.model_json_schema()
    definitions = engine.pop("$defs", {}) | result.pop("$defs", {})
    base = {"type": "string", "description": "Another file, relative to this one, that this one builds upon."}
    sweep = SweepConfig.model_json_schema()
    describe(sweep, SweepConfig)
    definitions |= sweep.pop("$defs", {})
    sweep_keys = {key: sweep["properties"][key] for key in SWEEP_KEYS}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "simcore experiment",
        "type": "object",
        "properties": engine["properties"] | {"base": base} | sweep_keys | result.get("properties", {}),
        "additionalProperties": False,
        "$defs": definitions,
    }
    _ask_for_nothing(whole)
    return whole


class _AsWritten(GenerateJsonSchema):
    """The schema of what may be written: a value that is read by a function first has short forms too."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Return the schema of the value, or of a text or list that stands for it."""
        return {"anyOf": [super().function_before_schema(schema), {"type": ["string", "array", "integer"]}]}


def _ask_for_nothing(schema: Any) -> None:
    """Drop what a schema requires: a base may bring it, so an editor must not ask for it in every file.

    What forbids other keys is moved to where the keys are listed.
    """
    if isinstance(schema, dict):
        if isinstance(schema.get("required"), list):
            del schema["required"]
        if "oneOf" in schema:  # without its kind, a mapping may be of several
            schema["anyOf"] = schema.pop("oneOf")
            schema.pop("discriminator", None)
        if "anyOf" in schema and "properties" not in schema and schema.get("additionalProperties") is False:
            del schema["additionalProperties"]
            for part in schema["anyOf"]:
                if "anyOf" in part or "properties" in part:
                    part["additionalProperties"] = False
        for inner in schema.values():
            _ask_for_nothing(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _ask_for_nothing(inner)
