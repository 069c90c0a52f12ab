"""Write docs/API.rst, one line a public name, from the docstrings.

    python docs/make_api.py            # writes it
    python docs/make_api.py --check    # exits 1 where the file that is there is not what would be written
"""

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))           # this clone, whatever is installed

import bnnsim  # noqa: E402
from bnnsim.__main__ import COMMANDS  # noqa: E402

TARGET = Path(__file__).resolve().parent / "API.rst"

HEAD = """\
API reference
=============

Made from the packages' public lists and the docstrings by ``python docs/make_api.py``: do not edit.
``help(bnnsim.sweep)`` and the like tell all about one name. Names in **bold** are also at the top level:
``bnnsim.sweep``.
"""


def sections() -> dict[str, ModuleType]:
    """Public names to modules: the packages, each followed by the modules that its list names."""
    found = {}
    for package in (name for name, home in bnnsim._read_homes().items() if home == ("bnnsim", name)):
        module = found[package] = importlib.import_module(f"bnnsim.{package}")
        inner = [name for name in module.__all__ if inspect.ismodule(getattr(module, name))]
        found |= {name if name in bnnsim.__all__ else f"{package}.{name}": getattr(module, name) for name in inner}
    return found


def first_line(thing: object) -> str:
    """The first sentence or line of a docstring, as reStructuredText of one line."""
    text = re.split(r"\n\s*\n", inspect.getdoc(thing) or "")[0].replace("\n", " ")
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text)
    return re.sub(r"``.*?``|[*|]", lambda found: found[0] if found[0][0] == "`" else "\\" + found[0], text)


def signature(thing: Any) -> str:
    """Its arguments, without annotations; '' where Python cannot tell them."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    parameters = [p.replace(annotation=p.empty) for p in found.parameters.values() if p.name not in ("self", "cls")]
    text = str(found.replace(parameters=parameters, return_annotation=found.empty))
    return re.sub(r"<factory>", "...", text)


def names(module: ModuleType) -> list[tuple[str, object]]:
    """(name, object) of the functions and classes that a module offers its users: of its public list, if it has one."""
    chosen = getattr(module, "__all__", None) or [
        key for key, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not key.startswith(("_", "check_"))]
    found = [(key, getattr(module, key)) for key in chosen]
    return [(key, value) for key, value in found if inspect.isroutine(value) or inspect.isclass(value)]


def members(cls: type) -> Iterator[tuple[str, str, object]]:
    """(name, signature, object) of a class's own public methods and properties that have docstrings."""
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else ()
    for key, value in vars(cls).items():
        value = getattr(value, "__func__", value)                         # of a classmethod
        if key.startswith("_") or key in fields or not getattr(value, "__doc__", None):
            continue
        if inspect.isfunction(value):
            yield key, signature(value), value
        elif isinstance(value, property) or hasattr(value, "attrname"):   # or a cached one
            yield key, "", value


def lines(name: str, module: ModuleType) -> Iterator[str]:
    """One module's part."""
    yield from ("", f"bnnsim.{name}", "-" * len(f"bnnsim.{name}"), "", first_line(module), "")
    for key, value in names(module):
        shown = f"**{key}** ``{signature(value)}``" if getattr(bnnsim, key, None) is value else \
            f"``{key}{signature(value)}``"
        yield f"* {shown}: {first_line(value)}"
        if inspect.isclass(value) and not issubclass(value, Exception):
            inner = [f"  * ``.{member}{text}``: {first_line(thing)}" for member, text, thing in members(value)]
            yield from ("", *inner, "") if inner else ()


def commands() -> Iterator[str]:
    """The command lines."""
    yield from ("", "Command lines", "-------------", "", "``python -m bnnsim.NAME --help`` tells every option.", "")
    for name in COMMANDS:
        yield f"* ``python -m bnnsim.{name}``: {first_line(importlib.import_module(f'bnnsim.{name}'))}"


def reference() -> str:
    """The whole text."""
    parts = (line for name, module in sections().items() for line in lines(name, module))
    text = "\n".join((HEAD.rstrip("\n"), *parts, *commands())) + "\n"
    return re.sub(r"\n{3,}", "\n\n", text)


def main(argv: list[str]) -> None:
    if argv not in ([], ["--check"]):
        sys.exit(__doc__)
    if not argv:
        TARGET.write_text(reference(), encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != reference():
        sys.exit(f"{TARGET.name} is not what the docstrings say: run  python docs/make_api.py")


if __name__ == "__main__":
    main(sys.argv[1:])
