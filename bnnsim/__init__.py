"""Binarized neural networks whose weights live in unreliable memory: train, pack, store, break, measure.

Names are loaded on first use, so that `import bnnsim` costs nothing and never imports matplotlib, h5py or scipy. Which
names, and whose they are, is said once, by the imports of __init__.pyi: editors and type checkers read it as a stub,
and `__getattr__` reads it here. All that is public stands in the packages' lists (`bnnsim.training.__all__` and so on).
"""

import importlib

__version__ = "0.2.0"

_homes: dict[str, tuple[str, str]] = {}        # of each name: its module, and what it is called there


def _read_homes() -> dict[str, tuple[str, str]]:
    """`_homes`, from the statements ``from M import N as N`` and ``A = N`` of the stub; once."""
    if not _homes:
        import ast
        import os

        with open(os.path.join(os.path.dirname(__file__), "__init__.pyi"), encoding="utf-8") as file:
            statements = ast.parse(file.read()).body
        found = {}
        for statement in statements:
            if isinstance(statement, ast.ImportFrom):
                found |= {alias.name: (statement.module, alias.name) for alias in statement.names}
            elif isinstance(statement, ast.Assign):
                found[statement.targets[0].id] = found[statement.value.id]
        _homes.update(found)
    return _homes


def __getattr__(name: str) -> object:
    homes = _read_homes()
    if name == "__all__":
        return sorted(homes)
    if name not in homes:
        raise AttributeError(f"module 'bnnsim' has no attribute {name!r}; it has {', '.join(sorted(homes))}")
    module, attribute = homes[name]
    if module == "bnnsim":
        return importlib.import_module(f"bnnsim.{attribute}")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_read_homes()])
