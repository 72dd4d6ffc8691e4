"""Policies by name: the built-in ones, and classes of the user's own as ``module:Class``."""

from __future__ import annotations

from models.kernel.secretmem.base import Policy
from simcore.errors import nearest_name
from simcore.model import load_object

__all__ = ["POLICIES", "find_policy"]

POLICIES = {
    "page": "models.kernel.secretmem.page:PagePolicy",
    "pmd_pool": "models.kernel.secretmem.pmd_pool:PoolPolicy",
    "pmd_pool_fallback": "models.kernel.secretmem.pmd_pool_fallback:FallbackPolicy",
    "boot_reserve": "models.kernel.secretmem.boot_reserve:BootReservePolicy",
    "cma": "models.kernel.secretmem.cma:CmaPolicy",
    "unmapped_cache": "models.kernel.secretmem.unmapped_cache:UnmappedCachePolicy",
}


def find_policy(name: str) -> type[Policy]:
    """Return a policy's class.

    Raises:
        ValueError: there is no such policy, or the class is none.
    """
    if ":" not in name and name not in POLICIES:
        near = nearest_name(name, POLICIES)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"no policy {name!r}; there are {', '.join(POLICIES)}, or module:Class{hint}")
    found = load_object(POLICIES.get(name, name))
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise ValueError(f"{name} is no subclass of models.kernel.secretmem.base.Policy")
    return found
