"""The plan of a sweep: its points, checked before anything runs, and the identity of every run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from simcore.config import Loaded, Overrides, load
from simcore.errors import ConfigError
from simcore.sweep.design import Design, Values
from simcore.sweep.dotted_names import flatten
from simcore.sweep.experiments import Experiments, versions
from simcore.sweep.jobs import Job, Keep
from simcore.sweep.points import expand
from simcore.sweep.rows import BOOKKEEPING, as_scalar
from simcore.units import Nanoseconds
from simcore.validation import validate

__all__ = ["Plan", "Point", "Stop", "SweepConfig", "make_plan"]


class Stop(BaseModel):
    """When a point has replications enough.

    Attributes:
        metrics: whose intervals are looked at; all must be narrow enough.
        rel_half_width: half width of the interval over the mean that is enough.
        max: most replications of a point.
        confidence: of the intervals.
    """

    model_config = ConfigDict(extra="forbid")

    metrics: list[str] = Field(min_length=1)
    rel_half_width: float = Field(gt=0)
    max: int = Field(ge=2)
    confidence: float = Field(default=0.95, gt=0, lt=1)


class SweepConfig(BaseModel):
    """The keys of a configuration that make it a sweep.

    Attributes:
        design: what varies.
        replications: runs of every point; with `stop` the number to begin with.
        stop: rule for more replications.
        keep: what a run leaves beside its row.
        timeout: most time that one run may take, in ns of the wall clock; none by default.
    """

    model_config = ConfigDict(extra="forbid")

    design: Design
    replications: int = Field(default=1, ge=1, le=1_000_000)
    stop: Stop | None = None
    keep: Keep = "summary"
    timeout: Nanoseconds | None = None

    @property
    def timeout_s(self) -> float | None:
        """The timeout in seconds."""
        return None if self.timeout is None else self.timeout / 1e9


@dataclass(frozen=True, slots=True)
class Point:
    """One design point.

    Attributes:
        index: its number in the design.
        overrides: value of every varied key, as the design gives it.
        columns: the same as the table shows it: quantities in bytes and ns, structures as JSON.
        digest: hash of the effective configuration, the replication left out.
    """

    index: int
    overrides: Values
    columns: Mapping[str, Any]
    digest: bytes


@dataclass(frozen=True)
class Plan:
    """Everything that a sweep will run.

    Attributes:
        config: the sweep's own keys.
        base: the experiment without them.
        name: of the experiment.
        points: the design's points.
        versions: model and versions that the identity of runs depends on, and that rows tell.
    """

    config: SweepConfig
    base: Loaded
    name: str
    points: tuple[Point, ...]
    versions: Mapping[str, str]

    @property
    def parameters(self) -> list[str]:
        """Names of the varied keys, in the design's order."""
        return list(self.points[0].columns)

    def identity(self, point: Point, replication: int) -> str:
        """Return what a run is known by: the same for the same run, in any sweep, order or place."""
        content = point.digest + replication.to_bytes(8, "big") + self.versions["model_version"].encode()
        return hashlib.sha256(content).hexdigest()[:32]

    def jobs(self, counts: Sequence[int]) -> Iterator[Job]:
        """Return the runs for a number of replications per point; points that are alike run once."""
        seen: set[bytes] = set()
        most: dict[bytes, int] = {}
        for point, count in zip(self.points, counts, strict=True):
            most[point.digest] = max(count, most.get(point.digest, 0))
        for point in self.points:
            if point.digest in seen:
                continue
            seen.add(point.digest)
            for replication in range(most[point.digest]):
                yield Job(self.identity(point, replication), replication, point.overrides, point.columns)

    def to_table(self, counts: Sequence[int]) -> pa.Table:
        """Return one row per run: `identity, point, replication` and the parameters."""
        rows = [(point, number) for point, count in zip(self.points, counts, strict=True) for number in range(count)]
        columns: dict[str, Any] = {
            "identity": pa.array([self.identity(point, number) for point, number in rows], pa.string()),
            "point": pa.array([point.index for point, _ in rows], pa.int64()),
            "replication": pa.array([number for _, number in rows], pa.int64()),
        }
        for name in self.parameters:
            columns[name] = _array([point.columns[name] for point, _ in rows])
        return pa.table(columns)


def make_plan(config: Path | str | Loaded, overrides: Overrides = ()) -> Plan:
    """Read a sweep's configuration and check every point of it; nothing runs.

    Args:
        config: YAML file (or what was loaded from one) with the keys of an experiment and of a sweep.
        overrides: changes as of `--set`; they reach the sweep's keys too.

    Raises:
        ConfigError: anything that a run or the design would stumble over, with its place.
    """
    loaded = config if isinstance(config, Loaded) else load(config, overrides)
    keys = set(SweepConfig.model_fields)
    own = {key: value for key, value in loaded.data.items() if key in keys}
    if "design" not in own:
        raise loaded.error("this is no sweep: the key is missing", ("design",), "grid, zip, list, lhs or sobol")
    sweep = validate(SweepConfig, own, loaded)
    base = Loaded({key: value for key, value in loaded.data.items() if key not in keys}, loaded.positions, loaded.path)
    experiments = Experiments(base)
    try:
        designed = expand(sweep.design, flatten({str(key): value for key, value in base.data.items()}))
        for key in designed[0]:
            if key in BOOKKEEPING:
                raise ConfigError(f"{key} cannot be varied", key="design", expected="a key of the model")
    except ConfigError as error:
        raise loaded.located(error) from None
    points: list[Point] = []
    model: str | None = None
    for index, values in enumerate(designed):
        overridden = dict(values)
        if sweep.design.random_numbers == "independent":
            overridden["seed"] = _own_seed(base.data.get("seed", 0), values)
        try:
            effective, chosen = experiments.effective(overridden)
        except ConfigError as error:
            shown = ", ".join(f"{key} = {value}" for key, value in values.items())
            raise ConfigError(
                f"{error.message} (at design point {index}: {shown})", file=error.file or loaded.path,
                line=error.line, key=error.key, expected=error.expected, nearest=error.nearest,
            ) from None  # fmt: skip
        if model not in (None, chosen):
            raise ConfigError("a sweep has one model", key="design", expected=str(model))
        model = chosen
        leaves = flatten(effective)
        columns = {key: as_scalar(leaves.get(key, value)) for key, value in values.items()}
        points.append(Point(index, overridden, columns, _digest(effective)))
    assert model is not None
    return Plan(sweep, base, experiments.at(designed[0]).directory_name, tuple(points), versions(model))


def _digest(effective: Mapping[str, Any]) -> bytes:
    """Hash what a run depends on: all of its configuration but the words about it and its replication."""
    counted = {key: value for key, value in effective.items() if key not in ("name", "description", "replication")}
    return hashlib.sha256(json.dumps(counted, sort_keys=True, default=str).encode()).digest()


def _own_seed(seed: Any, values: Values) -> int:
    content = json.dumps([seed, values], sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:6], "big")


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        return pa.array(texts, pa.string())
