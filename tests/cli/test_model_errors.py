"""Bad input about machines, kernels and workloads: exit code 2 and one message that helps, whatever is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simcore.cli import main

GOOD = """\
name: good
machine:
  memory: 256MiB
  cpus: 1
kernel:
  secretmem:
    policy: page
workloads:
  file:
    kind: one_file
    pages: 8
"""


def simcore(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    """Run the command in this process; return its exit code and what it said on standard error."""
    monkeypatch.setattr("sys.argv", ["simcore", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0), capsys.readouterr().err
    return 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "expected"),
    [
        pytest.param("memory:", "memroy:", 3, "machine.memroy", "'memory'", id="unknown key"),
        pytest.param("pages: 8", "pagse: 8", 11, "workloads.file.pagse", "'pages'", id="unknown key of a workload"),
        pytest.param("kernel:", "kernal:", 5, "kernal", "'kernel'", id="unknown key at the top"),
        pytest.param("256MiB", "256MiX", 3, "machine.memory", "MiB", id="wrong unit"),
        pytest.param(
            "pages: 8", "pages: 8\n    hold: 3 parsec", 12, "workloads.file.hold", "ms", id="wrong unit of time"
        ),
        pytest.param("256MiB", "-1GiB", 3, "machine.memory", "-1", id="negative size"),
        pytest.param("256MiB", "17TiB", 3, "machine.memory", "16", id="impossible machine: too large"),
        pytest.param("256MiB", "1MiB", 3, "machine.memory", "32", id="impossible machine: too small"),
        pytest.param("cpus: 1", "cpus: 0", 4, "machine.cpus", "1", id="no CPU"),
        pytest.param("cpus: 1", "cpus: 1\n  nodes: 4", 2, "machine", "4 nodes share 1 CPUs", id="more nodes than CPUs"),
        pytest.param("pages: 8", "pages: -8", 11, "workloads.file.pages", "1", id="negative number"),
        pytest.param("pages: 8", "pages: many", 11, "workloads.file.pages", "many", id="no number"),
        pytest.param("policy: page", "policy: pgae", 6, "kernel.secretmem", "'page'", id="unknown policy"),
        pytest.param("kind: one_file", "kind: one_fiel", 10, "workloads.file", "one_file", id="unknown workload"),
        pytest.param(
            "  file:\n",
            "  file: {kind: one_file}\n  file:\n",
            10,
            "workloads.file",
            "line 9",
            id="two workloads of one name",
        ),
        pytest.param(
            "policy: page", "policy: page\n    policy: page", 8, "kernel.secretmem.policy", "line 7", id="a key twice"
        ),
        pytest.param("policy: page", "policy: !!python/object/apply:os.getcwd []", 7, "", "python", id="unsafe tag"),
        pytest.param("  memory: 256MiB", "\tmemory: 256MiB", 3, "", "cannot start any token", id="a tab"),
        pytest.param("name: good", "name: good\nseed: -1", 2, "seed", "0", id="negative seed"),
    ],
)
def test_bad_input_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    old: str, new: str, line: int, key: str, expected: str,
) -> None:  # fmt: skip
    """One message with file, line, key and what was expected, or the nearest valid name; nothing is written."""
    assert GOOD.count(old) == 1
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace(old, new))
    code, said = simcore(capsys, monkeypatch, "run", str(path), "--out", str(tmp_path / "out"))
    assert code == 2
    assert "Traceback" not in said
    found = re.match(r"simcore: (\S+):(\d+):", said)
    assert found is not None, said
    assert (found[1], abs(int(found[2]) - line) <= 1) == (str(path), True), said
    assert key in said
    assert expected in said
    assert said.count("simcore:") == 1
    assert not (tmp_path / "out").exists()


def test_the_good_file_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the table above spoils is otherwise in order."""
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    code, said = simcore(capsys, monkeypatch, "run", str(path), "--out", str(tmp_path / "out"))
    assert (code, said) == (0, "")


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named."""
    code, said = simcore(capsys, monkeypatch, "run", str(tmp_path / "none.yaml"))
    assert code == 2
    assert "none.yaml" in said


def test_a_missing_base(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that cannot be found is named."""
    path = tmp_path / "derived.yaml"
    path.write_text("base: nowhere.yaml\n" + GOOD)
    code, said = simcore(capsys, monkeypatch, "run", str(path))
    assert code == 2
    assert "nowhere.yaml" in said


def test_a_yaml_bomb_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aliases of aliases of aliases do not grow into memory."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines) + "\n" + GOOD)
    code, said = simcore(capsys, monkeypatch, "run", str(path))
    assert code == 2
    assert "Traceback" not in said
    assert str(path) in said


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("machine.memory=64 Giraffes", "machine.memory"),
        ("workloads.file.pages=-1", "workloads.file.pages"),
        ("kernel.secretmem.policy=pmd_pol", "pmd_pool"),
        ("machine.cpu=3", "cpus"),
    ],
)
def test_bad_overrides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, setting: str, key: str
) -> None:
    """A wrong ``--set`` is told like a wrong file."""
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    code, said = simcore(capsys, monkeypatch, "run", str(path), "--set", setting)
    assert code == 2
    assert key in said
    assert "Traceback" not in said


def test_out_of_memory_is_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks are killed and counted, and the run ends well."""
    path = tmp_path / "full.yaml"
    path.write_text(
        GOOD.replace("256MiB", "64MiB").replace("page\n", "page\n  boot: bare\n", 1)
        + "    user: root\n    hold: 1ms\nusers:\n  root: {capabilities: [ipc_lock]}\n"
    )
    monkeypatch.chdir(tmp_path)
    code, said = simcore(capsys, monkeypatch, "run", str(path), "--set", "workloads.file.pages=1000000", "--json")
    assert (code, said) == (0, "")
