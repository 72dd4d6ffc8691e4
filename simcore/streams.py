"""Random streams by name: adding a stream, or drawing more from one, never moves another."""

from __future__ import annotations

from hashlib import sha256

import numpy as np

__all__ = ["Streams"]


class Streams:
    """Generators keyed by name.

    Each is seeded with ``SeedSequence(seed, spawn_key=(replication, key))``, where ``key`` is the first 8
    bytes (big-endian) of the SHA-256 of the name: a stream depends on seed, replication and its own name
    alone.

    Raises:
        ValueError: Seed or replication is negative.
    """

    def __init__(self, seed: int, replication: int = 0) -> None:
        if seed < 0 or replication < 0:
            raise ValueError(f"seed and replication are not negative: {seed}, {replication}")
        self.seed = seed
        self.replication = replication
        self._generators: dict[str, np.random.Generator] = {}

    def get(self, name: str) -> np.random.Generator:
        """Return the generator of this name; the same object each time."""
        generator = self._generators.get(name)
        if generator is None:
            key = int.from_bytes(sha256(name.encode()).digest()[:8], "big")
            sequence = np.random.SeedSequence(self.seed, spawn_key=(self.replication, key))
            generator = self._generators[name] = np.random.Generator(np.random.PCG64(sequence))
        return generator
