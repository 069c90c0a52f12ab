"""docs/API.rst has every public name, and says what the docstrings say."""

import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bnnsim

SCRIPT = Path(__file__).resolve().parent.parent / "docs" / "make_api.py"
SPEC = importlib.util.spec_from_file_location("make_api", SCRIPT)
make_api = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_api)
TEXT = make_api.TARGET.read_text(encoding="utf-8")

# What is not for users: helpers of other modules, and the command lines, which the reference names at its end
INTERNAL = {"__main__", "benchmarks", "cells", "checkpoints", "checks", "cifar_pickle", "class_names", "command_line",
            "config", "critical_weights", "data", "dataset_files", "dataset_sources", "executors",
            "figure_parts", "file_format", "files", "flip_prediction", "foreign", "hdf5", "journal",
            "layer_pass", "layer_sums", "margin_metrics", "memory", "neuron_importance", "operands",
            "packed_layer", "products", "schema", "seeding", "shared_arrays", "stored",
            "tolerance_metrics", "universal_parts"}


def test_the_committed_file_is_current():
    """Run  python docs/make_api.py  after a change of a docstring or a signature."""
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_stale_file_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(make_api, "TARGET", tmp_path / "API.rst")
    for content in (None, TEXT.replace("Train a model in place.", "Train a model.")):
        if content is not None:
            make_api.TARGET.write_text(content, encoding="utf-8")
        with pytest.raises(SystemExit, match="make_api.py"):
            make_api.main(["--check"])
    make_api.main([])
    make_api.main(["--check"])
    with pytest.raises(SystemExit, match="API.rst"):
        make_api.main(["--chek"])


def test_every_name_of_the_top_level_is_there():
    for name in bnnsim.__all__:
        heading = re.search(rf"^bnnsim\.{name}\n-+$", TEXT, re.MULTILINE)
        assert heading or re.search(rf"^\* \*\*{name}\*\* ", TEXT, re.MULTILINE), name


def test_every_module_is_there_or_is_internal():
    """A new module says whether it is for users: in MODULES of docs/make_api.py, or in INTERNAL."""
    modules = {module.name for module in pkgutil.iter_modules(bnnsim.__path__)}
    assert modules - INTERNAL - set(make_api.COMMANDS) == set(make_api.MODULES)
    assert not INTERNAL & set(make_api.MODULES)


@pytest.mark.parametrize("name", make_api.MODULES)
def test_every_public_name_has_one_line_that_says_something(name):
    section = re.search(rf"^bnnsim\.{name}\n-+\n(.*?)(?=^\w[^\n]*\n---|\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]
    public = [key for key, _ in make_api.names(importlib.import_module(f"bnnsim.{name}"))]
    lines = re.findall(r"^\* (?:\*\*)?(?:``)?(\w+).*: (\S.+)$", section, re.MULTILINE)
    assert public and sorted(key for key, _ in lines) == sorted(public)


def test_the_line_of_a_class_lists_its_methods():
    methods = [key for key, value in vars(bnnsim.PackedNetwork).items()
               if not key.startswith("_") and inspect.isfunction(getattr(value, "__func__", value))]
    assert "from_arrays" in methods and all(f"  * ``.{key}(" in TEXT for key in methods)
