"""The reference's pages, from the packages' public lists; Sphinx writes and reads them at each build (conf.py).

A page is a module: its docstring, then a table of its public names, each of which gets a page of its own.
"""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import bnnsim
from bnnsim.__main__ import COMMANDS
from bnnsim.commands.command_line import Parser

HEAD = """\
Reference
=========

``help(bnnsim.sweep)`` and the like tell the same in Python.

At the top level
----------------

These are at hand as ``bnnsim.NAME``; each is explained in the package that it comes from.

{names}

Packages
--------

.. toctree::
   :maxdepth: 1

{pages}
   commands
"""


def sections() -> dict[str, ModuleType]:
    """Public names to modules: the packages, each followed by the modules that its list names."""
    found = {}
    for package in (name for name, home in bnnsim._read_homes().items() if home == ("bnnsim", name)):
        module = found[package] = importlib.import_module(f"bnnsim.{package}")
        inner = [name for name in module.__all__ if inspect.ismodule(getattr(module, name))]
        found |= {name if name in bnnsim.__all__ else f"{package}.{name}": getattr(module, name) for name in inner}
    return found


def names(module: ModuleType) -> list[str]:
    """What a module offers: its list without the modules in it; without a list, what is defined in it."""
    chosen = getattr(module, "__all__", None) or [
        key for key, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not key.startswith(("_", "check_"))]
    return [key for key in chosen if not inspect.ismodule(getattr(module, key))]


def is_documented(thing: object) -> bool:
    """Whether a name gets a page: functions and classes do; tables of names say what they are in their module."""
    return inspect.isroutine(thing) or inspect.isclass(thing)


def titled(title: str, line: str) -> str:
    return f"{title}\n{line * len(title)}\n\n"


def page(name: str, module: ModuleType) -> str:
    """A module's page."""
    own = [key for key in names(module) if is_documented(getattr(module, key))]
    inner = [f"{title} <{title}>" for title, other in sections().items()
             if other is not module and other.__name__.rpartition(".")[0] == module.__name__]
    text = titled(f"bnnsim.{name}", "=") + f".. automodule:: {module.__name__}\n\n"
    if own:
        rows = "\n".join(f"   {key}" for key in own)
        text += f".. autosummary::\n   :toctree: names\n   :nosignatures:\n\n{rows}\n\n"
    return text + ("Modules: " + ", ".join(f":doc:`{each}`" for each in inner) + ".\n" if inner else "")


def top_level() -> str:
    """Where each name of the top level is explained."""
    modules = {module: name for name, module in sections().items()}
    lines = []
    for name in bnnsim.__all__:
        value, (home, attribute) = getattr(bnnsim, name), bnnsim._read_homes()[name]
        there = f":doc:`bnnsim.{name} <{modules[value]}>`" if inspect.ismodule(value) else \
            f":py:obj:`bnnsim.{name} <{home}.{attribute}>`"
        lines.append(f"* {there}")
    return "\n".join(lines)


def help_of(parser: Parser) -> str:
    """What --help prints, as a literal block."""
    lines = parser.format_help().splitlines()
    return "::\n\n" + "\n".join(f"    {line}".rstrip() for line in lines) + "\n"


def commands() -> str:
    """The command lines and their options."""
    text = titled("Command lines", "=") + "``bnnsim NAME`` is short for ``python -m bnnsim.NAME``.\n"
    for name, what in COMMANDS.items():
        parser = importlib.import_module(f"bnnsim.{name}").arguments()
        text += f"\n{titled(f'bnnsim {name}', '-')}{what[0].upper()}{what[1:]}.\n\n{help_of(parser)}"
    return text


def pages() -> dict[str, str]:
    """All of them: {file: text}."""
    found = {f"{name}.rst": page(name, module) for name, module in sections().items()}
    head = HEAD.format(names=top_level(), pages="\n".join(f"   {name}" for name in sections()))
    return {"index.rst": head, **found, "commands.rst": commands()}


def write(folder: Path) -> None:
    """Put the pages into a folder; what is as it was keeps its time, so that Sphinx need not read it again."""
    folder.mkdir(exist_ok=True)
    made = pages()
    for path in folder.glob("*.rst"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text:
            (folder / name).write_text(text, encoding="utf-8")


def readable(what: str, lines: list[str]) -> list[str]:
    """A docstring as Sphinx is to read it: |h| is text, indented lines of a module are literal, citations are links."""
    found: list[str] = []
    for i, line in enumerate(lines):
        before = next((earlier for earlier in reversed(found) if earlier), "")
        literal = what == "module" and line.startswith("    ") and "- " not in line[:8]
        if literal and not lines[i - 1] and not before.startswith("    ") and not before.endswith("::"):
            found += ["::", ""]
        found.append(line if literal or line.lstrip().startswith((">>>", "...")) else linked(line))
    return found


def linked(line: str) -> str:
    """A line whose bars are text, and whose citations of the equations lead to their section."""
    line = re.sub(r"``.*?``|\|", lambda found: "\\|" if found[0] == "|" else found[0], line)
    return re.sub(r"docs/equations\.rst (\d+\.\d+)( and (\d+\.\d+))?", lambda found:
                  f":ref:`equations {found[1]} <equations-{found[1]}>`" +
                  (f" and :ref:`{found[3]} <equations-{found[3]}>`" if found[3] else ""), line)
