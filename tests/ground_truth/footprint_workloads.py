"""The recorded workloads as sequences of footprint operations, without an allocator."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from models.host.recorded_fragmenting import Fragmenting
from models.kernel.descriptors import fdtable_orders, max_fds
from models.kernel.footprint_presets import load_footprints
from models.kernel.footprints import BackgroundSpec
from tests.models.kernel.footprint_reference import FootprintState, Ledger, Release, Request

PAGES_2M = 512
PAGES_1G = 512 * 512
PAGES_512G = 512 * PAGES_1G
#: Page below which a static binary's first mmap ends (no randomisation).
MMAP_TOP = 0x7FFFF7DFA000 >> 12
POOL_CHUNK_PAGES = 512
PIPE_PAGES = 16
#: Descriptors that the workload has open before its first file.
FIRST_FD = 8


class AddressSpace:
    """Top-down mmap with the highest gap that fits, and which page tables exist."""

    def __init__(self, below: int = 0) -> None:
        self.top = MMAP_TOP - below
        self.areas: list[tuple[int, int]] = []
        self.tables = {(1, MMAP_TOP // PAGES_2M), (2, MMAP_TOP // PAGES_1G), (3, MMAP_TOP // PAGES_512G)}
        if below:
            self.tables |= {(1, page // PAGES_2M) for page in range(self.top, MMAP_TOP, PAGES_2M)}
            self.tables |= {(2, page // PAGES_1G) for page in range(self.top, MMAP_TOP, PAGES_1G)}

    def mmap(self, pages: int) -> int:
        """First page of a new area."""
        end = self.top
        for start, stop in reversed(self.areas):
            if end - stop >= pages:
                break
            end = start
        area = (end - pages, end)
        self.areas.append(area)
        self.areas.sort()
        return area[0]

    def munmap(self, start: int, pages: int) -> int:
        """Removes an area; returns the number of PTE pages that no area needs any more."""
        self.areas.remove((start, start + pages))
        gone = 0
        for table in range(start // PAGES_2M, (start + pages - 1) // PAGES_2M + 1):
            first, last = table * PAGES_2M, (table + 1) * PAGES_2M
            used = any(a < last and b > first for a, b in self.areas) or last > self.top
            if not used and (1, table) in self.tables:
                self.tables.remove((1, table))
                gone += 1
        return gone

    def missing_tables(self, page: int) -> list[str]:
        """Page-table pages that a fault at a page takes, the highest level first."""
        out = []
        for level, name, span in ((3, "pud", PAGES_512G), (2, "pmd", PAGES_1G), (1, "pte", PAGES_2M)):
            if (level, page // span) not in self.tables:
                self.tables.add((level, page // span))
                out.append(name)
        return out


@dataclass
class File:
    """An open file, its mapping and its pages."""

    ledger: Ledger = field(default_factory=Ledger)
    start: int = 0
    pages: int = 0
    touched: int = 0


class Workload:
    """Builds the requests of one recorded workload up to its peak, operation by operation.

    Args:
        parameters: The recording's workload parameters.
        policy: The recording's secretmem policy.
        cpus: CPUs of the machine.
        time_ns: Time at which a number of secret pages was reached, for grace periods.
        samples: Numbers of secret pages (or steps) at which the recording sampled its counters.
        stop_after: Secret pages after which the recording stopped early, for want of memory.
        fragmenting: What the program left behind before the recording began.
        preset: Name of the footprints preset.
    """

    def __init__(
        self,
        parameters: dict[str, int | str],
        policy: str,
        cpus: int,
        *,
        time_ns: Callable[[float], int],
        samples: frozenset[int],
        booted_ns: int,
        stop_after: int | None = None,
        fragmenting: Fragmenting | None = None,
        preset: str = "minimal_6_1",
    ) -> None:
        self.parameters = parameters
        self.policy = policy
        self.time_ns = time_ns
        self.samples = samples
        self.stop_after = stop_after
        self.state = FootprintState(load_footprints(preset), cpus)
        self.out: list[Request | Release] = []
        self.secret_pages = self.chunks = 0
        self.alone = True
        self.space = AddressSpace(0 if fragmenting is None else fragmenting.pages)
        self.flags = frozenset(("pool",) if policy != "page" else ())
        self.tasks: list[tuple[Ledger, File]] = []
        self.background = deque(sorted(self.state.footprints.background, key=lambda entry: entry.after_ns))
        self.booted_ns = booted_ns
        while self.background and self._due_ns(self.background[0]) <= time_ns(0):
            self._give_boots(self.background.popleft())  # its pages are part of the recorded state
        self.open_pipes = self.pipes = 0
        if fragmenting is not None:
            self._fragment(fragmenting)

    def number(self, name: str, default: int = 0) -> int:
        """A numeric parameter."""
        return int(self.parameters.get(name, default))

    def perform(self, operation: str, ledger: Ledger, **options: object) -> None:
        """Runs one operation, after the callbacks that are due."""
        now_ns = self.time_ns(self.secret_pages)
        while self.background and self._due_ns(self.background[0]) <= now_ns:
            entry = self.background.popleft()
            self.out += self.state.perform(entry.operation, self.state.kernel, now_ns=now_ns)
            self._give_boots(entry)
        while (due := self.state.next_grace_ns()) is not None and due <= now_ns:
            self.out += self.state.end_grace_period(due)
        self.out += self.state.perform(operation, ledger, now_ns=now_ns, **options)  # type: ignore[arg-type]

    def _due_ns(self, entry: BackgroundSpec) -> int:
        return self.booted_ns + entry.after_ns

    def _give_boots(self, entry: BackgroundSpec) -> None:
        for name, count in entry.gives.items():
            self.state.give_boots(name, count)

    def tables(self, page: int, ledger: Ledger) -> bool:
        """Takes upper page tables of a fault; says whether the PTE page is missing too."""
        missing = self.space.missing_tables(page)
        for level in missing:
            if level != "pte":
                self.perform(f"fault_{level}", ledger)
        return "pte" in missing

    def new_file(self, pages: int, mmap: str = "mmap_file", flags: frozenset[str] = frozenset()) -> File:
        """memfd_secret, ftruncate and mmap."""
        file = File(pages=pages)
        self.perform("memfd_secret", file.ledger, flags=self.flags)
        self.perform(mmap, file.ledger, flags=flags)
        if mmap != "mmap_fixed":
            file.start = self.space.mmap(pages)
        return file

    def touch(self, file: File, mapping: Ledger) -> None:
        """Faults the next page of a file."""
        index = file.touched
        flags = frozenset(("new_pte",) if self.tables(file.start + index, mapping) else ())
        if self.policy == "page":
            self.perform("secret_fault", file.ledger, flags=flags)
        elif index % POOL_CHUNK_PAGES == 0:
            self.chunks += 1
            self.perform("pool_chunk", file.ledger, flags=flags | self._vmap_flags())
        elif flags:
            self.perform("read_fault", mapping)
        for _ in range(self.state.footprints.xarray.new_nodes(index)):
            self.perform("page_cache_node", file.ledger)
        file.touched += 1
        self.secret_pages += 1

    def _vmap_flags(self) -> frozenset[str]:
        """What holds of the kernel's addresses for the last chunk: page tables are new with every 256th."""
        ordinal = self.chunks - self.state.footprints.vmap.first_table
        # Stacks are aligned to their size, which leaves holes that a chunk's bookkeeping fits into.
        new = self.alone and ordinal >= 0 and ordinal % 256 == 0
        return frozenset(("eager_vmap", "vmap_table") if new else ("eager_vmap",))

    def anon(self, start: int, first: int, count: int, ledger: Ledger) -> None:
        """Faults anonymous pages of an area in order."""
        for page in range(start + first, start + first + count):
            if self.tables(page, ledger):
                self.perform("read_fault", ledger)
            self.perform("anon_fault", ledger)

    def unmap_file(self, file: File) -> None:
        """munmap and close of a whole file, its data pages in batches."""
        spec = self.state.footprints
        most = max(_per_table(file.start, file.touched), default=0)
        gather = Ledger()
        for _ in range(spec.mmu_gather.gather_pages(most)):
            self.perform("gather_page", gather)
        self.space.munmap(file.start, file.pages)
        self.perform("munmap", file.ledger)
        self.perform("munmap_file", file.ledger)
        self.perform("close_file" if self.policy == "page" else "close_pool_file", file.ledger)

    def unmap_anon(self, start: int, pages: int, ledger: Ledger) -> None:
        """munmap of an anonymous area."""
        for _ in range(self.state.footprints.mmu_gather.gather_pages(ledger.count("anon"))):
            self.perform("gather_page", Ledger())
        self.space.munmap(start, pages)
        self.out += self.state.give("anon", ledger, batched=True)

    def run(self, code: str) -> list[Request | Release]:
        """Runs the workload with a code letter up to its peak (churn: to its last step)."""
        {"a": self._one_memfd, "b": self._many_memfds, "c": self._fork}.get(
            code, self._churn if code == "f" else self._adversary
        )()
        return self.out

    def _fragment(self, left: Fragmenting) -> None:
        """The slabs that opening pipes and closing some between the others leaves behind."""
        pipes = [Ledger() for _ in range(left.pipes)]
        for pipe in pipes:
            self.state.perform("pipe", pipe)
        for closed in range(left.closed):
            self.state.perform("close_pipe", pipes[closed * left.pipes // left.closed])
        self.pipes, self.open_pipes = left.pipes, left.pipes - left.closed
        self.state.end_grace_period(1 << 62)
        self.state.restart_clock()

    def _one_memfd(self) -> None:
        file = self.new_file(self.number("n"))
        self.out.clear()
        mapping = Ledger()
        for _ in range(self.number("n")):
            self.touch(file, mapping)

    def _many_memfds(self) -> None:
        count = self.number("n")
        area = self.space.mmap(count)
        mapping, table = Ledger(), Ledger()
        room = max_fds(FIRST_FD + 2 * self.pipes - 1)  # as many as were ever open
        for index in range(count):
            if self.secret_pages == self.stop_after:
                break
            fd = FIRST_FD + 2 * self.open_pipes + index
            if fd >= room:
                room = max_fds(fd)
                self.perform("drop_fdtable", table)
                self.perform("expand_fdtable", table, flags=frozenset({f"fdtable_of_{room}"}))
                for part, order in zip(("fdtable_array", "fdtable_bitmaps"), fdtable_orders(room), strict=False):
                    self.perform(part, table, order=order)
            file = self.new_file(1, "mmap_fixed")
            file.start = area + index
            self.touch(file, mapping)

    def _fork(self) -> None:
        self.alone = False
        self.perform("workload_start_fork", self.state.kernel)
        self.out.clear()
        parent, self.tasks = Ledger(), []
        anon_pages, secret_pages, later_pages = (self.number(key) for key in ("a0", "s", "a1"))
        for task in range(1, self.number("n") + 1):
            child = Ledger()
            self.perform("fork", child, flags=frozenset(("large_fdtable",) if self.open_pipes else ()))
            parent.move("shared", child, "inherited")
            self.perform("fork_returns", parent)
            self.perform("child_starts", child)
            if anon_pages:
                self.perform("mmap_anon_area", child)
                self.perform("split_leaf", child)
                self.perform("first_anon_fault", child)
                self.perform("anon_fault", child, repeat=anon_pages)
                file = self.new_file(secret_pages, flags=frozenset({"tall_tree"}))
            else:
                file = self.new_file(secret_pages, "mmap_area")
                self.perform("split_leaf", child)
            file.start = MMAP_TOP - anon_pages - secret_pages
            for _ in range(secret_pages):
                self.touch(file, child)
            if later_pages:
                self.perform("mmap_anon", child)
                self.perform("first_anon_fault", child)
                self.perform("anon_fault", child, repeat=later_pages)
            self._touch_shared_page(child)
            self.tasks.append((child, file))
            if task == 1:
                self.perform("child_writes_first_pipe_page", self.state.kernel)
            self.perform("parent_resumes", parent)
            if task in self.samples:
                self.perform("parent_samples", parent)

    def exit_all(self) -> list[Request | Release]:
        """All tasks of the fork workload exit in the order of forking, are reaped, and the machine idles."""
        self.out = []
        for child, file in self.tasks:
            self.perform("exit", child)
            self.out += self.state.give("vma", file.ledger)
            self.perform("close_file" if self.policy == "page" else "close_pool_file", file.ledger)
            self.perform("exit_switched_away", child)
        for child, _ in self.tasks:
            self.perform("reap", child)
        now_ns = self.time_ns(self.secret_pages)
        while (due := self.state.next_grace_ns()) is not None:
            now_ns = max(due, now_ns)
            self.out += self.state.end_grace_period(now_ns)
        return self.out

    def _touch_shared_page(self, child: Ledger) -> None:
        """A child looks at a page shared with its parent, which lies below what the fragmentation mapped."""
        page = self.space.top - 1
        if page // PAGES_1G != (MMAP_TOP - 1) // PAGES_1G:
            self.perform("fault_pmd", child)
        if page // PAGES_2M != (MMAP_TOP - 1) // PAGES_2M:
            self.perform("read_fault", child)

    def _adversary(self) -> None:
        fill = str(self.parameters.get("fill", "anon"))
        between, count = self.number("a0"), self.number("n")
        secret = self.new_file(count)
        other = self.new_file(between * count) if fill == "secret" else secret
        per_file = PAGES_2M if fill == "pt" else 1
        # The filler's area is a whole number of upper tables, so that only its distance from the top counts.
        span = PAGES_512G if fill == "pt" else PAGES_1G
        start = self.space.top - count - -(-between * count * per_file // span) * span
        self.out.clear()
        filler, mapping = Ledger(), Ledger()
        for index in range(count if self.stop_after is None else min(count, self.stop_after)):
            for page in range(index * between, (index + 1) * between):
                if fill == "anon":
                    self.anon(start, page, 1, filler)
                elif fill == "pt":
                    self.tables(start + page * PAGES_2M, filler)
                    self.perform("read_fault", filler)
                elif fill == "pipe":
                    if page % PIPE_PAGES == 0:
                        self.perform("pipe", filler)
                    self.perform("pipe_page", filler)
                elif fill == "secret":
                    self.touch(other, filler)
                else:
                    raise ValueError(f"no such filler: {fill}")
            self.touch(secret, mapping)

    def _churn(self) -> None:
        slots: list[tuple[File, Ledger, int, int] | None] = [None] * self.number("slots")
        draw = _lcg(0x123456789 + self.number("wseed"))
        mapping = Ledger()
        for _ in range(self.number("n")):
            slot = next(draw) % len(slots)
            used = slots[slot]
            if used is not None:
                self._empty_slot(*used)
                slots[slot] = None
                continue
            file = self.new_file(1 + next(draw) % self.number("k"))
            for _ in range(file.pages):
                self.touch(file, mapping)
            ledger, start, pages = Ledger(), 0, 0
            if self.number("anon"):
                pages = 1 + next(draw) % self.number("anon")
                start = self.space.mmap(pages)
                self.anon(start, 0, pages, ledger)
            slots[slot] = (file, ledger, start, pages)
        for used in slots:
            if used is not None:
                self._empty_slot(*used)

    def _empty_slot(self, file: File, ledger: Ledger, start: int, pages: int) -> None:
        self.unmap_file(file)
        if pages:
            self.unmap_anon(start, pages, ledger)


def _per_table(start: int, pages: int) -> Iterator[int]:
    """How many of an area's pages lie under each PTE page."""
    page = start
    while page < start + pages:
        stop = min(start + pages, (page // PAGES_2M + 1) * PAGES_2M)
        yield stop - page
        page = stop


def _lcg(state: int) -> Iterator[int]:
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        yield state >> 33


def interpolate(points: list[tuple[int, int]]) -> Callable[[float], int]:
    """Time at a number of secret pages, linear between (pages, time) points."""
    xs = [x for x, _ in points]

    def time_ns(x: float) -> int:
        upper = min(max(bisect_right(xs, x), 1), len(points) - 1)
        (x0, t0), (x1, t1) = points[upper - 1], points[upper]
        return int(t0 + (t1 - t0) * (x - x0) / max(x1 - x0, 1))

    return time_ns
