"""Machine code on disk: never that of other sources or of another function, and never in the way."""

import shutil
from pathlib import Path

import pytest
from own_process import run

import bnnsim
import bnnsim.kernels._jit as _jit

pytestmark = pytest.mark.skipif(_jit.JIT_OFF, reason="NUMBA_DISABLE_JIT=1: nothing is compiled")
PACKAGE = Path(bnnsim.__file__).parent

PACK = """
import numpy as np
from bnnsim.kernels.words import packing
words = np.zeros((1, 1), np.uint64)
packing.pack_latent(np.zeros((1, 64), np.float32), words, 0, 1)
print(hex(words[0, 0]), sum(packing.pack_latent.stats.cache_hits.values()))
"""
ALL_PLUS, ALL_MINUS = hex(2**64 - 1), "0x0"
ANSWER = """
from bnnsim.kernels._jit import kernel

@kernel
def answer(out, start, stop):
    out[0] = {}
"""
ASK_TWO = """
import numpy as np
import bnnsim.kernels.norm.same as norm
import bnnsim.kernels.words.same as words
out = np.zeros((2, 1), np.int64)
words.answer(out[0], 0, 1)
norm.answer(out[1], 0, 1)
print(*out[:, 0], *(sum(module.answer.stats.cache_hits.values()) for module in (words, norm)))
"""

PANEL = """
import sys
import numpy as np
from bnnsim.kernels.gradients import dense
panel = np.zeros((1, 1, 1, 256), np.uint8)
dense.lookup_panel(np.full((1, 16, 1), 2**64 - 1, np.uint64), panel, 0, 1)          # it makes an array of its own
print(panel.min(), sum(dense.lookup_panel.stats.cache_hits.values()), "numba.np.linalg" in sys.modules)
"""


@pytest.fixture
def copy(tmp_path):
    """A copy of the package without compiled code, in tmp_path / "copy"."""
    shutil.copytree(PACKAGE, tmp_path / "copy" / "bnnsim", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def cached(folder):
    """{file: time} of what Numba's cache holds under a folder."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb[ic]")}


def test_an_edited_word_operation_is_never_served_stale(copy):
    """pack_latent is in packing.py, the comparison that it calls in vector_words.py: Numba's stamp would miss it."""
    assert run(PACK, copy) == [ALL_PLUS, "0"]
    before = cached(copy)
    assert before and run(PACK, copy) == [ALL_PLUS, "1"], "the second run must load, not compile"
    assert cached(copy) == before
    source = copy / "bnnsim" / "kernels" / "words" / "vector_words.py"
    assert source.read_text().count('fcmp_ordered(">="') == 1
    source.write_text(source.read_text().replace('fcmp_ordered(">="', 'fcmp_ordered(">"'))
    assert run(PACK, copy) == [ALL_MINUS, "0"]
    assert run(PACK, copy) == [ALL_MINUS, "1"]


def test_what_is_loaded_needs_nothing_that_compiles(copy):
    """Half of a command's time went into loading it; and other kernels are compiled all the same, in one process."""
    assert run(PANEL, copy) == ["15", "0", "True"]
    assert run(PANEL, copy) == ["15", "1", "False"]
    assert run(PANEL + PACK, copy) == ["15", "1", "False", ALL_PLUS, "0"]
    assert run(PACK + PANEL, copy) == [ALL_PLUS, "1", "15", "1", "False"]


@pytest.mark.slow
def test_an_index_that_cannot_be_read_is_none(copy):
    """An index of older sources names types that have moved: it was an AttributeError at the first call."""
    assert run(PACK, copy) == [ALL_PLUS, "0"]
    for rest in (b"cbnnsim.kernels.gone\nState\n.", b"no pickle", b""):
        for index in copy.rglob("*.nbi"):
            version = index.read_bytes()
            index.write_bytes(version[:version.index(b".") + 1] + rest)
        assert run(PACK, copy) == [ALL_PLUS, "0"], rest
    assert run(PACK, copy) == [ALL_PLUS, "1"]


def test_equal_names_in_two_folders_are_two_functions(copy):
    """File name, function name and line are equal, and so is the byte code but for a constant: Numba would mix them."""
    for folder, value in (("words", 2), ("norm", 3)):
        (copy / "bnnsim" / "kernels" / folder / "same.py").write_text(ANSWER.format(value))
    assert run(ASK_TWO, copy) == ["2", "3", "0", "0"]
    assert run(ASK_TWO, copy) == ["2", "3", "1", "1"]


def test_code_of_all_folders_lies_in_one_that_holds_nothing_else(copy):
    """Sub-folders have no caches of their own, and asking whether a folder can be written to leaves nothing there."""
    run(PACK, copy)
    folder = copy / "bnnsim" / "kernels" / "__pycache__"
    assert {path.parent for path in cached(copy)} == {folder}
    assert {path.suffix for path in folder.iterdir()} == {".nbi", ".nbc"} | {".pyc"}


def test_without_a_writable_folder_it_runs_uncached_and_silent(copy, tmp_path):
    """Read-only install and home: folders under a regular file stand for them, as root may write anywhere."""
    (copy / "bnnsim" / "kernels" / "__pycache__").write_text("not a folder")
    (tmp_path / "file").write_text("not a folder")
    blocked = str(tmp_path / "file" / "cache")
    for places in ({"XDG_CACHE_HOME": blocked, "NUMBA_CACHE_DIR": blocked}, {"HOME": blocked}):
        assert run(PACK, copy, **places) == [ALL_PLUS, "0"]
    assert not cached(tmp_path)


def test_a_read_only_install_caches_in_the_users_folder(copy, tmp_path):
    (copy / "bnnsim" / "kernels" / "__pycache__").write_text("not a folder")
    for hits in "01":
        assert run(PACK, copy, HOME=str(tmp_path / "home")) == [ALL_PLUS, hits]
    assert cached(tmp_path / "home" / ".cache" / "bnnsim")


def test_a_user_without_a_home_folder_can_import(copy, monkeypatch):
    """As in containers that run under a bare user id: "~" has nothing to stand for."""
    monkeypatch.setattr(_jit, "FOLDER", copy / "no" / "such")
    monkeypatch.setattr(_jit, "_is_writable", lambda folder: "~" in str(folder))
    monkeypatch.setattr(_jit.os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(_jit.NUMBA, "CACHE_DIR", "")
    assert _jit.cache_folder.__wrapped__() is None
