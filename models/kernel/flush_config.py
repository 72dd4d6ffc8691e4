"""When pages that have left the direct map leave the TLBs: as Linux does it, and two what-ifs."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.kernel.flush import BATCHED, DEFERRED, EACH
from simcore.units import Nanoseconds

__all__ = ["FLUSH_MODES", "FlushConfig", "FlushMode"]

FlushMode = Literal["each", "deferred", "batched"]
FLUSH_MODES: Final[dict[FlushMode, int]] = {"each": EACH, "deferred": DEFERRED, "batched": BATCHED}


class FlushConfig(BaseModel):
    """When pages that have left the direct map leave the TLBs. Flushes of splits and merges are never put off.

    Attributes:
        mode: `each`: a flush of all CPUs follows each removal, as in Linux; `deferred`: the CPU that removes flushes
            its own TLB, every other one all of its TLB when it next switches tasks (nobody is interrupted, and until
            then the page can still be read there); `batched`: one full flush of all CPUs for every ``batch`` removals.
        batch: removals that are gathered; None: 1 for `deferred`, 64 for `batched`.
        period: for `deferred`: time between two switches of a CPU.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: FlushMode = "each"
    batch: Annotated[int, Field(ge=1)] | None = None
    period: Nanoseconds = 4_000_000

    @property
    def batch_pages(self) -> int:
        """Removals that are gathered."""
        return self.batch or (64 if self.mode == "batched" else 1)
