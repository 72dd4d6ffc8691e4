"""What a model is to the engine, and how one is found by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from simcore.errors import ConfigError, SimcoreError, nearest_name

if TYPE_CHECKING:
    import pyarrow as pa
    import simpy

    from simcore.environment import Environment

__all__ = ["MODEL_GROUP", "Model", "WithTables", "find_model", "load_object", "model_names"]

MODEL_GROUP = "simcore.models"


class Model(Protocol):
    """One simulated system, built from its own configuration.

    Attributes:
        Config: The pydantic class of the model's keys. It forbids unknown keys, and reads back what
            ``model_dump(mode="json")`` wrote, since that is what a run directory keeps.
        finished: The run ends when this event is processed; None leaves it to ``until`` or the last event.
    """

    Config: ClassVar[type[BaseModel]]
    finished: simpy.Event | None

    @classmethod
    def build(cls, env: Environment, config: Any) -> Model:
        """Return the model at time 0, its series registered in ``env.recorder``, its processes started."""

    def summary(self) -> Mapping[str, int | float | str]:
        """Return results beyond the final values of series. May be called at any time."""

    def state_digest(self) -> bytes:
        """Return bytes that tell the final state from every other; they go into the fingerprint."""

    def progress(self) -> Mapping[str, int]:
        """Return what a progress display shows, e.g. tasks and splits. Called every now and then."""

    def quantities(self) -> Mapping[str, float]:
        """Return constants of this configuration that conditions may name, e.g. ``machine.memory``."""


@runtime_checkable
class WithTables(Protocol):
    """A model that leaves tables of its own in the run directory."""

    def tables(self) -> Mapping[str, pa.Table]:
        """Return Arrow tables by file name without suffix; called once, at the end of a run."""


def model_names() -> list[str]:
    """Return the names of all installed models, sorted."""
    return sorted(_installed())


@cache
def _installed() -> Mapping[str, EntryPoint]:
    """Return the installed models, looked up once: that takes as long as a short run."""
    return {entry.name: entry for entry in entry_points(group=MODEL_GROUP)}


def find_model(name: str | None) -> type[Model]:
    """Return the model class of this name.

    Args:
        name: An installed model, or ``module:Class``; None stands for the only installed one.

    Raises:
        ConfigError: No such model, a module that cannot be imported, or None with several models installed.
    """
    installed = _installed()
    if name is None:
        if len(installed) != 1:
            there = ", ".join(sorted(installed)) or "none"
            raise ConfigError(f"which model? installed: {there}", key="model")
        name = next(iter(installed))
    if name in installed:
        found = _load_entry(installed[name])
    elif ":" in name:
        found = load_object(name, key="model")
    else:
        raise ConfigError(
            f"there is no model {name!r}",
            key="model",
            expected=f"one of {', '.join(sorted(installed)) or '(none installed)'}, or module:Class",
            nearest=nearest_name(name, installed),
        )
    if not (isinstance(getattr(found, "Config", None), type) and callable(getattr(found, "build", None))):
        raise ConfigError(f"{name!r} is not a model", key="model", expected="a class with Config and build()")
    model: type[Model] = found
    return model


def load_object(name: str, key: str | None = None) -> Any:
    """Return what ``module:attribute`` names; modules in the working directory are found too.

    Args:
        name: Such as ``my_policies:LazyPool``.
        key: The configuration key that asked, for messages.

    Raises:
        ConfigError: No colon, a module that cannot be imported, or no such attribute in it.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigError(f"{name!r} names no class", key=key, expected="module:Class")
    if not any(entry in {"", os.getcwd()} for entry in sys.path):
        # As `python -m` does. At the end, so that nothing installed is ever shadowed.
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{name!r} cannot be imported: {error}", key=key, expected="module:Class"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        public = [entry for entry in vars(module) if not entry.startswith("_")]
        raise ConfigError(
            f"module {module_name} has no {attribute!r}", key=key, nearest=nearest_name(attribute, public)
        ) from None


def _load_entry(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise SimcoreError(
            f"the installed model {entry.name!r} ({entry.value}) cannot be imported: {error}"
        ) from error
