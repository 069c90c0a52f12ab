"""Who may import whom, what `import bnnsim` costs, and that every public name is there and documented."""

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import bnnsim
from bnnsim.__main__ import COMMANDS as NAMES_OF_COMMANDS

COMMANDS = ["__main__", *NAMES_OF_COMMANDS]
ROOT = Path(bnnsim.__file__).resolve().parent

# Highest first. A module imports from rows below its own only; packages of one row do not know of each other. A new
# package takes its place here; modules of the root are commands unless they stand in the last row.
ROWS = [
    COMMANDS,
    ["benchmarks"],
    ["commands"],
    ["campaign"],
    ["metrics", "proofs"],
    ["figures"],
    ["devices"],
    ["faults", "training"],
    ["packed"],
    ["datasets"],
    ["files", "kernels", "statistics"],
    ["checks", "seeding"],
]
HEIGHT = {name: -i for i, row in enumerate(ROWS) for name in row}
MODULES = sorted(path for path in ROOT.rglob("*.py")                       # data/ is inside of an installed package
                 if path != ROOT / "__init__.py" and path.relative_to(ROOT).parts[0] != "data")
NAMES = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in MODULES]
UNAWARE = ("training", "packed", "kernels")


def is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports(path):
    """(module, name or None) of every import statement of a file, inside functions too, but for those of types alone."""
    tree = ast.parse(path.read_text())
    for_types = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.If)
                 and ast.unparse(node.test) == "TYPE_CHECKING" for inner in ast.walk(node)}
    in_plots = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
                and node.name.startswith("plot") for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if id(node) in in_plots and isinstance(node, ast.Import) and node.names[0].name.startswith("bnnsim.figures"):
            continue                                                       # a result that is drawn asks for its figure
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from ((node.module, alias.name) for alias in node.names)


def own(path):
    """Modules of this package, "kernels.packing", that a file imports."""
    found = set()
    for module, name in imports(path):
        if module == "bnnsim" and name is not None:
            assert is_module(name), f"{path.name} imports the name {name} from the package root"
            found.add(name)
        elif module == "bnnsim":
            assert path.name == "__main__.py", f"{path.name} imports the package root"
        elif module.startswith("bnnsim."):
            found.add(module.removeprefix("bnnsim."))
    return found


@pytest.mark.jit_off
@pytest.mark.parametrize("name", NAMES)
def test_imports_point_one_way(name):
    """Networks do not know that memory fails, and nothing knows of command lines."""
    head = name.split(".")[0]
    assert head in HEIGHT, f"give {head} a place in ROWS"
    for other in own(MODULES[NAMES.index(name)]):
        other = other.split(".")[0]
        assert other in HEIGHT, f"give {other} a place in ROWS"
        assert other == head or HEIGHT[other] < HEIGHT[head], f"{name} must not import {other}"
        assert head not in UNAWARE or other not in ("faults", "devices"), f"{name} must not import {other}"
        assert head != "kernels" or other in ("kernels", "checks"), f"{name} must not import {other}"


@pytest.mark.jit_off
def test_the_import_rule_sees_imports(tmp_path):
    """Also those inside functions, and names of the root."""
    file = tmp_path / "x.py"
    file.write_text("import bnnsim.faults as f\ndef g():\n    from bnnsim.devices import d\n"
                    "    from bnnsim import files\n")
    assert own(file) == {"faults", "devices", "files"}
    for text in ("from bnnsim import fit\n", "import bnnsim\n"):
        file.write_text(text)
        with pytest.raises(AssertionError, match="package root"):
            own(file)


@pytest.mark.jit_off
def test_only_figures_import_matplotlib_and_never_pyplot():
    """pyplot keeps global state, opens windows, and fails on machines without a display."""
    for name, path in zip(NAMES, MODULES):
        found = [(module, part) for module, part in imports(path) if module.split(".")[0] == "matplotlib"]
        assert not found or name.split(".")[0] == "figures"
        assert not any("pyplot" in (part, module.split(".")[-1]) for module, part in found)


def in_a_fresh_process(code):
    env = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env,
                          check=True).stdout


@pytest.mark.jit_off
def test_import_loads_nothing_heavy():
    """`import bnnsim` is instant: scripts and command-line completion wait for it."""
    code = "import bnnsim, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = in_a_fresh_process(code).split()
    assert not {"matplotlib", "h5py", "scipy", "numba", "numpy", "tqdm"} & set(loaded) and "bnnsim" in loaded


def test_training_and_faults_load_neither_matplotlib_nor_scipy_stats():
    code = "import bnnsim as b, sys; b.fit, b.pack, b.sweep, b.faults, b.load_dataset; print(*sys.modules)"
    assert not {"matplotlib", "scipy.stats", "bnnsim.plotting"} & set(in_a_fresh_process(code).split())


@pytest.mark.jit_off
def test_every_public_name_is_there_and_documented():
    assert len(set(bnnsim.__all__)) == len(bnnsim.__all__) and set(bnnsim.__all__) <= set(dir(bnnsim))
    for name in bnnsim.__all__:
        value = getattr(bnnsim, name)
        assert inspect.getdoc(value), f"bnnsim.{name} has no docstring"
    with pytest.raises(AttributeError, match="has no attribute 'fits'; it has .*fit"):
        bnnsim.fits


def public_functions(name):
    module = importlib.import_module(f"bnnsim.{name}")
    return [(key, value) for key, value in vars(module).items()
            if not key.startswith("_") and inspect.isroutine(value) and value.__module__ == module.__name__]


@pytest.mark.jit_off
def test_no_public_function_shares_its_name_with_a_module():
    """`bnnsim.train` must not be a function today and a module after `import bnnsim.train`."""
    modules = {module.name for module in pkgutil.iter_modules([str(ROOT)])}
    assert "train" in modules and not modules & set(bnnsim._HOME)
    for name in NAMES:
        if not name.startswith("kernels") and name != "__main__":
            assert not modules & {key for key, _ in public_functions(name)}, name


@pytest.mark.jit_off
@pytest.mark.parametrize("name", NAMES)
def test_modules_and_public_functions_say_what_they_do(name):
    module = importlib.import_module(f"bnnsim.{name}")
    assert module.__doc__
    for key, value in public_functions(name) if not name.startswith("kernels") else ():
        assert inspect.getdoc(value), f"{name}.{key} has no docstring"


@pytest.mark.parametrize("name", NAMES)
def test_doctests(name, tmp_path, monkeypatch):
    """What a docstring shows is what a user gets."""
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(f"bnnsim.{name}")).failed == 0
