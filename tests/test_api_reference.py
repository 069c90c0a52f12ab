"""Every public name has its place in the reference, and says something there; Sphinx is not needed to know that."""

import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import bnnsim
from bnnsim.__main__ import COMMANDS

SCRIPT = Path(__file__).resolve().parent.parent / "docs" / "api_pages.py"
SPEC = importlib.util.spec_from_file_location("api_pages", SCRIPT)
api_pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(api_pages)
PAGES = api_pages.pages()
MODULES = api_pages.sections()


def rows(page):
    """(module, names) of a page's table."""
    module = re.search(r"^\.\. automodule:: (\S+)$", page, re.MULTILINE)[1]
    table = re.search(r"^\.\. autosummary::\n(?:   :.*\n)+\n((?:   \w+\n)*)", page, re.MULTILINE)
    return module, table[1].split() if table else []


def test_every_name_of_the_top_level_is_there():
    lines = re.findall(r"^\* :(doc|py:obj):`bnnsim\.(\w+) <(\S+)>`$", PAGES["index.rst"], re.MULTILINE)
    assert [name for _, name, _ in lines] == list(bnnsim.__all__)
    for role, name, target in lines:
        if role == "doc":
            assert getattr(bnnsim, name) is importlib.import_module(rows(PAGES[f"{target}.rst"])[0])
        else:
            home, _, key = target.rpartition(".")
            assert getattr(importlib.import_module(home), key) is getattr(bnnsim, name)
            modules = [rows(page) for page in PAGES.values() if "automodule" in page]
            assert any(module == home and key in shown for module, shown in modules)


def test_every_package_and_its_modules_have_a_page():
    """Of all packages but those that are for bnnsim itself; a page that no list leads to would not be read."""
    lists = [name for name in bnnsim.__all__ if inspect.ismodule(getattr(bnnsim, name))]
    assert {getattr(bnnsim, name) for name in lists} <= set(MODULES.values())
    assert PAGES.keys() == {"index.rst", "commands.rst", *(f"{name}.rst" for name in MODULES)}
    assert re.findall(r"^   (\w[\w.]*)$", PAGES["index.rst"], re.MULTILINE) == [*MODULES, "commands"]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_page_that_says_something(name):
    module, shown = rows(PAGES[f"{name}.rst"])
    assert module == MODULES[name].__name__ and (shown or name == "proofs")
    listed = getattr(MODULES[name], "__all__", None) or [
        key for key, value in vars(MODULES[name]).items() if getattr(value, "__module__", None) == module
        and not key.startswith(("_", "check_"))]
    things = {key: getattr(MODULES[name], key) for key in listed}
    assert sorted(shown) == sorted(key for key, thing in things.items()
                                   if inspect.isroutine(thing) or inspect.isclass(thing))
    assert [key for key in shown if not (inspect.getdoc(things[key]) or "").strip()] == []
    for key, thing in things.items():
        if not inspect.ismodule(thing) and key not in shown:                      # a table of names
            assert key in (MODULES[name].__doc__ or "") or key.isupper(), key
        elif inspect.ismodule(thing):
            title, = (title for title, other in MODULES.items() if other is thing)
            assert f":doc:`{title} <{title}>`" in PAGES[f"{name}.rst"]


@pytest.mark.parametrize("name", MODULES)
def test_methods_of_public_classes_are_documented(name):
    """What has no docstring is left out of its class's page."""
    for key in rows(PAGES[f"{name}.rst"])[1]:
        cls = getattr(MODULES[name], key)
        if inspect.isclass(cls):
            methods = {member: value for member, value in vars(cls).items() if not member.startswith("_")
                       and (inspect.isroutine(value) or isinstance(value, property) or hasattr(value, "attrname"))}
            assert [member for member in methods if not inspect.getdoc(getattr(cls, member))] == [], key


def test_commands_tell_every_option():
    page = PAGES["commands.rst"]
    assert re.findall(r"^bnnsim (\w+)\n-+$", page, re.MULTILINE) == list(COMMANDS)
    for name in COMMANDS:
        parser = importlib.import_module(f"bnnsim.{name}").arguments()
        part = re.search(rf"^bnnsim {name}\n-+\n(.*?)(?=^bnnsim \w+\n---|\Z)", page, re.MULTILINE | re.DOTALL)[1]
        options = [option for action in parser._actions for option in action.option_strings]
        assert options and [option for option in options if option not in part] == [], name


def test_pages_are_written_once_and_old_ones_go(tmp_path):
    api_pages.write(tmp_path)
    (tmp_path / "gone.rst").write_text("of a module that is no more")
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (tmp_path / "packed.rst").write_text("old")
    api_pages.write(tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert before.keys() - after.keys() == {"gone.rst"} and (tmp_path / "packed.rst").read_text() == PAGES["packed.rst"]
    assert all(after[name] == before[name] for name in after if name != "packed.rst")


def test_pages_are_made_and_not_kept():
    assert "/docs/api/" in (SCRIPT.parent.parent / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("line, shown", [
    ("|h - s| of ``a | b``", r"\|h - s\| of ``a | b``"),
    ("[D, docs/equations.rst 9.1]", "[D, :ref:`equations 9.1 <equations-9.1>`]"),
    ("docs/equations.rst 2.3 and 9.1.", ":ref:`equations 2.3 <equations-2.3>` and :ref:`9.1 <equations-9.1>`.")])
def test_bars_are_text_and_citations_links(line, shown):
    assert api_pages.linked(line) == shown


def test_indented_lines_of_modules_are_literal_and_code_stays():
    table = ["Two:", "", "    f(x)    |x|", "    g", "", "And more.", "", "* one", "  goes on"]
    assert api_pages.readable("module", table) == ["Two:", "", "::", "", *table[2:]]
    code = [">>> a | b", "... | c", "|x|"]
    assert api_pages.readable("function", code) == [*code[:2], r"\|x\|"]
    assert api_pages.readable("function", table[:3])[2:] == [r"    f(x)    \|x\|"]
