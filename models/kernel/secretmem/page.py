"""Policy `page`: one order-0 page per fault, 4K of the direct map at a time (merged in 5.14)."""

from models.kernel.entities import Mapping, SecretFile
from models.kernel.errors import FaultResult
from models.kernel.secret_pages import ALL_PAGES, OUT_OF_MEMORY, fault_page, release_pages
from models.kernel.secretmem.base import Faults, Policy

__all__ = ["PagePolicy"]


class PagePolicy(Policy):
    """One zeroed unmovable page per fault, then a flush of that page's kernel address on all CPUs."""

    compiled = True

    def fault(self, cpu: int, mapping: Mapping, count: int) -> Faults:
        """See `Policy.fault`."""
        kernel, file = self.kernel, mapping.file
        assert file is not None
        node = kernel.node_of[cpu]
        for done in range(count):
            ended = fault_page(
                kernel.handle,
                cpu,
                node,
                mapping.holder,
                file.holder,
                mapping.touched,
                kernel.node_cache,
                kernel.node_shift,
            )
            if ended == OUT_OF_MEMORY:
                return Faults(done, FaultResult.OOM)
            mapping.touched += 1
            file.present += 1
        return Faults(count, FaultResult.DONE)

    def release(self, cpu: int, file: SecretFile) -> None:
        """Map each page again (no flush, no merge), clear it, free it."""
        release_pages(self.kernel.handle, cpu, file.holder, ALL_PAGES)

    def release_part(self, cpu: int, file: SecretFile) -> bool:
        """See `Policy.release_part`."""
        freed = release_pages(self.kernel.handle, cpu, file.holder, 1)
        return bool(freed > 0 and self.kernel.state.holders[file.holder]["present"] > 0)
