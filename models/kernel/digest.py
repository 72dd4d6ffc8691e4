"""A fingerprint of the kernel's final state: who owns which page, and how the direct map is tiled."""

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from models.kernel.layout import State
from models.kernel.pages.layout import ISOLATED, TOUCHED_SHIFT, USED

__all__ = ["digest", "owners"]


def owners(state: State) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First frames of all blocks in use, and who owns them (see `models.kernel.records`).

    Pages in use since before the simulation began have no record and are left out.
    """
    page, size = state.pages.pages, 1 << TOUCHED_SHIFT
    pfns, who = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for block in np.flatnonzero(state.pages.touched).tolist():
        part = page[block * size : (block + 1) * size]
        used = np.flatnonzero((part["state"] == USED) | (part["state"] == ISOLATED))
        pfns.append(used + block * size)
        who.append(part["owner"][used])
    return np.concatenate(pfns), np.concatenate(who)


def digest(state: State) -> bytes:
    """SHA-256 over owners and counters of the direct map."""
    pfns, who = owners(state)
    total = sha256(pfns.tobytes())
    total.update(who.tobytes())
    total.update(state.direct_map.counters.tobytes())
    return total.digest()
