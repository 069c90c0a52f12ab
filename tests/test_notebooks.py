"""The notebooks of examples/notebooks: what they store is what they give, in a kernel and in one plain process."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bnnsim

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
KERNEL = "nbclient, nbformat and ipykernel, of the extra bnnsim[notebook], run notebooks in a kernel"


def cells_of(notebook):
    """The cells of code, with their sources as text."""
    found = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [{**cell, "source": "".join(cell["source"])} for cell in found]


def printed(cells):
    """What cells print; not the bars, which tell times."""
    return "".join("".join(output["text"]) for cell in cells for output in cell["outputs"]
                   if output["output_type"] == "stream" and output["name"] == "stdout")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def stored(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path):
    """A copy of the folder, so that runs leave nothing in the project."""
    return shutil.copytree(FOLDER, tmp_path / "notebooks", ignore=shutil.ignore_patterns("__pycache__", ".*"))


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(bnnsim.__file__).resolve().parent.parent), "BNNSIM_OFFLINE": "1"}


@pytest.mark.jit_off
def test_there_are_notebooks_and_they_are_small():
    assert PATHS and all(path.stat().st_size < 300_000 for path in PATHS)


@pytest.mark.jit_off
def test_a_notebook_was_run_from_top_to_bottom(stored):
    """It shows figures, tables and its bars; no magic word, nothing but its outputs."""
    cells = cells_of(stored)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") >= 2 and kinds.count("text/html") >= 3
    assert any("100%" in "".join(output.get("text", "")) for output in outputs)
    assert not any(output["output_type"] == "error" for output in outputs)
    assert not any(re.search(r"^\s*[%!]", cell["source"], re.MULTILINE) for cell in cells)
    assert "/work/" not in json.dumps(stored) and "Warning" not in json.dumps(stored)


@pytest.mark.slow
def test_its_cells_run_in_one_plain_process_and_print_what_is_stored(stored, folder):
    code = "\n".join(cell["source"] for cell in cells_of(stored))
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True,
                          env=environment() | {"MPLBACKEND": "Agg"}, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed(cells_of(stored))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_runs_in_a_kernel_and_prints_what_is_stored(path, folder):
    for name in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(name, reason=KERNEL)
    done = subprocess.run([sys.executable, folder / "run.py", folder / path.name], capture_output=True, text=True,
                          env=environment(), timeout=900)
    assert done.returncode == 0, done.stderr
    found, stored = (json.loads(each.read_text(encoding="utf-8")) for each in (folder / path.name, path))
    assert printed(cells_of(found)) == printed(cells_of(stored))
    assert [cell["source"] for cell in found["cells"]] == [cell["source"] for cell in stored["cells"]]
