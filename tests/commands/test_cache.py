"""``bnnsim cache``: it counts and removes what bnnsim's kernels made, and nothing else, whatever lies there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bnnsim.cache as cache
import bnnsim.commands.kernel_files as kernel_files
import bnnsim.kernels._jit as _jit

OTHER = "0123456789abcdef0123"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Three places with a kernel each: the one in use, one of other sources, and one beside the kernels."""
    used, other, beside = (tmp_path / name for name in ("in_use", f"home/bnnsim/numba/{OTHER}", "beside/__pycache__"))
    for folder in (used, other, beside):
        folder.mkdir(parents=True)
        for name in ("conv.forward-1.py311.nbi", "conv.forward-1.py311.1.nbc"):
            (folder / name).write_bytes(b"1234")
    monkeypatch.setattr(_jit, "cache_folder", lambda: used)
    monkeypatch.setattr(_jit, "FOLDER", tmp_path / "beside")
    monkeypatch.setattr(_jit.NUMBA, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return used, other, beside


def found(capsys, *words):
    assert cache.main(["--format", "json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_tells_where_they_lie_and_how_much(folders, capsys):
    told = found(capsys)
    assert [Path(one["folder"]) for one in told["folders"]] == [folders[0], folders[2], folders[1]]
    assert (told["n_files"], told["n_bytes"], told["removed"]) == (6, 24, False)
    assert cache.main([]) == 0
    said = capsys.readouterr().out
    assert f"{folders[0]}: 2 files, 0.0 MB, in use" in said and "of other sources" in said and "6 files" in said


def test_only_what_kernels_made_is_removed(folders, tmp_path, capsys):
    used, other, beside = folders
    kept = [used / "notes.txt", used / "x.nbc.bak", beside / "_jit.cpython-311.pyc", other.parent / "mine.nbc",
            other.parent.parent / "fashion" / "images.gz", other / "folder.nbc" / "inside.nbc"]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    (used / "conv.forward-1.py311.2.nbc.tmp.0a1b2c").write_bytes(b"of a killed process")
    told = found(capsys, "--clear")
    assert (told["n_files"], told["removed"]) == (7, True)
    assert all(path.read_bytes() == b"mine" for path in kept) and all(folder.is_dir() for folder in folders)
    left = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert left == {path for path in kept if path.parent in folders or path.parent.parent in folders}
    assert found(capsys)["n_files"] == 0


@pytest.mark.skipif(os.name != "posix", reason="other systems need rights for links")
def test_no_link_is_followed(folders, tmp_path, capsys):
    used, other, _ = folders
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.nbc").write_bytes(b"precious")
    (used / "link.nbc").symlink_to(elsewhere / "precious.nbc")
    (other.parent / OTHER[::-1]).symlink_to(elsewhere)
    found(capsys, "--clear")
    assert (elsewhere / "precious.nbc").read_bytes() == b"precious" and (used / "link.nbc").is_symlink()


def test_a_link_in_the_folders_place_is_not_followed_either(folders, tmp_path):
    """It was a folder when it was listed."""
    if os.unlink not in os.supports_dir_fd:
        pytest.skip("this system cannot tell")
    used = folders[0]
    elsewhere = tmp_path / "elsewhere"
    used.rename(elsewhere)
    used.symlink_to(elsewhere)
    with pytest.raises(OSError):
        kernel_files._unlink(used, "conv.forward-1.py311.nbi")
    assert kernel_files._files(used) == [] and len(os.listdir(elsewhere)) == 2


def test_a_dry_run_removes_nothing(folders, capsys):
    assert cache.main(["--clear", "--dry-run"]) == 0
    assert "6 files, 0.0 MB would be removed" in capsys.readouterr().out
    assert found(capsys)["n_files"] == 6


def test_what_another_process_removed_first_is_no_error(folders, monkeypatch, capsys):
    original = kernel_files._unlink

    def late(folder, name):
        os.unlink(folder / name)
        original(folder, name)

    monkeypatch.setattr(kernel_files, "_unlink", late)
    assert cache.main(["--clear"]) == 0 and "6 files, 0.0 MB removed" in capsys.readouterr().out
    assert found(capsys)["n_files"] == 0


def test_what_cannot_be_removed_is_told_and_the_rest_is_gone(folders, monkeypatch, capsys):
    original = kernel_files._unlink

    def refused(folder, name):
        if folder == folders[1]:
            raise PermissionError(13, "Permission denied")
        original(folder, name)

    monkeypatch.setattr(kernel_files, "_unlink", refused)
    with pytest.raises(SystemExit) as stop:
        cache.main(["--clear"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "cannot remove 2 of the files, all others are gone: Permission denied" in said
    assert found(capsys)["n_files"] == 2


@pytest.mark.skipif(_jit.JIT_OFF, reason="NUMBA_DISABLE_JIT=1: nothing is compiled")
def test_a_process_goes_on_when_its_kernels_are_removed(tmp_path):
    """It has run some, and then runs others and the same; afterwards they are there again."""
    shutil.copytree(_jit.FOLDER.parent, tmp_path / "copy" / "bnnsim", ignore=shutil.ignore_patterns("__pycache__"))
    code = """
import subprocess, sys, numpy as np
import bnnsim
bits = bnnsim.PackedBits.pack(np.ones((3, 70), np.int8))
subprocess.run([sys.executable, "-m", "bnnsim.cache", "--clear"], check=True)
again = bnnsim.PackedBits.pack(np.ones((3, 70), np.int8))
print(bits == again, bits.unpack().shape)
"""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba"), "XDG_CACHE_HOME": str(tmp_path / "home"),
           "PYTHONPATH": str(tmp_path / "copy")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("True (3, 70)\n"), done.stderr
    assert "bnnsim/numba" not in done.stdout and " 0 files" not in done.stdout.splitlines()[0]
    assert list((tmp_path / "numba").glob("bnnsim/*/*.nbi"))
