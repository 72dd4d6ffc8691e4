"""The published rows, what the model says to each, and which of them its constants were fitted to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from models.validation.fits import published

__all__ = ["Row", "rows"]

Summary = Mapping[str, Any]
EVERYBODY: Final = ("build", "cache", "reader", "router", "crypt")
# Of a kernel build's time, as the bystander's preset takes it.
SYSTEM_SHARE_OF_BUILD: Final = 1 / 6


class Row(NamedTuple):
    """One figure.

    Attributes:
        source: key of published.yaml.
        what: the figure, for people.
        config: file of configs/validation that predicts it.
        use: whether constants were fitted to it, or it is predicted.
        published: the figure; two numbers are a range, or an upper bound when the first is 0.
        model: the same from a run's summary.
        unit: of both.
    """

    source: str
    what: str
    config: str
    use: Literal["fit", "predict"]
    published: float | tuple[float, float]
    model: Callable[[Summary], float]
    unit: str = ""


def _ratio(workload: str) -> Callable[[Summary], float]:
    return lambda s: float(s[f"workloads.{workload}.spent_ns"] / s[f"workloads.{workload}.base_ns"])


def _loops(kind: str, threads: int) -> Callable[[Summary], float]:
    return lambda s: float(s[f"workloads.{kind}.loops_per_s_{threads}"]) / 1e3


def _mean(key: str, factor: float = 1.0) -> Callable[[Summary], float]:
    return lambda s: factor * sum(s[f"bystander.{name}.{key}"] for name in EVERYBODY) / len(EVERYBODY)


def _percent(key: str, less: float = 0.0) -> Callable[[Summary], float]:
    return lambda s: 100 * (float(s[key]) - less)


def _system_time_saved(summary: Summary) -> float:
    """What entries of more than 4K save of a build's system time, %."""
    slower = float(summary["bystander.build.time_at_4k"]) - 1
    return 100 * slower / (SYSTEM_SHARE_OF_BUILD + slower)


def rows() -> list[Row]:
    """All rows, in the order of published.yaml."""
    figures = published()
    result = [
        Row("rapoport_2020", "kernel build, 4K against 1G", "rapoport_kernel_build.yaml", "predict", (-7.0, 7.0),
            _percent("bystander.build.slowdown_4k_1g"), "%"),
        Row("rapoport_2020", "kernel build, 2M against 1G", "rapoport_kernel_build.yaml", "predict", (-7.0, 7.0),
            _percent("bystander.build.slowdown_2m_1g"), "%"),
    ]  # fmt: skip
    for size, share in figures["intel_0day_2021"]["best_mapping_share"].items():
        key = f"best_at_{size.lower()}"
        result.append(Row("intel_0day_2021", f"{size} best", "intel_best_mapping.yaml", "predict", 100 * share,
                          _mean(key, 100), "% of tests"))  # fmt: skip
    result.append(Row("meta_bpf_pack_2022", "a fragmented direct map", "meta_fragmented.yaml", "predict",
                      float(figures["meta_bpf_pack_2022"]["fragmented_direct_map_cost_percent"]),
                      _mean("slowdown_reach", 100), "%"))  # fmt: skip
    ampere = figures["ampereone_2025"]
    result.append(Row("ampereone_2025", "page tables saved", "ampereone_memory.yaml", "predict",
                      float(ampere["page_table_memory_saved_kib"]),
                      lambda s: (s["direct_map.2m_bytes"] + s["direct_map.1g_bytes"]) / 512 / 1024, "KiB"))  # fmt: skip
    change = ampere["change_percent"]
    low, high = change["dm_crypt_4k_write_iops"]
    gains: tuple[tuple[str, str, float | tuple[float, float]], ...] = (
        ("reader", "sequential read bandwidth", float(change["sequential_read_bandwidth"])),
        ("crypt", "dm-crypt writes", (float(low), float(high))),
        ("cache", "memcached operations", float(change["memcached_ops"])),
    )
    for name, what, given in gains:
        result.append(Row("ampereone_2025", what, "ampereone_gains.yaml", "predict", given,
                          _percent(f"bystander.{name}.time_at_4k", 1.0), "%"))  # fmt: skip
    result.append(Row("ampereone_2025", "kernel build, system time", "ampereone_gains.yaml", "predict",
                      -float(change["kernbench_system_time"]), _system_time_saved, "% less"))  # fmt: skip
    xpfo = figures["xpfo_2019"]
    for machine, cpus, use in (("i5_3550_4cpu", 4, "fit"), ("xeon_8160_96cpu", 96, "predict")):
        row = xpfo[machine]
        for key, suffix in (("xpfo", ""), ("deferred_flush", "_deferred"), ("batched", "_batched")):
            result.append(Row("xpfo_2019", f"{key} on {cpus} CPUs", f"xpfo_{cpus}cpu{suffix}.yaml",
                              "predict" if use == "predict" else "fit",
                              row[key] / row["base"], _ratio("make"), "times"))  # fmt: skip
    guest = figures["guest_memfd_2025"]
    result.append(Row("guest_memfd_2025", "page fault", "guest_memfd.yaml", "predict",
                      (0.0, float(guest["page_fault_elongation_max"])), _ratio("populate"), "times"))  # fmt: skip
    storm = figures["invlpgb_2025"]
    for kind in ("ipi", "invlpgb"):
        for threads, rate in zip(storm["threads"], storm[kind], strict=True):
            result.append(Row("invlpgb_2025", f"{kind}, {threads} threads", "invlpgb.yaml",
                              "fit" if threads <= 4 else "predict", float(rate), _loops(kind, threads),
                              "thousand loops/s"))  # fmt: skip
    gups = figures["basu_2013"]["walk_share_percent"]["gups"]
    for size, share in gups.items():
        result.append(Row("basu_2013", f"GUPS, walks with {size}", "basu_gups.yaml",
                          "fit" if size == "4K" else "predict", float(share),
                          _percent(f"bystander.gups.walk_share_at_{size.lower()}"), "% of cycles"))  # fmt: skip
    return result
