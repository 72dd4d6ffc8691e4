"""What every part of a recording's JSON text is made of: strict records, bounded numbers, the kernel's numbers."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "MIGRATETYPES",
    "NO_MEMORY",
    "PAGE_SIZE_BYTES",
    "Count",
    "Migratetype",
    "Numbers",
    "OrUnknown",
    "Signed",
    "StrictRecord",
    "frozen",
]

PAGE_SIZE_BYTES = 4096

#: Names of the migratetypes in the kernel's own order; a recording's number is an index into it.
MIGRATETYPES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic")

#: The pageblock type that says that there is no memory.
NO_MEMORY = 255

#: A number that counts something; the bound keeps sums of a few thousand of them inside 64 bits.
Count = Annotated[int, Field(ge=0, le=1 << 50)]

Signed = Annotated[int, Field(ge=-(1 << 50), le=1 << 50)]

#: -1 says that it is not known or not there.
OrUnknown = Annotated[int, Field(ge=-1, le=1 << 50)]

Migratetype = Literal["Unmovable", "Movable", "Reclaimable", "HighAtomic"]

Numbers = Annotated[list[int], Field(fail_fast=True)]


class StrictRecord(BaseModel):
    """Strictly typed, unchangeable; fields that a later recorder adds are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", populate_by_name=True)


def frozen(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return ``array``, made read-only."""
    array.flags.writeable = False
    return array
