"""What docstrings point at is there for a user to open: sections of docs/equations.rst, files, names of bnnsim."""

import ast
import functools
import importlib
import re
from pathlib import Path

import pytest

from bnnsim.devices import converted_rate
from bnnsim.faults import ideal_residual

ROOT = Path(__file__).resolve().parent.parent
EQUATIONS = (ROOT / "docs" / "equations.rst").read_text(encoding="utf-8")
SECTIONS = set(re.findall(r"^(\d+\.\d+)  \S.*\n~+$", EQUATIONS, re.MULTILINE))
FOLDERS = ("bnnsim", "data", "docs", "examples", "tests")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if path != Path(__file__)]
TEXTS = ("README.rst", "CONTRIBUTING.rst", "CHANGELOG.rst", "data/README.rst",
         *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.rst")))
OPEN = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")
        if not {"__pycache__", "build"} & {*path.relative_to(ROOT).parts}}          # pip builds in build/


def docstrings(tree):
    return [ast.get_docstring(node) or "" for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]


def wrong_sections(text):
    """Citations of equations without a section that docs/equations.rst has."""
    cited = re.findall(r"(?<![`<])docs/equations\.rst(?: (\d[\d.]*\d)(?: and (\d[\d.]*\d))?)?", text)
    numbers = [number for first, second in cited for number in (first, *filter(None, [second]))]
    return [number or "no section" for number in numbers if number not in SECTIONS] + re.findall("EQUATIONS", text)


def missing_files(text):
    """Sources and texts that are named and not in the repository; what is called my_... is the reader's own."""
    named = re.findall(r"(?<![\w/.*])([\w/.-]*\w\.(?:py|rst|md|cff|cfg|toml))\b", text)
    return [name for name in (path.removeprefix("../") for path in named)
            if not name.rpartition("/")[2].startswith("my_")
            and not any(path == name or path.endswith(f"/{name}") for path in OPEN)]


def unknown_names(text):
    """Dotted names of bnnsim that nothing answers to."""
    return [name for name in re.findall(r"\bbnnsim(?:\.[a-z_]\w*)+", text) if not is_there(name)]


def is_there(name):
    thing, parts = importlib.import_module("bnnsim"), name.split(".")[1:]
    for i, part in enumerate(parts, 1):
        try:
            thing = getattr(thing, part)
        except AttributeError:
            try:
                thing = importlib.import_module(".".join(["bnnsim", *parts[:i]]))
            except ModuleNotFoundError:
                return False
    return True


RULES = {wrong_sections: "Of section 3.2, docs/equations.rst 2.3 and 9.1.",
         missing_files: "See bnnsim/checks.py, seeding.py, my_x.py.",
         unknown_names: "`bnnsim.fit` and bnnsim.packed.network.PackedNetwork."}
BROKEN = {wrong_sections: ["[D, EQUATIONS 9.1]", "EQUATIONS.md section 2", "docs/equations.rst 2.99",
                           "docs/equations.rst"],
          missing_files: ["as in reference/papers.md", "see bnnsim/weights.py"],
          unknown_names: ["`bnnsim.weights.save`", "bnnsim.fits"]}


@functools.cache
def cited():
    return {str(path.relative_to(ROOT)): "\n".join(docstrings(ast.parse(path.read_text(encoding="utf-8"))))
            for path in FILES} | {name: (ROOT / name).read_text(encoding="utf-8") for name in TEXTS}


@pytest.mark.tiny
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_nothing_is_cited_that_a_user_cannot_open(rule):
    assert {name: found for name, text in cited().items() if (found := rule(text))} == {}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rules_can_fail(rule):
    assert rule(RULES[rule]) == [] and all(len(rule(text)) == 1 for text in BROKEN[rule])


def test_each_item_has_a_label_of_its_number_and_says_where_it_comes_from():
    labels = re.findall(r"^\.\. _equations-(\S+):\n\n\1  \S", EQUATIONS, re.MULTILINE)
    assert labels == sorted(SECTIONS, key=lambda number: [int(part) for part in number.split(".")])
    for number, text in re.findall(r"^(\d+\.\d+)  .*\n~+\n((?:(?!^\.\. _|^\d  ).*\n)*)", EQUATIONS, re.MULTILINE):
        assert re.search(r"\[[VCRDM]\b", text) or number.startswith("5."), f"{number} says not where it comes from"


@pytest.mark.tiny
def test_the_table_of_cells_and_codes_is_what_the_library_computes():
    rows = re.findall(r"^(\de-\d) +" + r" +".join([r"(\S+e-\d)"] * 4) + "$", EQUATIONS, re.MULTILINE)
    assert len(rows) == 5
    for single, pair, *residuals in rows:
        assert f"{converted_rate(float(single), '1T1R', '2T2R'):.2e}" == f"{float(pair):.2e}"
        for code, left in zip(("secded(8,4)", "secded(39,32)", "secded(72,64)"), residuals, strict=True):
            assert f"{ideal_residual(code, float(single)):.2e}" == f"{float(left):.2e}"
