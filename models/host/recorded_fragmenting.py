"""What the recorded program does before some recordings begin, so that memory is in pieces: it leaves pages and pipes.

It maps ordinary pages, fills pipes between them, and gives a part of both back. The pages are part of the state in
which the recording begins; what matters is what that does not say: descriptors, free objects of slabs, mappings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from models.host.recording import AllocatorRecording
from models.kernel.areas import MMAP_TOP
from models.kernel.descriptors import max_fds
from models.kernel.entities import Task
from models.kernel.kernel import Kernel

__all__ = ["Fragmenting", "fragmenting_of"]

#: What the program says of it.
_NOTE: Final = re.compile(r"NOTE,fragment anon \d+ pipes (\d+) closed (\d+)")
# Without that: a pipe of so many pages for so many times as many ordinary ones, of which so many are closed again.
_PIPE_PAGES: Final = 16
_PAGES_PER_PIPE_PAGE: Final = 24
_CLOSED_EVERY: Final = 4
_KB_PER_PAGE: Final = 4
_TOP_PAGES: Final = 4
_UNTIL_THE_END_NS: Final = 1 << 62


@dataclass(frozen=True)
class Fragmenting:
    """What the program has left.

    Attributes:
        pages: ordinary pages that it mapped.
        kept_pages: those of them that it still holds.
        pipes: that it opened.
        closed: of those, that it has closed again.
    """

    pages: int
    kept_pages: int
    pipes: int
    closed: int

    @property
    def mapped(self) -> tuple[tuple[int, int], ...]:
        """First and last pages of its mappings, the large one first.

        Where they lie is not recorded. That there are three, two of them with a gap above, is read off the nodes that
        the tree of mappings takes in `b_page_1g_steal`, `b_page_2g_steal` and `b_page_4g_frag`; where the lowest
        begins, off the time that look-ups below it take in these and in `h_page_1g_steal`.
        """
        start = MMAP_TOP - self.pages
        if self.pages <= _TOP_PAGES:
            return ((start, MMAP_TOP - 1),)
        books = (MMAP_TOP - 4, MMAP_TOP - 2)
        return (start, books[0] - 1), *((page, page) for page in books)

    def leave(self, kernel: Kernel, task: Task, cpu: int) -> None:
        """Bring a task and the slabs of a kernel into the state that this leaves behind.

        That it is one mapping more than without, and a table of descriptors, is read off when slabs of mappings, of
        their owners and of 64 bytes are taken in `c_page_1g_steal2`.
        """
        task.areas.lower(MMAP_TOP - self.mapped[0][0])
        task.max_fds = max_fds(task.descriptors + 2 * self.pipes - 1)
        counts = kernel.state.counts[0]
        counts["before_start"] = 1
        kernel.read_proc(cpu)
        holders = [kernel.new_holder() for _ in range(self.pipes)]
        for holder in holders:
            kernel.run("pipe", holder, cpu)
        for closed in range(self.closed):
            kernel.run("close_pipe", holders[closed * self.pipes // self.closed], cpu)
        kernel.run_deferred(_UNTIL_THE_END_NS)
        mapping = kernel.new_holder()
        kernel.run("mmap_anon_area", mapping, cpu)
        kernel.run("first_anon_fault", mapping, cpu)
        kernel.run("expand_fdtable", task.holder, cpu)
        counts["before_start"] = kernel.spent_ns = 0
        kernel.state.runs[:] = 0
        task.descriptors += 2 * (self.pipes - self.closed)


def fragmenting_of(recording: AllocatorRecording) -> Fragmenting | None:
    """Return what the program left before a recording began, by its own words; None: nothing."""
    parameters = recording.workload.parameters
    pages = int(parameters.get("frag", 0))
    if not pages:
        return None
    said = next((found for note in recording.notes if (found := _NOTE.match(note))), None)
    if said is not None:
        pipes, closed = (int(number) for number in said.groups())
    else:
        pipes = pages // (_PIPE_PAGES * int(parameters.get("fevery", _PAGES_PER_PIPE_PAGE)))
        closed = pipes // _CLOSED_EVERY
    # Page tables left out, by what was free.
    held = [s.free_kb + s.page_tables_kb for s in recording.samples if s.label in ("boot", "start")]
    kept_pages = (held[0] - held[-1]) // _KB_PER_PAGE - _PIPE_PAGES * (pipes - closed)
    return Fragmenting(pages, max(0, min(kept_pages, pages)), pipes, closed)
