"""docs/API.rst has every public name, and says what the docstrings say."""

import importlib.util
import inspect
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
    for name in set(bnnsim.__all__) - {"plotting"}:             # another word for figures
        heading = re.search(rf"^bnnsim\.{name}\n-+$", TEXT, re.MULTILINE)
        assert heading or re.search(rf"^\* \*\*{name}\*\* ", TEXT, re.MULTILINE), name


@pytest.mark.parametrize(("name", "module"), make_api.sections().items(), ids=list(make_api.sections()))
def test_every_public_name_has_one_line_that_says_something(name, module):
    section = re.search(rf"^bnnsim\.{re.escape(name)}\n-+\n(.*?)(?=^\w[^\n]*\n---|\Z)", TEXT,
                        re.MULTILINE | re.DOTALL)[1]
    public = [key for key, _ in make_api.names(module)]
    lines = re.findall(r"^\* (?:\*\*)?(?:``)?(\w+).*: (\S.+)$", section, re.MULTILINE)
    assert public and sorted(key for key, _ in lines) == sorted(public)


def test_the_line_of_a_class_lists_its_methods():
    methods = [key for key, value in vars(bnnsim.PackedNetwork).items()
               if not key.startswith("_") and inspect.isfunction(getattr(value, "__func__", value))]
    assert "from_arrays" in methods and all(f"  * ``.{key}(" in TEXT for key in methods)
