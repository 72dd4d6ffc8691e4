"""Snapshots of copied machines: gaps are named, files load, simulations start from the state they describe."""

import shutil
from pathlib import Path

import pytest

from models.host.capture import Captured
from models.host.cpuid import decode_amd_tlb, tlb_preset
from models.host.page_table_dump import parse_direct_map_tiles
from models.host.snapshot import take_snapshot
from models.host.snapshot_file import to_yaml
from models.host.sources import PAGE_TABLES, Sources, Unreadable
from models.machine.machine import MachineConfig, build_machine
from models.machine.snapshot import Snapshot, load_snapshot
from simcore.errors import ConfigError, SimcoreError
from simcore.run import run
from tests.models.host.proc_machines import MACHINES, sources


def _written(snapshot: Snapshot, directory: Path) -> Path:
    path = directory / "machine.yaml"
    path.write_text(to_yaml(snapshot), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("machine", "part", "reason"),
    [
        ("zen5_guest_24g", "kernel", "/proc/version is not there"),
        ("xeon_5_15_two_nodes", "pages", "kpageflags is not there"),
        ("xeon_5_15_two_nodes", "secretmem", "off by default before 6.5"),
        ("arm64_6_6", "direct_map", "no DirectMap lines"),
        ("arm64_6_6", "splits", "no direct_map_"),
        ("container_6_8", "memory", "hides the addresses without root"),
        ("container_6_8", "free_blocks", "pagetypeinfo is not there"),
        ("container_6_8", "host_page", "virtual machine"),
        ("container_6_8", "tiles", "drawn at random"),
    ],
)
def test_gaps_are_named(machine: str, part: str, reason: str) -> None:
    """Whoever reads the file must see what was not read, and why."""
    assert reason in take_snapshot(sources(machine)).provenance[part].gap


@pytest.mark.parametrize("machine", MACHINES)
def test_a_simulation_starts_from_the_snapshot(machine: str, tmp_path: Path) -> None:
    """Free memory and reported counters are those of the machine, and a run goes on from there."""
    snapshot = take_snapshot(sources(machine))
    path = _written(snapshot, tmp_path)
    result = run(
        {
            "model": "direct_map",
            "machine": {"snapshot": str(path)},
            "workloads": {"w": {"kind": "one_file", "pages": 8}},
        }
    )
    series = result.series
    free_pages = sum(count << order for line in snapshot.free_blocks for order, count in enumerate(line.blocks))
    assert abs(int(series["memory.free_bytes"][0]) // 4096 - free_pages) <= free_pages // 100
    known = snapshot.direct_map
    if known.kb_4k is not None:
        assert int(series["direct_map.4k_bytes"][0]) == known.kb_4k * 1024
        assert int(series["direct_map.level2_splits"][0]) == known.level2_splits
        new = int(series["direct_map.level2_splits"][-1]) - int(series["direct_map.level2_splits"][0])
        assert 0 <= new <= 8
    else:  # arm64 of that time maps everything at 4K
        assert int(series["direct_map.level2_splits"][-1]) == 0


def test_placements_differ_with_the_seed_and_only_with_it(tmp_path: Path) -> None:
    """What is unknown is drawn from a named stream: the same seed gives the same run."""
    path = _written(take_snapshot(sources("zen5_guest_24g")), tmp_path)

    def fingerprint(seed: int) -> str:
        workloads = {"w": {"kind": "many_files", "files": 64}}
        return run(
            {"model": "direct_map", "seed": seed, "machine": {"snapshot": str(path)}, "workloads": workloads}
        ).fingerprint

    assert fingerprint(1) == fingerprint(1)
    assert fingerprint(1) != fingerprint(2)


def test_the_machine_is_that_of_the_snapshot(tmp_path: Path) -> None:
    """CPUs, nodes, sockets and TLB come from the file; keys beside it win."""
    path = _written(take_snapshot(sources("xeon_5_15_two_nodes")), tmp_path)
    machine = build_machine(MachineConfig.model_validate({"snapshot": str(path)}))
    assert (machine.cpus, len(machine.nodes), machine.tlb.name) == (8, 2, "cascade_lake")
    assert [node.cpus for node in machine.nodes] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert MachineConfig.model_validate({"snapshot": str(path), "tlb": "zen2"}).tlb == "zen2"


def test_paths_are_relative_to_the_configuration(tmp_path: Path) -> None:
    """A file that names its neighbour must work from any directory, and its effective form too."""
    _written(take_snapshot(sources("zen5_guest_24g")), tmp_path)
    config = tmp_path / "run.yaml"
    config.write_text(
        "model: direct_map\nmachine: {snapshot: machine.yaml}\nworkloads: {w: {kind: one_file, pages: 2}}\n",
        encoding="utf-8",
    )
    result = run(config)
    assert run(result.config).fingerprint == result.fingerprint


def test_no_snapshot_and_a_broken_one_are_told_with_the_file(tmp_path: Path) -> None:
    """A wrong file must not look like a wrong machine."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_snapshot(tmp_path / "none.yaml")
    (tmp_path / "other.yaml").write_text("cpus: 0\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"other\.yaml"):
        load_snapshot(tmp_path / "other.yaml")
    with pytest.raises(SimcoreError, match="snapshot"):
        run({"model": "direct_map", "machine": {"snapshot": "none.yaml"}, "workloads": {"w": {"kind": "one_file"}}})


def test_a_machine_without_its_first_files_is_refused(tmp_path: Path) -> None:
    """Nothing at all is no machine: one message, no traceback."""
    with pytest.raises(SimcoreError, match="/proc/"):
        take_snapshot(Sources.copied(tmp_path))


def test_tiles_of_a_page_table_dump() -> None:
    """The direct map's section begins at physical 0; what lies at other addresses is not it."""
    base = 0xFFFF888000000000
    lines = [
        (0, 0x200000, "2M", "RW                     NX pte"),
        (0x200000, 0x40000000, "1022M", "RW         PSE         NX pmd"),
        (0x40000000, 0xC0000000, "2G", "RW         PSE     GLB NX pud"),
        (0xC0000000, 0x100000000, "1G", "                           pud"),
        (0x100000000, 0x100001000, "4K", "                           pte"),
        (0x100001000, 0x100200000, "2044K", "RW                     NX pte"),
        (0x100200000, 0x140000000, "1022M", "RW         PSE         NX pmd"),
    ]
    text = "---[ Low Kernel Mapping ]---\n"
    text += "".join(f"0x{base + a:016x}-0x{base + b:016x} {size:>12} {rest}\n" for a, b, size, rest in lines)
    text += "---[ vmalloc() Area ]---\n0xffffc90000000000-0xffffc90000001000           4K     RW           NX pte\n"
    assert parse_direct_map_tiles(text) == [
        (0, 512, 1), (512, 261632, 2), (262144, 524288, 3), (1048576, 512, 1), (1049088, 261632, 2),
    ]  # fmt: skip
    assert parse_direct_map_tiles("---[ User Space ]---\n") is None


def _with_page_tables(directory: Path, text: str) -> Sources:
    """A machine of which root has copied the dump of its page tables too."""
    shutil.copytree(MACHINES["container_6_8"], directory)
    dump = directory / "sys" / PAGE_TABLES
    dump.parent.mkdir(parents=True, exist_ok=True)
    dump.write_text(text, encoding="ascii")
    return Sources.copied(directory)


def test_regions_at_4k_are_taken_from_the_page_tables(tmp_path: Path) -> None:
    """Where the kernel dumps them, nothing is drawn: every placement begins with that tiling, and goes on from it."""
    plain = take_snapshot(sources("container_6_8"))
    end = -(-max(zone.end_pfn for zone in plain.zones) >> 9) << 21
    base = 0xFFFF888000000000
    lines = [(0, 0x200000, "RW  NX pte"), (0x200000, end, "RW  PSE  GLB NX pmd")]
    text = "---[ Low Kernel Mapping ]---\n"
    text += "".join(f"0x{base + a:016x}-0x{base + b:016x} {(b - a) >> 10:>12}K {rest}\n" for a, b, rest in lines)
    snapshot = take_snapshot(_with_page_tables(tmp_path / "proc", text))
    assert snapshot.provenance["tiles"].gap == ""
    assert snapshot.direct_map.tiles == ((0, 512, 1), (512, (end >> 12) - 512, 2))
    path = _written(snapshot, tmp_path)
    workload = {"kind": "one_file", "pages": 8}
    result = run({"model": "direct_map", "machine": {"snapshot": str(path)}, "workloads": {"w": workload}})
    splits = result.series["direct_map.level2_splits"]
    assert 1 <= int(splits[-1]) - int(splits[0]) <= 8
    assert result.series["direct_map.level3_splits"][-1] == result.series["direct_map.level3_splits"][0]


def test_a_dump_without_a_direct_map_is_a_gap(tmp_path: Path) -> None:
    """As on a kernel that calls the section differently: said, and drawn as elsewhere."""
    snapshot = take_snapshot(_with_page_tables(tmp_path / "proc", "---[ User Space ]---\n"))
    assert "has no direct map" in snapshot.provenance["tiles"].gap
    assert snapshot.direct_map.tiles is None


def test_page_tables_are_those_of_before_the_run() -> None:
    """Read afterwards they would show the run's own splits, and the simulation would split nothing."""
    captured = Captured(page_tables="as they were")
    assert captured.sys_text(PAGE_TABLES) == "as they were"
    with pytest.raises(Unreadable, match="not there"):
        Captured(page_tables=Unreadable("it is not there")).sys_text(PAGE_TABLES)


def test_the_l2_field_of_zen_5_overflows() -> None:
    """4,096 entries do not fit 12 bits: what CPUID says must not be believed there, and must be elsewhere."""
    assert decode_amd_tlb(0x00000000, 26)[0] == 4096
    assert "overflow" in decode_amd_tlb(0x00800000, 26)[1]
    assert decode_amd_tlb(0x58004000 | 2048 << 16, 25) == (2048, "")


@pytest.mark.parametrize(
    ("cpu", "preset"),
    [
        ({"vendor_id": "AuthenticAMD", "cpu family": "26", "model": "2"}, "zen5"),
        ({"vendor_id": "AuthenticAMD", "cpu family": "25", "model": "17"}, "zen4"),
        ({"vendor_id": "AuthenticAMD", "cpu family": "25", "model": "1"}, "zen3"),
        ({"vendor_id": "GenuineIntel", "cpu family": "6", "model": "85", "stepping": "4"}, "skylake_sp"),
        ({"vendor_id": "GenuineIntel", "cpu family": "6", "model": "85", "stepping": "7"}, "cascade_lake"),
        ({"CPU implementer": "0x41", "CPU part": "0xd0c"}, "neoverse_n1"),
        ({"vendor_id": "CentaurHauls", "cpu family": "6", "model": "1"}, None),
    ],
)
def test_presets_by_cpu_model(cpu: dict[str, str], preset: str | None) -> None:
    """An unknown CPU has no preset, rather than a wrong one."""
    assert tlb_preset(cpu) == preset
