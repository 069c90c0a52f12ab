"""README, tour, tutorials and gallery show what really comes out: docs/make_tour.py put it there, and looks again."""

import importlib.util
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from bnnsim.datasets.find import EmbeddedSubsetWarning, load_dataset

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("make_tour", ROOT / "docs" / "make_tour.py")
make_tour = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_tour)

SMALL = """\
Text::

    pip install not-run

.. code-block:: python

    x = [1,

         2]

.. code-block:: python

    print(len(x), "  \\n\\nthree  ")

.. prints

::

    old

more::

    python -c "print(4); open('x.png', 'w').write('figure')"          # a remark

.. prints

::

    old
    older

.. image:: figures/x.png
"""
FILLED = SMALL.replace("    old\n\nmore", "    2\n\n    three\n\nmore").replace("    old\n    older\n", "    4\n")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A clone with one small text."""
    monkeypatch.setattr(make_tour, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "examples").mkdir()
    (tmp_path / "small.rst").write_text(SMALL)
    return tmp_path


def test_outputs_and_figures_are_put_in(small, capsys):
    make_tour.main(["small.rst"])
    assert (small / "small.rst").read_text() == FILLED
    assert (small / "figures" / "x.png").read_text() == "figure"
    make_tour.main(["--check", "small.rst"])
    assert capsys.readouterr().out == ""


def test_a_stale_output_is_shown_and_left(small, capsys):
    with pytest.raises(SystemExit, match="make_tour.py"):
        make_tour.main(["--check", "small.rst"])
    assert "-    older\n+    4\n" in capsys.readouterr().out and (small / "small.rst").read_text() == SMALL


@pytest.mark.parametrize("broken", ['python -c "raise SystemExit(3)"', "rm x", "python -c pass"])
def test_what_fails_or_draws_nothing_is_an_error(small, broken):
    (small / "small.rst").write_text(re.sub("python -c .*", lambda _: broken, SMALL))
    with pytest.raises(SystemExit):
        make_tour.main(["small.rst"])
    assert "older" in (small / "small.rst").read_text()


@pytest.mark.parametrize("file", make_tour.FILES)
def test_nothing_is_left_to_be_run(file):
    """Every output has its command before it, and every figure is there and small."""
    text = (ROOT / file).read_text(encoding="utf-8")
    found = [match["between"] for match in make_tour.CODE.finditer(text)]
    assert len(list(filter(None, found))) == text.count("\n.. prints\n") and (any(found) or file == "docs/gallery.rst")
    assert "not run yet" not in text, "run  python docs/make_tour.py"
    shown = re.findall(r"^\.\. (?:image|figure):: (\S+)$", text, re.MULTILINE)
    assert shown and all(1000 < ((ROOT / file).parent / path).stat().st_size < 200_000 for path in shown)


@pytest.mark.slow
def test_what_is_shown_is_what_comes_out():
    """Some minutes; needs the full Fashion-MNIST."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmbeddedSubsetWarning)
        if len(load_dataset("fashion")[1]) < 10_000:
            pytest.skip("fashion is not on this machine: python -m bnnsim.download fashion")
    done = subprocess.run([sys.executable, ROOT / "docs" / "make_tour.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
