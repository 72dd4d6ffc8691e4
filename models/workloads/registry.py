"""Workloads by kind: the built-in ones, and classes of the user's own as ``module:Class``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, SerializeAsAny
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from models.workloads.base import Workload
from models.workloads.churn import Churn, ChurnConfig
from models.workloads.files import ManyFiles, ManyFilesConfig, OneFile, OneFileConfig
from models.workloads.fork_bomb import ForkBomb, ForkBombConfig
from models.workloads.fragmenters import FRAGMENTERS, FragmenterConfig
from models.workloads.others import Others, OthersConfig
from models.workloads.probes import PROBES, ProbeConfig
from models.workloads.spread import Spread, SpreadConfig
from simcore.model import load_object

__all__ = ["WORKLOADS", "AnyWorkload", "find_workload"]

WORKLOADS: dict[str, type[Workload]] = {
    "one_file": OneFile,
    "many_files": ManyFiles,
    "fork_bomb": ForkBomb,
    "spread": Spread,
    "churn": Churn,
    "others": Others,
    **FRAGMENTERS,
    **PROBES,
}


def find_workload(kind: str) -> type[Workload]:
    """Return the class of a kind of workload.

    Raises:
        ValueError: ``module:Class`` names no workload.
        ConfigError: it cannot be imported.
    """
    if kind in WORKLOADS:
        return WORKLOADS[kind]
    found = load_object(kind)
    if not (isinstance(found, type) and issubclass(found, Workload)):
        raise ValueError(f"{kind} is no subclass of models.workloads.base.Workload")
    return found


class _OrOwn:
    """Lets a class of the user's own read its configuration where ``kind`` names one."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler(source))

    @staticmethod
    def _read(given: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> Any:
        if isinstance(given, Mapping) and isinstance(kind := given.get("kind"), str) and ":" in kind:
            return find_workload(kind).Config.model_validate(given)
        return handler(given)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        own = {
            "type": "object",
            "properties": {"kind": {"type": "string", "pattern": ":", "description": "module:Class of your own"}},
            "required": ["kind"],
        }
        return {"anyOf": [handler(schema), own]}


_Basic = OneFileConfig | ManyFilesConfig | ForkBombConfig | SpreadConfig | ChurnConfig | OthersConfig
_BuiltIn = _Basic | FragmenterConfig | ProbeConfig
AnyWorkload = SerializeAsAny[Annotated[Annotated[_BuiltIn, Field(discriminator="kind")], _OrOwn()]]
"""The configuration of a workload of any kind."""
