"""Errors: one readable line, whole after a trip between processes."""

from __future__ import annotations

import pickle

from simcore.errors import ConfigError, nearest_name


def test_a_message_names_place_key_expectation_and_nearest_name() -> None:
    error = ConfigError("unknown key", file="a.yaml", line=3, key="x.y", expected="one of z", nearest="z")
    assert str(error) == "a.yaml:3: x.y: unknown key; expected one of z; did you mean 'z'?"
    assert str(ConfigError("is empty", file="a.yaml")) == "a.yaml: is empty"


def test_an_error_of_a_worker_arrives_whole() -> None:
    error = ConfigError("unknown key", file="a.yaml", line=3, key="x.y", nearest="z")
    error.others = ("another",)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_nearest_name_ignores_case_and_gives_up_in_time() -> None:
    assert nearest_name("PMD_POL", ["page", "pmd_pool"]) == "pmd_pool"
    assert nearest_name("zebra", ["page", "pmd_pool"]) is None
