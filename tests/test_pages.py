"""What README and the pages of docs show works as it is written there; and how README looks on a package index.

Pages of reference are run block by block, tutorials from top to bottom, commands included. formats.rst, graphs.rst and
what make_tour.py fills in have tests of their own, too.
"""

import ast
import contextlib
import importlib
import importlib.util
import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import slow_cases

import bnnsim
import bnnsim.__main__ as __main__
import bnnsim.figures as plotting

ROOT = Path(__file__).resolve().parent.parent
BLOCK_BY_BLOCK = ("README.rst", "docs/start.rst", "docs/devices.rst", "docs/arrays.rst", "docs/tolerance.rst",
                  "docs/data.rst", "docs/faq.rst", "docs/papers.rst", "docs/files.rst", "docs/cite.rst")
WHOLE = ("docs/tutorial_devices.rst", "docs/tutorial_networks.rst", "docs/tutorial_edge.rst", "docs/gallery.rst")
ELSEWHERE = {"docs/formats.rst": "test_formats_page.py", "docs/graphs.rst": "test_graphs_page.py",
             "docs/tour.rst": "test_tour.py", "docs/equations.rst": "test_citations.py",
             "docs/performance.rst": "benchmarks/test_bench.py",
             "docs/explained.rst": "reproductions/test_explained.py"}
BARE = ("docs/index.rst", "docs/frontier.rst", "docs/same_bytes.rst", "docs/changelog.rst",         # no code
        "docs/contributing.rst")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in BLOCK_BY_BLOCK + WHOLE + BARE}


def indented(text, start):
    """The indented block that follows a position of a text."""
    block = []
    for line in text[start:].lstrip("\n").splitlines():
        if line.strip() and not line.startswith("    "):
            break
        block.append(line[4:])
    return "\n".join(block).strip("\n")


def blocks(name):
    """(kind, code) in the order of the page: Python, and what is indented behind `::` and is no output."""
    text = TEXTS[name]
    starts = re.finditer(r"^\.\. code-block:: (python)\n|(^\.\. prints\n\n)?^[^\n]*(?<!code-block)::\n\n(?=    )", text,
                         re.MULTILINE)
    return [("python" if m[1] else "shell", indented(text, m.end())) for m in starts if not m[2]]


PYTHON = [(name, i, code) for name in BLOCK_BY_BLOCK for i, (kind, code) in enumerate(blocks(name)) if kind == "python"]
SHELL = [(name, line) for name in BLOCK_BY_BLOCK + WHOLE for kind, code in blocks(name) if kind == "shell"
         for line in code.splitlines()]
INLINE = re.compile(r"`(python -m bnnsim\.\w+ [^`]+)`|^    (python -m bnnsim\.\w+ .+)$", re.MULTILINE)


def named():
    """Commands in running texts of pages and notebooks, and in docstrings of commands and examples."""
    texts = dict(TEXTS)
    for path in (*(ROOT / "bnnsim").glob("*.py"), *(ROOT / "examples").glob("*.py")):
        texts[path.name] = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False) or ""
    for path in (ROOT / "examples" / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts[path.name] = "\n".join("".join(cell["source"]) for cell in cells)
    return [(name, " ".join((inline or line).split())) for name, text in texts.items()
            for inline, line in INLINE.findall(text)]


COMMANDS = list(dict.fromkeys((name, line) for name, line in (*SHELL, *named()) if
                              line.startswith("python -m bnnsim.") and not re.search(r"--help|\.\.\.|NAME", line)))


def test_every_page_is_tested_somewhere():
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.rst")}
    assert pages == {*TEXTS, *ELSEWHERE} - {"README.rst"}
    assert not any("code-block:: python" in TEXTS[name] for name in BARE)


def test_every_block_is_found():
    for name in TEXTS:
        assert [kind for kind, _ in blocks(name)].count("python") == TEXTS[name].count("code-block:: python"), name
    assert any("pytest" in line for name, line in SHELL if name == "README.rst")
    assert {"README.rst", "docs/start.rst", "docs/devices.rst", "docs/faq.rst"} <= {name for name, _ in COMMANDS}
    assert {"README.rst", "docs/start.rst", "docs/devices.rst", "docs/arrays.rst"} <= {name for name, _, _ in PYTHON}


def run(code, name, names):
    exec(compile(code, name, "exec"), names)


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, _, code in PYTHON],
                         ids=[f"{name}-{i}" for name, i, _ in PYTHON])
def test_python_runs(name, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(code, name, {"__name__": "page"})


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=[" ".join(pair) for pair in COMMANDS])
def test_every_option_that_is_named_exists(name, line):
    words = shlex.split(line, comments=True)
    module = words[2].split(".")[1]
    assert module in __main__.COMMANDS
    importlib.import_module(words[2]).arguments().parse_args(words[3:])


@pytest.mark.parametrize("name", slow_cases.first(2, WHOLE))
def test_a_tutorial_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for kind, code in blocks(name):
        if kind == "python":
            run(code, name, names)
        for line in code.splitlines() if kind == "shell" else ():
            words = shlex.split(line, comments=True)
            assert words[:2] == ["python", "-m"], line
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                assert importlib.import_module(words[2]).main(words[3:]) == 0, line
            assert printed.getvalue() or "--out" in words or "--plot" in words, line
    for shown in re.findall(r"^\.\. image:: (\S+)$", TEXTS[name], re.MULTILINE):
        assert len(list(tmp_path.rglob(Path(shown).name))) == 1, shown


def test_the_gallery_has_every_figure():
    """A section each, with code that draws it and the picture."""
    text = TEXTS["docs/gallery.rst"]
    parts = dict(re.findall(r"^(\w+)\n~+\n(.*?)(?=^\w+\n[~-]{3}|\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(parts) == set(plotting.__all__)
    for name, part in parts.items():
        shown = re.findall(r"figures/(\w+)\.png$", part, re.MULTILINE)
        assert name in part and (shown or name == "save_figure")
        assert all(f'"{picture}.png"' in part or picture == "scaling" for picture in shown), name


def test_bit_order_example_is_what_the_text_says():
    bits = bnnsim.PackedBits.pack(np.array([1, -1, 1, 1]))
    assert [(int(bits.words[0]) >> f) & 1 for f in range(4)] == [1, 0, 1, 1]


# ---------------------------------------------------------------- README

def test_readme_is_short_and_leads_on():
    text = TEXTS["README.rst"]
    assert len(text.splitlines()) <= 150 and text.count(".. image::") == 1
    links = re.findall(r"<([^<>\s]+)>`_", text)
    assert all((ROOT / link).is_file() for link in links)
    tutorials = {name for name in WHOLE if "tutorial" in name}
    assert tutorials < set(links) and {"docs/faq.rst", "docs/data.rst", "docs/gallery.rst"} < set(links)


def test_on_a_package_index_readme_has_no_relative_link_or_picture():
    """setup.py makes that form; what is absolute stays."""
    spec = importlib.util.spec_from_file_location("bnnsim_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.long_description(TEXTS["README.rst"])
    assert ".. image::" not in text and not re.search(r"<[^>\s]+>`_", text) and "``docs/tour.rst``" in text
    assert text.startswith(TEXTS["README.rst"][:200]) and "``CONTRIBUTING.rst``" in text
    links = "`a b\n<x.rst>`_ `c <https://c>`_\n\n.. image:: e.png\n   :width: 3\n\n.. image:: https://f\n"
    assert module.long_description(links) == "``a b`` `c <https://c>`_\n\n.. image:: https://f\n"
    document = publish(text)
    assert 'class="system-message"' not in document and document.count("<li>") > 15
    assert 'class="system-message"' in publish("*a\n")


def publish(text):
    """As HTML, with its errors in it; docutils comes with Sphinx and is not needed for the rest."""
    docutils = pytest.importorskip("docutils.core", reason="docutils, of the extra [docs], renders README")
    settings = {"report_level": 1, "halt_level": 5, "warning_stream": False, "file_insertion_enabled": False}
    return docutils.publish_string(text, writer="html5", settings_overrides=settings).decode()


def test_the_site_s_contents_have_every_page():
    listed = re.findall(r"^   ([\w/]+)$", TEXTS["docs/index.rst"], re.MULTILINE)
    pages = {path.stem for path in (ROOT / "docs").glob("*.rst")} - {"index"} | {"api/index"}
    assert sorted(listed) == sorted(pages)
