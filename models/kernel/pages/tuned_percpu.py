"""Per-CPU lists that tune themselves: refills double while nothing is freed, the high mark follows [6.7 to 6.18].

No recording proves these rules; they are read off the source. Left out: what a CPU keeps also decays once a second
(`decay_pcp_high`), a zone stays below its high watermark until a free finds it above (here that is looked at each
time), and small caches drain blocks of higher orders sooner (without PCPF_FREE_HIGH_BATCH).
"""

from typing import Final

from simcore.compiled import jit

from .layout import BATCH_SCALE_MAX, COSTLY_ORDER, config, per_cpu, zones

__all__ = ["pages_to_drain", "refill_batch"]

_HIGH: Final = 2  # index of a zone's high watermark
_LATER: Final = 2  # `tuned_per_cpu` from 6.16 on


@jit
def _below_high(handle: int, zone: int) -> bool:
    record = zones(handle)[zone]
    return bool(record.free_pages < record.wmark[_HIGH] + record.boost)


@jit
def refill_batch(handle: int, zone: int, cpu: int, order: int) -> int:
    """Return how many pages a refill brings, before that is scaled to the order (`nr_pcp_alloc`)."""
    local = per_cpu(handle, zone, cpu)
    base = local.batch
    local.high = min(max(local.high, local.high_min), local.high_max)
    if local.high < base:
        return 1
    batch = base if order > 0 else base << local.alloc_factor
    if local.high_min != local.high_max and not _below_high(handle, zone):
        local.high = min(local.high + batch, local.high_max)
    if order > 0:
        return int(batch)
    most = max(local.high - local.count - base, base)
    if batch <= most and local.alloc_factor < BATCH_SCALE_MAX:
        local.alloc_factor += 1
    return int(min(batch, most))


@jit
def pages_to_drain(handle: int, zone: int, cpu: int, order: int) -> int:
    """Return how many pages a CPU gives back after a block came to its lists (`free_frozen_page_commit`); 0: none."""
    local = per_cpu(handle, zone, cpu)
    batch = local.batch
    local.alloc_factor >>= 1
    many = False
    if 0 < order <= COSTLY_ORDER:
        many = (
            local.free_count >= batch + (local.high_min // 2 if config(handle).tuned_per_cpu == _LATER else 0)
            and local.freed_high_order != 0
            and local.count >= batch
        )
        local.freed_high_order = 1
    else:
        local.freed_high_order = 0
    if local.free_count < batch << BATCH_SCALE_MAX:
        local.free_count += 1 << order
    high = _high_mark(handle, zone, cpu, many)
    if local.count < high:
        return 0
    if many:
        return int(min(local.count, batch << BATCH_SCALE_MAX))
    if high < batch:
        return 1
    return int(max(batch, min(local.free_count, high - batch)))


@jit
def _high_mark(handle: int, zone: int, cpu: int, many: bool) -> int:
    """Return the mark from which on pages are given back, and move it (`nr_pcp_high`)."""
    local = per_cpu(handle, zone, cpu)
    batch = local.batch
    high = min(max(local.high, local.high_min), local.high_max)
    local.high = high
    if high == 0:
        return 0
    if many:
        local.high = max(high - (batch << BATCH_SCALE_MAX), local.high_min)
        return 0
    if zones(handle)[zone].reclaim_active:
        local.high = max(high - max(local.free_count, batch), local.high_min)
        return int(min(batch << 2, local.high))
    if local.high_min == local.high_max:
        return int(high)
    if _below_high(handle, zone):
        local.high = max(high - max(local.free_count, batch), local.high_min)
        return int(max(local.count, local.high_min))
    if local.count >= high:
        needed = local.free_count + batch
        if local.high < needed:
            local.high = min(max(needed, local.high_min), local.high_max)
    return int(high)
