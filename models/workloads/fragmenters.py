"""What fragments the direct map besides secret memory: its workloads by kind."""

from __future__ import annotations

from models.workloads.base import Workload
from models.workloads.bpf import Bpf, BpfConfig
from models.workloads.drivers import Drivers, DriversConfig
from models.workloads.guests import GuestMemfd, GuestMemfdConfig, Snp, SnpConfig
from models.workloads.hwpoison import Hwpoison, HwpoisonConfig
from models.workloads.memory_churn import MemoryChurn, MemoryChurnConfig
from models.workloads.modules import Modules, ModulesConfig
from models.workloads.tracing import Tracing, TracingConfig

__all__ = ["FRAGMENTERS", "FragmenterConfig"]

FRAGMENTERS: dict[str, type[Workload]] = {
    "modules": Modules,
    "bpf": Bpf,
    "tracing": Tracing,
    "guest_memfd": GuestMemfd,
    "hwpoison": Hwpoison,
    "drivers": Drivers,
    "snp": Snp,
    "memory_churn": MemoryChurn,
}

FragmenterConfig = (
    ModulesConfig | BpfConfig | TracingConfig | GuestMemfdConfig | HwpoisonConfig | DriversConfig | SnpConfig
    | MemoryChurnConfig
)
