"""Random streams: a stream is a function of seed, replication and its own name, and of nothing else."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from simcore.streams import Streams


def draws(streams: Streams, name: str) -> list[int]:
    return [int(number) for number in streams.get(name).integers(0, 2**62, 4)]


def test_other_streams_and_their_draws_never_move_a_stream() -> None:
    alone = draws(Streams(7), "arrivals")
    busy = Streams(7)
    for name in ("a", "z", "services"):
        busy.get(name).random(1000)
    assert draws(busy, "arrivals") == alone


def test_seed_replication_and_name_each_give_another_stream() -> None:
    streams = [Streams(1).get("a"), Streams(2).get("a"), Streams(1, 1).get("a"), Streams(1).get("b")]
    assert len({int(stream.integers(0, 2**62)) for stream in streams}) == 4


def test_the_key_is_the_documented_one() -> None:
    """Others can reproduce a stream from its description."""
    key = int.from_bytes(sha256(b"arrivals").digest()[:8], "big")
    sequence = np.random.SeedSequence(5, spawn_key=(2, key))
    expected = np.random.Generator(np.random.PCG64(sequence)).random(3)
    assert np.array_equal(Streams(5, 2).get("arrivals").random(3), expected)


def test_one_name_is_one_generator() -> None:
    streams = Streams(0)
    assert streams.get("a") is streams.get("a")


@pytest.mark.parametrize(("seed", "replication"), [(-1, 0), (0, -1)])
def test_negative_seeds_are_refused(seed: int, replication: int) -> None:
    with pytest.raises(ValueError, match="-1"):
        Streams(seed, replication)
