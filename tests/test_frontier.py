"""The page of what the literature says and bnnsim measures: its table is made of what examples left, and no hand's."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
SPEC = importlib.util.spec_from_file_location("make_frontier", DOCS / "make_frontier.py")
make_frontier = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_frontier)
PAGES = sorted((DOCS / "frontier").glob("*.rst"))


def test_the_table_is_what_examples_left():
    text = (DOCS / "frontier.rst").read_text(encoding="utf-8")
    assert make_frontier.page(text) == text, "python docs/make_frontier.py"


def test_semicolons_in_brackets_do_not_begin_a_point():
    assert make_frontier.split("a (b; c (d; e)); f; g") == ["a (b; c (d; e))", "f", "g"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_its_row_its_figure_and_marks(path):
    """And the row's command is an example that is there, with options that it has."""
    text = path.read_text(encoding="utf-8")
    row = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    words = shlex.split(row["command"])
    example = DOCS.parent / words[1]
    source = example.read_text(encoding="utf-8")
    assert words[0] == "python" and f"python {words[1]}" in text
    assert all(f'"{option}"' in source for option in words if option.startswith("--"))
    assert "--seed" in source, "a command has its seed"
    shown = re.findall(r"^\.\. image:: \.\./(figures/\w+\.png)$", text, re.MULTILINE)
    assert shown and all((DOCS / picture).is_file() for picture in shown)
    assert re.search(r"\[[VCRDM]\b", text) and ("arXiv:" in row["source"] or "doi" in row["source"].lower())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_bars_of_formulas_are_no_substitutions(path):
    """|x| is a name to be replaced for Sphinx, and an error of the site; \\|x\\| is a formula."""
    prose = re.sub(r"``[^`]*``|::\n\n(?: +[^\n]*\n|\n)+", "", path.read_text(encoding="utf-8"))
    assert not re.findall(r"(?<![\\|])\|\S[^|\n]*\|", prose)


def test_a_row_without_its_source_is_refused(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text('{"item": "x", "literature": "y", "measured": "z", "command": "python"}')
    monkeypatch.setattr(make_frontier, "FOLDER", tmp_path)
    with pytest.raises(SystemExit, match="source is missing"):
        make_frontier.rows()
