"""The same M/M/c queue and the same plain fork bomb in several engines, each in its own idiom.

All get the same drawn times, so that all but Ciw, whose customers cannot fork, simulate the same thing event by event.
Every function returns the mean time that a customer or a task spent from arrival to end, for comparison.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from itertools import accumulate
from statistics import fmean
from typing import Any

import simpy

from simcore.environment import Environment

__all__ = ["ENGINES", "FORK_BOMBS", "PHASES_NS", "QUEUES", "Times", "bare_events"]

Times = list[int]
PHASES_NS = (20_000, 5_000, 16_000, 40_000)
"""What a plain task does on its CPU: start, open, fault, exit."""
FORK_NS = 3_000


def bare_events(events: int) -> None:
    """One SimPy process that does nothing but wait."""

    def process(env: simpy.Environment) -> Generator[simpy.Event, Any, None]:
        timeout = env.timeout
        for _ in range(events):
            yield timeout(1)

    env = simpy.Environment()
    env.process(process(env))
    env.run()


def simpy_queue(gaps: Times, services: Times, servers: int, env: simpy.Environment | None = None) -> float:
    """A process per customer and a Resource."""
    env = env or simpy.Environment()
    desk, stays = simpy.Resource(env, servers), []

    def customer(service: int) -> Generator[simpy.Event, Any, None]:
        came = env.now
        with desk.request() as turn:
            yield turn
            yield env.timeout(service)
        stays.append(env.now - came)

    def door() -> Generator[simpy.Event, Any, None]:
        for gap, service in zip(gaps, services, strict=True):
            yield env.timeout(gap)
            env.process(customer(service))

    env.process(door())
    env.run()
    return fmean(stays)


def simcore_queue(gaps: Times, services: Times, servers: int) -> float:
    """The same on this project's clock."""
    return simpy_queue(gaps, services, servers, Environment())


def heapq_queue(gaps: Times, services: Times, servers: int) -> float:
    """By hand: a heap of events, a deque as line, no process."""
    events: list[tuple[int, int, int, int]] = []
    line: deque[tuple[int, int]] = deque()
    free, number, stay = servers, 0, 0
    arrivals = list(accumulate(gaps))
    heappush(events, (arrivals[0], 0, 0, 0))
    while events:
        now, _, what, which = heappop(events)
        if what == 0:
            if free:
                free -= 1
                number += 1
                heappush(events, (now + services[which], number, 1, now))
            else:
                line.append((which, now))
            if which + 1 < len(arrivals):
                number += 1
                heappush(events, (arrivals[which + 1], number, 0, which + 1))
        else:
            stay += now - which
            if line:
                follower, came = line.popleft()
                number += 1
                heappush(events, (now + services[follower], number, 1, came))
            else:
                free += 1
    return stay / len(gaps)


def salabim_queue(gaps: Times, services: Times, servers: int) -> float:
    """A component per customer and a Resource, without its animation and tracing, in generator mode."""
    import salabim as sim  # noqa: PLC0415 - only a benchmark needs it

    sim.yieldless(False)
    env = sim.Environment(trace=False)
    desk, stays = sim.Resource(capacity=servers), []

    class Customer(sim.Component):  # type: ignore[misc]
        def process(self, service: int) -> Generator[Any, Any, None]:
            came = env.now()
            yield self.request(desk)
            yield self.hold(service)
            self.release()
            stays.append(env.now() - came)

    class Door(sim.Component):  # type: ignore[misc]
        def process(self) -> Generator[Any, Any, None]:
            for gap, service in zip(gaps, services, strict=True):
                yield self.hold(gap)
                Customer(service=service)

    Door()
    env.run()
    return fmean(stays)


def ciw_queue(gaps: Times, services: Times, servers: int) -> float:
    """A network of one node."""
    import ciw  # noqa: PLC0415 - only a benchmark needs it

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*gaps, float("inf")])],
        service_distributions=[ciw.dists.Sequential(services)],
        number_of_servers=[servers],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(len(gaps), method="Complete")
    return fmean(record.exit_date - record.arrival_date for record in simulation.get_all_records())


def dssim_queue(gaps: Times, services: Times, servers: int) -> float:
    """A process per customer and a resource, in its fast layer."""
    import dssim  # noqa: PLC0415 - only a benchmark needs it

    dssim.base.DSComponentSingleton.sim_singleton = None
    sim = dssim.DSSimulation(layer2=dssim.LiteLayer2)
    desk, stays = dssim.DSLiteResource(servers, servers, sim=sim), []

    def customer(service: int) -> Generator[Any, Any, None]:
        came = sim.time
        yield from desk.gget()
        yield from sim.gsleep(service)
        desk.put_nowait()
        stays.append(sim.time - came)

    def door() -> Generator[Any, Any, None]:
        for gap, service in zip(gaps, services, strict=True):
            yield from sim.gsleep(gap)
            sim.schedule(0, customer(service))

    sim.schedule(0, door())
    sim.run()
    return fmean(stays)


QUEUES: dict[str, Callable[[Times, Times, int], float]] = {
    "SimPy": simpy_queue, "simcore": simcore_queue, "heapq by hand": heapq_queue, "salabim": salabim_queue,
    "Ciw": ciw_queue, "DSSim": dssim_queue,
}  # fmt: skip


def simpy_bomb(tasks: int, cpus: int, env: simpy.Environment | None = None) -> float:
    """A parent that forks, tasks that take a CPU for four phases."""
    env = env or simpy.Environment()
    machine, lives = simpy.Resource(env, cpus), []

    def child() -> Generator[simpy.Event, Any, None]:
        began = env.now
        with machine.request() as turn:
            yield turn
            for phase_ns in PHASES_NS:
                yield env.timeout(phase_ns)
        lives.append(env.now - began)

    def parent() -> Generator[simpy.Event, Any, None]:
        for _ in range(tasks):
            yield env.timeout(FORK_NS)
            env.process(child())

    env.process(parent())
    env.run()
    return fmean(lives)


def simcore_bomb(tasks: int, cpus: int) -> float:
    """The same on this project's clock."""
    return simpy_bomb(tasks, cpus, Environment())


def heapq_bomb(tasks: int, cpus: int) -> float:
    """By hand."""
    events: list[tuple[int, int, int, int]] = [(FORK_NS, 0, -1, 0)]
    line: deque[int] = deque()
    free, number, forked, lived = cpus, 0, 0, 0
    while events:
        now, _, phase, began = heappop(events)
        number += 1
        if phase < 0:
            forked += 1
            if free:
                free -= 1
                heappush(events, (now + PHASES_NS[0], number, 1, now))
            else:
                line.append(now)
            if forked < tasks:
                number += 1
                heappush(events, (now + FORK_NS, number, -1, 0))
        elif phase < len(PHASES_NS):
            heappush(events, (now + PHASES_NS[phase], number, phase + 1, began))
        else:
            lived += now - began
            if line:
                heappush(events, (now + PHASES_NS[0], number, 1, line.popleft()))
            else:
                free += 1
    return lived / tasks


def salabim_bomb(tasks: int, cpus: int) -> float:
    """A component per task."""
    import salabim as sim  # noqa: PLC0415 - only a benchmark needs it

    sim.yieldless(False)
    env = sim.Environment(trace=False)
    machine, lives = sim.Resource(capacity=cpus), []

    class Child(sim.Component):  # type: ignore[misc]
        def process(self) -> Generator[Any, Any, None]:
            began = env.now()
            yield self.request(machine)
            for phase_ns in PHASES_NS:
                yield self.hold(phase_ns)
            self.release()
            lives.append(env.now() - began)

    class Parent(sim.Component):  # type: ignore[misc]
        def process(self) -> Generator[Any, Any, None]:
            for _ in range(tasks):
                yield self.hold(FORK_NS)
                Child()

    Parent()
    env.run()
    return fmean(lives)


def ciw_bomb(tasks: int, cpus: int) -> float:
    """Tasks arrive as customers of one node; the four phases are one service, since a server is kept no longer."""
    return ciw_queue([FORK_NS] * tasks, [sum(PHASES_NS)] * tasks, cpus)


def dssim_bomb(tasks: int, cpus: int) -> float:
    """A process per task, in its fast layer."""
    import dssim  # noqa: PLC0415 - only a benchmark needs it

    dssim.base.DSComponentSingleton.sim_singleton = None
    sim = dssim.DSSimulation(layer2=dssim.LiteLayer2)
    machine, lives = dssim.DSLiteResource(cpus, cpus, sim=sim), []

    def child() -> Generator[Any, Any, None]:
        began = sim.time
        yield from machine.gget()
        for phase_ns in PHASES_NS:
            yield from sim.gsleep(phase_ns)
        machine.put_nowait()
        lives.append(sim.time - began)

    def parent() -> Generator[Any, Any, None]:
        for _ in range(tasks):
            yield from sim.gsleep(FORK_NS)
            sim.schedule(0, child())

    sim.schedule(0, parent())
    sim.run()
    return fmean(lives)


FORK_BOMBS: dict[str, Callable[[int, int], float]] = {
    "SimPy": simpy_bomb, "simcore": simcore_bomb, "heapq by hand": heapq_bomb, "salabim": salabim_bomb,
    "Ciw": ciw_bomb, "DSSim": dssim_bomb,
}  # fmt: skip
ENGINES = {"SimPy": "simpy", "simcore": "simcore", "salabim": "salabim", "Ciw": "ciw", "DSSim": "dssim"}
"""Engine to the package that it comes from."""
