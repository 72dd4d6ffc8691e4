"""Workload `shatter`: large entries of the direct map split one after the other, anywhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from models.kernel.attributes import NO_TABLE, change_attributes
from models.kernel.direct_map import LEVEL_4K
from models.kernel.flush import flush_kernel
from models.workloads.base import Wait, Workload, WorkloadConfig
from models.workloads.thread import Thread
from simcore.units import Nanoseconds

__all__ = ["Shatter", "ShatterConfig"]

_REGION_PAGES = 512


class ShatterConfig(WorkloadConfig):
    """Attributes of one page of a 2M region are changed, region after region in random order; `rate` regions a second.

    Attributes:
        share: of the 2M regions that hold memory, how many to split.
        hold: how long the map stays like that.
    """

    kind: Literal["shatter"] = "shatter"
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    hold: Nanoseconds = 0


class Shatter(Workload):
    """See `ShatterConfig`."""

    Config = ShatterConfig
    config: ShatterConfig

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.progress["regions"] = 0

    def run(self, thread: Thread) -> Wait:
        """Split and split."""
        kernel = self.system.kernel
        tiling = kernel.state.direct_map
        regions = np.concatenate(
            [
                np.arange(start // _REGION_PAGES, -(-(start + count) // _REGION_PAGES))
                for start, count, level in tiling.tiles
                if level > LEVEL_4K
            ]
        )
        self.random.shuffle(regions)
        for number, region in enumerate(regions[: round(self.config.share * len(regions))].tolist()):
            yield from self.paced(thread, number)
            pfn = region * _REGION_PAGES
            made = change_attributes(kernel.handle, thread.cpu, kernel.node_of[thread.cpu], pfn, 1, 0, 0)
            if made == NO_TABLE:
                self.count("without_memory")
                break
            if made > 0:
                flush_kernel(kernel.handle, False)
                self.count("regions")
            yield from thread.spend()
        yield from self.hold(thread, self.config.hold)
