"""Messages about bad configurations: file, line, key, expectation, nearest name, a line for each."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from simcore.config import Loaded
from simcore.errors import ConfigError
from simcore.units import Bytes, Nanoseconds, Ratio
from simcore.validation import validate
from simcore.yaml_source import parse_yaml


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Bomb(Strict):
    kind: Literal["fork_bomb"]
    tasks: int = Field(default=1, ge=0)
    hold: Nanoseconds = 1
    fork_bomb: int = 0  # a key with the name of a tag


class Spread(Strict):
    kind: Literal["spread"]
    inner: int | list[Bomb] | None = None
    policy: Literal["page", "pmd_pool"] = "page"
    batching: Literal["on", "off"] = "on"


class Range(Strict):
    start: Bytes
    end: Bytes

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.end <= self.start:
            raise ValueError(f"the range ends at {self.end}, before it starts")
        return self


class Config(Strict):
    workloads: dict[str, Annotated[Bomb | Spread, Field(discriminator="kind")]] = {}
    memory: Bytes | list[Range] | Range = 1
    flag: bool = False
    share: Ratio = 0.5
    count: int = 0


def check(text: str) -> Config:
    source = parse_yaml(text, "f.yaml")
    return validate(Config, source.value, Loaded(source.value, source.positions), ("until", "seed"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "memry: 3",
            "f.yaml:1: memry: unknown key; expected one of count, flag, memory, seed, share, until, "
            "workloads; did you mean 'memory'?",
        ),
        (
            "untl: 3",
            "f.yaml:1: untl: unknown key; expected one of count, flag, memory, seed, share, until, "
            "workloads; did you mean 'until'?",
        ),
        (
            "workloads:\n  q:\n    kind: forkbomb",
            "f.yaml:3: workloads.q.kind: 'forkbomb' is not known; expected one of fork_bomb, spread; "
            "did you mean 'fork_bomb'?",
        ),
        (
            "workloads:\n  q: {}",
            "f.yaml:2: workloads.q.kind: this key is missing",
        ),
        (
            "workloads:\n  q:\n    kind: fork_bomb\n    hodl: 1",
            "f.yaml:4: workloads.q.hodl: unknown key; expected one of fork_bomb, hold, kind, tasks; "
            "did you mean 'hold'?",
        ),
        (
            "workloads:\n  q:\n    kind: fork_bomb\n    fork_bomb: x",
            "f.yaml:4: workloads.q.fork_bomb: 'x'; expected an integer",
        ),
        (
            "workloads:\n  q:\n    kind: spread\n    inner:\n    - kind: fork_bomb\n      tasks: -1",
            "f.yaml:6: workloads.q.inner.0.tasks: -1; expected greater than or equal to 0",
        ),
        (
            "workloads:\n  q:\n    kind: spread\n    policy: pmd_pol",
            "f.yaml:4: workloads.q.policy: 'pmd_pol'; expected one of page, pmd_pool; did you mean "
            "'pmd_pool'?",
        ),
        (
            "workloads: 3",
            "f.yaml:1: workloads: 3; expected a mapping of keys to values",
        ),
        (
            "memory: 64GB",
            "f.yaml:1: memory: '64GB' has unknown unit 'GB'; expected a size such as 64GiB, 2M or "
            "4096; did you mean 'GiB'?",
        ),
        (
            "memory: {start: 0, end: 1Gb}",
            "f.yaml:1: memory.end: '1Gb' has unknown unit 'Gb'; expected a size such as 64GiB, 2M or "
            "4096; did you mean 'GiB'?",
        ),
        (
            "memory:\n- {start: 2M, end: 1M}",
            "f.yaml:2: memory.0: the range ends at 1048576, before it starts",
        ),
        (
            "memory: {start: 0}",
            "f.yaml:1: memory.end: this key is missing",
        ),
        (
            "memory: -1",
            "f.yaml:1: memory: -1 is negative; expected a size such as 64GiB, 2M or 4096",
        ),
        (
            "flag: maybe",
            "f.yaml:1: flag: 'maybe'; expected true or false",
        ),
        (
            "share: 120%",
            "f.yaml:1: share: '120%' is not a ratio; expected a number from 0 to 1, or a percentage "
            "such as 12.5%",
        ),
        (
            "count: 1.5",
            "f.yaml:1: count: 1.5; expected an integer",
        ),
        (
            "count:",
            "f.yaml:1: count: no value; expected an integer",
        ),
    ],
)
def test_the_message(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(text)
    assert str(caught.value) == message


def test_every_finding_is_told_on_a_line_of_its_own() -> None:
    with pytest.raises(ConfigError) as caught:
        check("count: x\nshare: 2\nflag: 7\n")
    lines = str(caught.value).splitlines()
    assert sorted(line.split(": ")[:2] for line in lines) == [
        ["f.yaml:1", "count"],
        ["f.yaml:2", "share"],
        ["f.yaml:3", "flag"],
    ]


@pytest.mark.parametrize(
    ("text", "flag"), [("flag: off", False), ("flag: on", True), ("flag: true", True), ("flag: no", False)]
)
def test_words_for_booleans_reach_boolean_options(text: str, flag: bool) -> None:
    assert check(text).flag is flag


def test_words_for_booleans_reach_options_of_words() -> None:
    found = check("workloads: {q: {kind: spread, batching: off}}").workloads["q"]
    assert isinstance(found, Spread)
    assert found.batching == "off"
