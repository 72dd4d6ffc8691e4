"""TLB presets: what a CPU's translation hardware holds and costs; one YAML file per CPU."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.machine.stated import CONFIDENCES, Confidence, StatedFile, read_stated
from simcore.errors import ConfigError, nearest_name

__all__ = [
    "CONFIDENCES",
    "Caches",
    "Confidence",
    "PageSize",
    "PagingStructureCaches",
    "TlbArray",
    "TlbPreset",
    "load_tlb",
    "tlb_names",
]

PageSize = Literal["4K", "2M", "1G"]
_PRESETS = Path(__file__).parent / "presets" / "tlb"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class TlbArray(_Part):
    """One array of a TLB level.

    Attributes:
        sizes: Page sizes that the array holds.
        entries: How many translations.
        ways: Associativity; 0 is fully associative.
        replacement: Who leaves a full set.
        index: How a page number picks its set: its low bits, or a hash of all of them.
    """

    sizes: tuple[PageSize, ...] = Field(min_length=1)
    entries: int = Field(gt=0)
    ways: int = Field(0, ge=0)
    replacement: Literal["lru", "plru", "random"] = "lru"
    index: Literal["modulo", "hashed"] = "modulo"

    @model_validator(mode="after")
    def _whole_sets(self) -> Self:
        if self.ways and self.entries % self.ways:
            raise ValueError(f"{self.entries} entries do not fill whole sets of {self.ways} ways")
        if len(set(self.sizes)) != len(self.sizes):
            raise ValueError(f"a size is named twice in {list(self.sizes)}")
        return self

    @property
    def sets(self) -> int:
        """Number of sets (1 when fully associative)."""
        return self.entries // self.ways if self.ways else 1


class PagingStructureCaches(_Part):
    """Entries of the caches of upper table levels that spare a walk its first references; 0 is none."""

    pde: int = Field(0, ge=0)
    pdpte: int = Field(0, ge=0)
    pml4e: int = Field(0, ge=0)


class Caches(_Part):
    """Data caches, where table lines and data lines compete. Latencies are from the start of a load."""

    l1d_kib: int = Field(32, gt=0)
    l1d_cycles: int = Field(4, gt=0)
    l2_kib: int = Field(1024, gt=0)
    l2_ways: int = Field(16, gt=0)
    l2_cycles: int = Field(14, gt=0)
    l3_kib: int = Field(32768, gt=0)
    l3_cycles: int = Field(50, gt=0)
    memory_ns: float = Field(90.0, gt=0)


class TlbPreset(_Part):
    """What one CPU's data-side translation hardware is.

    Attributes:
        name: The preset's name (the file's stem).
        note: Remarks for the reader.
        l1d: Arrays of the first level.
        l2: Arrays of the second level.
        one_gig_in_l2: ``as_2m`` keeps 2M pieces of a 1G page there, ``none`` keeps nothing. Only of
            weight when no array of ``l2`` names 1G.
        l2_latency_cycles: Cycles beyond an L1 hit.
        walkers: Page walks that can be under way at once.
        walk_start_cycles: Cycles of a walk before its first table reference.
        nested_walk_cycles: Further cycles of a walk in a virtual machine, where each guest reference is
            translated too.
        coalesce_4k: Aligned 4K pages that share an entry as long as none of them is touched (1: none).
        contiguous_hint: Entries in a run marked contiguous (arm64); 1: none.
        paging_structure_caches: Caches of upper table levels.
        invlpgb: Whether the CPU invalidates remote TLBs without interrupts (AMD).
        broadcast_invalidate: The same on arm64.
        caches: Data caches.
        ghz: Clock, to turn cycles into nanoseconds.
        confidences: Dotted path of each value to its confidence word.
        sources: Dotted path to where a value comes from, when the file says so.
    """

    name: str
    note: str = ""
    l1d: tuple[TlbArray, ...] = Field(min_length=1)
    l2: tuple[TlbArray, ...] = ()
    one_gig_in_l2: Literal["as_2m", "none"] = Field("none", alias="1g_in_l2")
    l2_latency_cycles: int = Field(gt=0)
    walkers: int = Field(1, gt=0, le=16)
    walk_start_cycles: int = Field(10, ge=0)
    nested_walk_cycles: int = Field(0, ge=0)
    coalesce_4k: Literal[1, 2, 4, 8, 16] = 1
    contiguous_hint: Literal[1, 16] = 1
    paging_structure_caches: PagingStructureCaches = PagingStructureCaches()
    invlpgb: bool = False
    broadcast_invalidate: bool = False
    caches: Caches = Caches()
    ghz: float = Field(3.0, gt=0)
    confidences: dict[str, Confidence] = Field(default_factory=dict)
    sources: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _every_size_has_a_first_level(self) -> Self:
        for size in get_args(PageSize):
            for level, arrays in (("l1d", self.l1d), ("l2", self.l2)):
                holders = sum(size in array.sizes for array in arrays)
                if holders > 2:
                    raise ValueError(
                        f"{size} is named in {holders} arrays of {level}, two at most may share it"
                    )
                if level == "l1d" and not holders:
                    raise ValueError(f"no array of l1d holds {size} pages")
        return self

    def confidence_of(self, path: str) -> Confidence:
        """Return the confidence of the value at ``path`` (``l1d.0.entries``), "unverified" by default."""
        return self.confidences.get(path, "unverified")

    def confidence_shares(self) -> dict[Confidence, int]:
        """Return how many of the preset's values have each confidence word."""
        words = [row[2] for row in self.confidence_table()]
        return {word: words.count(word) for word in CONFIDENCES}

    def confidence_table(self) -> list[tuple[str, str, Confidence, str]]:
        """Return rows ``(path, value, confidence, source)`` of every value of the preset, for reports."""
        rows: list[tuple[str, str, Confidence, str]] = []
        plain = self.model_dump(by_alias=True, exclude={"name", "note", "confidences", "sources"})
        for path, value in _leaves(plain, ""):
            rows.append((path, str(value), self.confidence_of(path), self.sources.get(path, "")))
        return rows


def tlb_names() -> list[str]:
    """Return the names of the presets that come with the package, sorted."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def load_tlb(name: str | Path) -> TlbPreset:
    """Load a preset by name, or a user's file by its path (with a slash, or ending in ``.yaml`` or ``.yml``).

    A file is one mapping with the keys of `TlbPreset`, as `models.machine.stated` reads it: any value may
    carry a confidence word and a source, ``same_as: other`` takes over the values of another preset.

    Raises:
        ConfigError: No such preset or file, or a file that cannot be used; says where, and the nearest valid
            name.
    """
    text = str(name)
    if isinstance(name, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        return _load(Path(text))
    if text not in tlb_names():
        raise ConfigError(
            f"no TLB preset {text!r}",
            expected="one of " + ", ".join(tlb_names()) + ", or the path of a YAML file",
            nearest=nearest_name(text, tlb_names()),
        )
    return _load_shipped(text)


@cache
def _load_shipped(name: str) -> TlbPreset:
    return _load(_PRESETS / f"{name}.yaml")


def _load(path: Path) -> TlbPreset:
    stated = read_stated(path, _PRESETS)
    try:
        return TlbPreset.model_validate(
            {**stated.values, "name": path.stem, "confidences": stated.confidences, "sources": stated.sources}
        )
    except ValidationError as error:
        raise _config_error(error, stated, path) from None


def _config_error(error: ValidationError, stated: StatedFile, path: Path) -> ConfigError:
    first = error.errors()[0]
    location = tuple(first["loc"])
    nearest = None
    if first["type"] == "extra_forbidden":
        parts: tuple[type[BaseModel], ...] = (TlbPreset, TlbArray, Caches, PagingStructureCaches)
        known = [field.alias or name for part in parts for name, field in part.model_fields.items()]
        nearest = nearest_name(str(location[-1]), known)
    given = first.get("input")
    shown = f" (given {given!r})" if isinstance(given, str | int | float | bool) else ""
    return ConfigError(
        first["msg"] + shown, file=path, line=stated.line(location), key=".".join(map(str, location)) or None,
        nearest=nearest,
    )  # fmt: skip


def _leaves(value: Any, where: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for k, v in value.items() for leaf in _leaves(v, f"{where}.{k}" if where else str(k))]
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return [leaf for i, v in enumerate(value) for leaf in _leaves(v, f"{where}.{i}")]
    return [(where, "/".join(value) if isinstance(value, list | tuple) else value)]
