"""Who gets the CPU: who is behind, once a tick finds that who runs has had its slice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from models.workloads.fair_share import FairShare
from models.workloads.system import System
from models.workloads.ticks import Ticks

MS = 1_000_000


def at(now_ns: int) -> tuple[SimpleNamespace, FairShare]:
    """A clock, and shares on a machine whose timer ticks every 4 ms from 0 on."""
    env = SimpleNamespace(now=now_ns)
    return env, FairShare(cast(System, SimpleNamespace(env=env, ticks=Ticks(4 * MS))))


def test_who_has_slept_for_long_is_half_a_period_behind() -> None:
    """However long it was; and as far as it was behind when it has slept for less."""
    env, share = at(0)
    env.now = 100 * MS
    share.wake()
    assert share.ahead_ns == -3 * MS
    share.switch(running=True)
    env.now += 5 * MS
    share.switch(running=False)
    assert share.ahead_ns == 2 * MS
    env.now += MS
    share.wake()
    assert share.ahead_ns == MS


@pytest.mark.parametrize(("began_ms", "ends_ms"), [(100, 104), (100.9, 104), (101.5, 108), (103.9, 108)])
def test_a_turn_ends_at_the_first_tick_after_a_slice(began_ms: float, ends_ms: int) -> None:
    """The thread was 3 ms behind; a slice is 3 ms, and ticks come every 4."""
    _, share = at(round(began_ms * MS))
    share.wake()
    share.switch(running=True)
    assert share.turn_end_ns() == ends_ms * MS


def test_who_is_behind_still_goes_on() -> None:
    """A task that lets the thread run ahead waits until the thread has caught up."""
    env, share = at(100 * MS)
    share.wake()
    share.switch(running=True)
    env.now += 20 * MS
    share.switch(running=False)  # the thread is 17 ms ahead now
    assert share.turn_end_ns() == (120 + 20) * MS  # the tick at 17 ms comes at 20


def test_a_slice_ahead_is_enough() -> None:
    """Somebody who is far ahead loses the CPU at the next tick, once it has had it for a while."""
    env, share = at(100 * MS)
    share.wake()
    share.switch(running=True)
    env.now = 109 * MS
    share.switch(running=False)
    env.now = 110 * MS
    share.switch(running=True)  # 5 ms ahead
    assert share.turn_end_ns() == 112 * MS
