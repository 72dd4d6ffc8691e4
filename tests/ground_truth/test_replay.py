"""Replay: every recorded frame, refill, drain, steal and split is predicted, and every end state."""

from __future__ import annotations

import pytest

from tests.ground_truth.recorded import compared, names, shortfalls


@pytest.mark.parametrize("name", names("allocator"))
def test_every_event_is_predicted(name: str) -> None:
    """The allocator's and the direct map's rules are those of 6.1: nothing is left unexplained."""
    comparison = compared("replay", name)
    assert comparison.first_divergence is None, str(comparison.first_divergence)
    assert not shortfalls(comparison)
    assert comparison.passed
