"""All bystanders of a run: their memory, their accounts kept between changes of the tiling, their series."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from copy import deepcopy
from itertools import groupby
from typing import Any, Final

import numpy as np
import simpy

from models.kernel.direct_map import ABSENT, RESTORED
from models.kernel.observe import observe
from models.machine.machine import Machine
from models.tlb.hierarchy import SIZES, Hierarchy
from models.workloads.bystander import Bystander, place
from models.workloads.bystander_memory import Footprint, lay_out
from models.workloads.bystander_preset import BystanderConfig
from models.workloads.map_reader import MapReader, boot_sizes, present_sizes
from models.workloads.system import System
from models.workloads.uncertainty import PAIRS, interval_names, interval_rows
from simcore.environment import NEVER_NS, Environment
from simcore.recorder import Level

__all__ = ["BYSTANDER_SERIES", "Bystanders"]

BYSTANDER_SERIES: Final = (
    "slowdown", "slowdown_reach", "slowdown_flush", "l1_misses", "walks", "l2_miss_rate", "walk_cycles",
    "share_4k", "share_2m", "share_1g",
)  # fmt: skip
"""Series of each bystander, after ``bystander.<name>.``.

``slowdown`` against the boot's tiling, of which ``slowdown_reach`` comes from the tiling and ``slowdown_flush`` from
interrupts and refills since the last sample; ``l1_misses`` and ``walks`` per page visit; ``l2_miss_rate`` of level 2
look-ups; ``walk_cycles`` per walk; shares of visits by size of the entry.
"""


_SAMPLE_NS: Final = 10_000_000
_SAMPLES: Final = 500
"""Unless a sampling time is given, there are about this many samples in each e-fold of a run's time."""


class _Account:
    """One bystander's place in the run."""

    def __init__(self, bystander: Bystander, footprint: Footprint, config: BystanderConfig) -> None:
        self.bystander, self.footprint, self.config = bystander, footprint, config
        self.holed: set[int] = set()
        self.sampled_ns = self.sampled_interrupts_ns = 0
        self.sampled_refill_ns = 0.0


class Bystanders:
    """Everybody who pays without having asked for anything.

    They hold memory of the machine and account for time on CPUs of their own; the tasks of the workloads do not
    compete with them for CPUs. Full flushes between two samples are taken as evenly spread over that time; the
    tiling is followed change by change.
    """

    def __init__(
        self, env: Environment, system: System, machine: Machine, configs: Mapping[str, BystanderConfig]
    ) -> None:
        """Let those that are there from the start take their memory, and start the others' processes."""
        self._env, self._system, self._machine = env, system, machine
        self._hierarchy = Hierarchy.from_preset(machine.tlb, host_page=machine.host_page)
        self._map = system.kernel.state.direct_map
        self._reader = MapReader(self._map)
        self._accounts: dict[str, _Account] = {}
        self._configs = configs
        self._now_ns = self._full_flushes = 0
        self._intervals: dict[str, tuple[int, dict[str, float]]] = {}
        self._levels = {
            name: [env.recorder.level(f"bystander.{name}.{series}", 0.0) for series in BYSTANDER_SERIES]
            for name in configs
        }
        for name, config in configs.items():
            if config.start == 0:
                self._begin(name, config)
            env.process(self._life(name, config))

    def _begin(self, name: str, config: BystanderConfig) -> None:
        preset = config.resolved()
        random = self._env.streams.get(f"bystanders.{name}")
        footprint = lay_out(self._system.kernel, preset, random)
        population = place(preset, footprint, self._hierarchy, random)
        regions = population.regions
        bystander = Bystander(
            name, preset, population, self._machine.tlb, self._machine.host_page, self._hierarchy,
            boot_sizes(self._map, regions), present_sizes(self._map, regions),
        )  # fmt: skip
        account = self._accounts[name] = _Account(bystander, footprint, config)
        account.sampled_ns = self._env.now
        account.sampled_interrupts_ns = self._interrupts_ns()

    def _life(self, name: str, config: BystanderConfig) -> Generator[simpy.Event, Any, None]:
        env = self._env
        if config.start > 0:
            yield env.timeout(config.start)
            self.settle()
            self._begin(name, config)
        self._sample(name)
        while True:
            due_ns = env.now + (config.sample or max(_SAMPLE_NS, env.now // _SAMPLES))
            if env.until_ns != NEVER_NS and env.now < env.until_ns - 1:
                due_ns = min(due_ns, env.until_ns - 1)  # an event at the run's end would come too late
            yield env.timeout(due_ns - env.now)
            self.settle()
            self._sample(name)

    @property
    def names(self) -> list[str]:
        """Names of all, in order."""
        return list(self._configs)

    def settle(self) -> None:
        """Account for everything up to now."""
        now_ns = self._env.now
        kernel = self._system.kernel
        counts: Any = kernel.state.counts[0]
        elapsed_ns = now_ns - self._now_ns
        if elapsed_ns <= 0:
            return
        flushes = int(counts["full_flushes"]) - self._full_flushes
        flushes_per_ns = flushes / elapsed_ns
        self._full_flushes += flushes
        changes = list(self._reader.new())
        for account in self._accounts.values():
            bystander, at_ns = account.bystander, self._now_ns
            population = bystander.population
            known = set(population.regions.tolist())
            mine = [c for c in changes if c.gigantic or c.number in known]
            for time_ns, together in groupby(mine, key=lambda change: change.time_ns):
                group = list(together)
                states = [(change.number, change.gigantic, change.size) for change in group]
                moved_ns = min(max(time_ns, at_ns), now_ns)
                account.holed |= {change.number for change in group if change.holed}
                if not bystander.changes(states):
                    continue
                bystander.spend(moved_ns - at_ns, flushes_per_ns)
                at_ns = moved_ns
                bystander.set_tiling(states)
            bystander.spend(now_ns - at_ns, flushes_per_ns)
            if population.coalesce > 1 and account.holed:
                self._break_groups(account)
        self._now_ns = now_ns
        counts["reach_ns"] = round(sum(account.bystander.reach_ns for account in self._accounts.values()))
        counts["refill_ns"] = round(sum(account.bystander.refill_ns for account in self._accounts.values()))
        observe(kernel.handle, now_ns)

    def _break_groups(self, account: _Account) -> None:
        """Look for entries that secret pages have made unlike their neighbours; once noticed, they stay so."""
        flags = self._system.kernel.state.pages.pages["flags"]
        for region in sorted(account.holed):
            first = region << 9
            unlike = np.flatnonzero(flags[first : first + 512] & (ABSENT | RESTORED))
            account.bystander.break_groups(first + unlike)

    def _interrupts_ns(self) -> int:
        return int(self._system.clocks.clock[0]["interrupted_ns"])

    def _sample(self, name: str) -> None:
        account, now_ns = self._accounts[name], self._env.now
        bystander = account.bystander
        elapsed_ns = now_ns - account.sampled_ns
        flushing = 0.0
        if elapsed_ns > 0:
            lost_ns = self._interrupts_ns() - account.sampled_interrupts_ns
            refill_ns = (bystander.refill_ns - account.sampled_refill_ns) / bystander.cpus
            flushing = (lost_ns + refill_ns) / elapsed_ns
        account.sampled_ns, account.sampled_interrupts_ns = now_ns, self._interrupts_ns()
        account.sampled_refill_ns = bystander.refill_ns
        visit = bystander.present()
        steady = visit.translation
        values = (
            bystander.slowdown + flushing, bystander.slowdown, flushing, steady.steady_miss_l1, steady.steady_walks,
            steady.steady_walks / steady.steady_miss_l1 if steady.steady_miss_l1 else 0.0, visit.walk.cycles,
            *bystander.population.shares(),
        )  # fmt: skip
        levels: list[Level] = self._levels[name]
        for level, value in zip(levels, values, strict=True):
            level.set(float(value))

    def finish(self) -> None:
        """Account for the end of the run."""
        self.settle()
        for name, account in self._accounts.items():
            if account.sampled_ns < self._env.now:
                self._sample(name)

    def summary(self) -> dict[str, float]:
        """What the series do not tell: uniform tilings, and intervals.

        ``time_at_4k`` (2m, 1g): time of a visit with entries of that size alone, as a multiple of that with the boot's
        tiling; ``walk_share_at_4k``: part of it that walks take; ``slowdown_4k_1g``: 4K alone against 1G alone.
        ``_low`` and ``_high`` after a name bound it for nine bystanders of ten, drawn from the ranges of its values.
        """
        return {
            f"bystander.{name}.{key}": value
            for name, config in self._configs.items()
            for key, value in (self._uniform(name) | self._interval(name, config)).items()
        }

    def _uniform(self, name: str) -> dict[str, float]:
        """What entries of one size alone would do; zeros before the bystander is there."""
        account = self._accounts.get(name)
        result: dict[str, float] = {}
        visits = {} if account is None else account.bystander.uniform()
        for size in SIZES:
            visit = visits.get(size.lower())
            times = (0.0, 0.0)
            if account is not None and visit is not None:
                times = account.bystander.relative_time(visit), account.bystander.walk_share(visit)
            result[f"time_at_{size.lower()}"], result[f"walk_share_at_{size.lower()}"] = times
        for small, large in PAIRS:
            whole = result[f"time_at_{large}"]
            result[f"slowdown_{small}_{large}"] = result[f"time_at_{small}"] / whole - 1 if whole else 0.0
        return result

    def _interval(self, name: str, config: BystanderConfig) -> dict[str, float]:
        """How sure that is; zeros as long as no time has passed."""
        if not config.uncertainty or all(value.range is None for _, value in config.resolved().stated()):
            return {}
        account, now_ns = self._accounts.get(name), self._env.now
        if account is None or now_ns == 0:
            return dict.fromkeys(interval_names(), 0.0)
        if self._intervals.get(name, (-1, {}))[0] != now_ns:
            rows = interval_rows(
                account.bystander, account.footprint, self._hierarchy, self._machine, config.uncertainty,
                self._seed(name), config.noise,
            )  # fmt: skip
            self._intervals[name] = (now_ns, rows)
        return self._intervals[name][1]

    def _seed(self, name: str) -> np.random.Generator:
        """A stream of its own, begun anew each time, so that asking twice tells the same."""
        return deepcopy(self._env.streams.get(f"bystanders.{name}.uncertainty"))

    def stated(self) -> list[tuple[str, str, str, str, str]]:
        """Rows (of whom, value, number, confidence, source) of every value of the bystanders."""
        return [
            (f"bystander {name}", path, f"{value.value:g}", value.confidence, value.source)
            for name, config in self._configs.items()
            for path, value in config.resolved().stated()
        ]
