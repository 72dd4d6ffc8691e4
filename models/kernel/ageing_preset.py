"""What a boot leaves behind, as numbers: the preset that a fresh machine is drawn from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.kernel.pages.layout import MOVABLE, RECLAIMABLE, UNMOVABLE

__all__ = ["FreshPreset", "fresh_preset"]

_PRESETS = Path(__file__).parent / "presets" / "ageing.yaml"
_TYPES = {"unmovable": UNMOVABLE, "movable": MOVABLE, "reclaimable": RECLAIMABLE}

_TypeName = Literal["unmovable", "movable", "reclaimable"]


class FreshPreset(BaseModel):
    """Requests of a boot that are never given back.

    Attributes:
        source: where the numbers come from.
        confidence: how sure they are.
        kept_pages: pages in use after the boot, by migratetype, on a machine with one CPU.
        kept_pages_per_further_cpu: unmovable pages more for every further CPU.
        order_shares: part of the requests of each order, 0 first, by migratetype.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    confidence: str
    kept_pages: dict[_TypeName, int]
    kept_pages_per_further_cpu: int
    order_shares: dict[_TypeName, tuple[float, ...]]

    def draw(self, random: np.random.Generator, cpus: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw the requests of a boot in random order.

        Returns:
            Migratetype and order of each request, int64[n]; together they take the preset's pages, give or take one
            request of each type.
        """
        types, orders = [], []
        for name, kept in self.kept_pages.items():
            wanted = kept + (self.kept_pages_per_further_cpu * (cpus - 1) if name == "unmovable" else 0)
            shares = self.order_shares[name]
            drawn = random.choice(len(shares), wanted, p=shares)
            drawn = drawn[: int(np.searchsorted(np.cumsum(1 << drawn), wanted)) + 1]
            types.append(np.full(len(drawn), _TYPES[name]))
            orders.append(drawn)
        shuffled = random.permutation(sum(map(len, types)))
        return np.concatenate(types)[shuffled].astype(np.int64), np.concatenate(orders)[shuffled].astype(np.int64)


@cache
def fresh_preset() -> FreshPreset:
    """Return the preset of a fresh machine."""
    document = yaml.load(_PRESETS.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return FreshPreset.model_validate(document["fresh"])
