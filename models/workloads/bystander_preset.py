"""What a bystander is: its footprint in the direct map, how it visits it, how fast; every value says how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.machine.costs import CostValue
from models.machine.preset_files import choose, is_own, read_own, read_shipped
from simcore.errors import ConfigError, nearest_name
from simcore.units import Nanoseconds, parse_bytes

__all__ = ["Access", "BystanderConfig", "BystanderPreset", "Stream", "bystander_names", "load_bystander"]

Access = Literal["copy", "zipf", "uniform", "chain"]
_PRESETS = Path(__file__).parent / "presets" / "bystanders.yaml"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stream(_Part):
    """One kind of access.

    Attributes:
        over: which part of the footprint it visits.
        access: `copy`: many lines of a page in a row; `zipf` and `uniform`: single objects, by popularity or alike;
            `chain`: each address is read from the last object (uniform, and walks cannot overlap).
        share: of the page visits.
        exponent: of the popularity law over pages, which `uniform` and `chain` do not read.
        lines: 64-byte lines touched in a visit.
        mlp: walks that overlap; `chain` has none.
    """

    over: Literal["slab", "page_cache"]
    access: Access
    share: CostValue
    exponent: CostValue = CostValue(value=0, source="uniform", confidence="derived")
    lines: CostValue = CostValue(value=1, source="one object", confidence="derived")
    mlp: CostValue = CostValue(value=1, source="dependent accesses", confidence="derived")

    @property
    def law_exponent(self) -> float:
        """Exponent of the popularity law; 0 is uniform."""
        return self.exponent.value if self.access in {"zipf", "copy"} else 0.0

    @property
    def overlap(self) -> float:
        """Walks that overlap."""
        return 1.0 if self.access == "chain" else max(1.0, self.mlp.value)


class BystanderPreset(_Part):
    """A bystander. Sizes are of what it has in the direct map, not of its user memory.

    Attributes:
        name: the preset's name.
        description: what it stands for.
        cpus: CPUs on which it runs all the time.
        visits_per_s: visits of direct-map pages by each of these CPUs in a second, with the tiling of the boot.
        page_cache_bytes: single movable pages.
        slab_bytes: unmovable pages, in blocks of ``slab_order``: slab objects, socket buffers, page tables.
        slab_holes: part of the unmovable pages it took that is free again; there others' unmovable pages go.
        streams: its accesses by name.
    """

    name: str
    description: str
    cpus: CostValue
    visits_per_s: CostValue
    page_cache_bytes: CostValue
    slab_bytes: CostValue
    slab_order: CostValue
    slab_holes: CostValue
    streams: Annotated[dict[str, Stream], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _sizes(cls, given: Any) -> Any:
        """Read sizes such as 64MiB."""
        if not isinstance(given, Mapping):
            return given
        read = dict(given)
        for key in ("page_cache_bytes", "slab_bytes"):
            stated = read.get(key)
            if isinstance(stated, Mapping):
                stated = dict(stated)
                stated["value"] = parse_bytes(stated["value"])
                if stated.get("range") is not None:
                    stated["range"] = [parse_bytes(end) for end in stated["range"]]
                read[key] = stated
        return read

    @model_validator(mode="after")
    def _makes_sense(self) -> BystanderPreset:
        if self.cpus.value < 1 or self.visits_per_s.value <= 0:
            raise ValueError("a bystander needs at least one CPU and a rate above 0")
        if not 0 <= self.slab_holes.value < 1 or not 0 <= self.slab_order.value <= 3:
            raise ValueError("slab_holes lies between 0 and 1, slab_order between 0 and 3")
        if sum(stream.share.value for stream in self.streams.values()) <= 0:
            raise ValueError("the streams' shares sum up to nothing")
        for name, stream in self.streams.items():
            size = self.slab_bytes if stream.over == "slab" else self.page_cache_bytes
            if size.value < 4096 and stream.share.value > 0:
                raise ValueError(f"stream {name} visits {stream.over}, of which there is no page")
        return self

    def stated(self) -> Iterator[tuple[str, CostValue]]:
        """Every value, by dotted path."""
        for name in BystanderPreset.model_fields:
            value = getattr(self, name)
            if isinstance(value, CostValue):
                yield name, value
        for stream_name, stream in self.streams.items():
            for name in Stream.model_fields:
                value = getattr(stream, name)
                if isinstance(value, CostValue):
                    yield f"{stream_name}.{name}", value

    def with_values(self, values: Mapping[str, Any]) -> BystanderPreset:
        """Return this preset with some values replaced; keys are dotted paths (``objects.exponent``) or nested.

        Raises:
            ConfigError: an unknown name, or a value that makes no sense; says which.
        """
        flat = dict(_flatten(values))
        known = dict(self.stated())
        plain = self.model_dump()
        for path, value in flat.items():
            if path not in known:
                raise ConfigError(f"a bystander has no value {path!r}", nearest=nearest_name(path, known))
            number = parse_bytes(value) if path.endswith("_bytes") else value
            stated = {"value": number, "source": "given by the configuration", "confidence": "derived"}
            head, dot, last = path.rpartition(".")
            (plain["streams"][head] if dot else plain)[last] = stated
        try:
            return BystanderPreset.model_validate(plain)
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(first["msg"], key=".".join(map(str, first["loc"])) or None) from None


def _flatten(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


class BystanderConfig(_Part):
    """A bystander of an experiment.

    Attributes:
        preset: one of presets/bystanders.yaml, or the path of a YAML file that holds one such mapping.
        values: values that replace the preset's, by dotted path or nested.
        start: when it takes its memory; 0: before anybody else.
        sample: time between two points of its series; None: 10 ms, later a five-hundredth of the time that has passed.
        uncertainty: how many bystanders to draw from the ranges of its values, to give each slowdown an interval; 0:
            none, as for a preset without ranges.
        noise: standard deviation of a benchmark's result, for the question which tiling turns out best.
    """

    preset: str
    values: dict[str, Any] = {}
    start: Nanoseconds = 0
    sample: Annotated[Nanoseconds, Field(gt=0)] | None = None
    uncertainty: Annotated[int, Field(ge=0, le=10_000)] = 20
    noise: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _exists(self) -> BystanderConfig:
        try:
            self.resolved()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    def resolved(self) -> BystanderPreset:
        """The preset with the given values."""
        return load_bystander(self.preset).with_values(self.values)


def bystander_names() -> list[str]:
    """Names of the presets."""
    return sorted(read_shipped(_PRESETS))


def load_bystander(name: str) -> BystanderPreset:
    """Return a preset by its name, or from a file of the user's.

    Raises:
        ConfigError: there is none, or the file is no such mapping.
    """
    if is_own(name):
        return read_own(Path(name), BystanderPreset)
    return BystanderPreset.model_validate({**choose(name, read_shipped(_PRESETS), "bystander preset"), "name": name})
