"""Who may import whom, what `import bnnsim` costs, and that every public name is there and documented."""

import ast
import doctest
import functools
import importlib
import inspect
import os
import pkgutil
import re
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
    ["interop", "metrics", "proofs"],
    ["figures"],
    ["devices"],
    ["faults", "training"],
    ["packed"],
    ["datasets"],
    ["files", "kernels", "statistics"],
    ["checks", "progress_bars", "seeding"],
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
    """(module, name or None) of every import of a file, inside functions too, but for those of types alone."""
    return imports_of(path, path.read_text())


@functools.cache
def imports_of(path, text):
    return list(found_imports(path, ast.parse(text)))


def found_imports(path, tree):
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


def forbidden(name, others):
    """What of the modules `others` a module must not import, each with the reason."""
    head = name.split(".")[0]
    for other in sorted({other.split(".")[0] for other in others} - {head}):
        if other not in HEIGHT or head not in HEIGHT:
            yield f"{name} imports {other}: give both a place in ROWS"
        elif HEIGHT[other] >= HEIGHT[head]:
            yield f"{name} imports {other}, which is not below it"
        elif head in UNAWARE and other in ("faults", "devices"):
            yield f"{name} imports {other}: networks do not know that memory fails"
        elif head == "kernels" and other != "checks":
            yield f"{name} imports {other}: kernels know arrays alone"


@pytest.mark.tiny
def test_imports_point_one_way():
    """Networks do not know that memory fails, and nothing knows of command lines."""
    assert {name.split(".")[0] for name in NAMES} <= set(HEIGHT)
    assert [line for name, path in zip(NAMES, MODULES) for line in forbidden(name, own(path))] == []


def test_the_order_of_imports_can_be_broken():
    assert list(forbidden("faults.bit_flips", {"packed.words", "faults.protocol", "checks"})) == []
    for name, other, reason in (("packed.network", "training.model", "not below"), ("plot", "bench", "not below"),
                                ("metrics.margins", "proofs", "not below"), ("kernels.limits", "seeding", "alone"),
                                ("faults.x", "unheard", "place in ROWS")):
        line, = forbidden(name, {other})
        assert reason in line


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


def test_import_loads_nothing_heavy():
    """`import bnnsim` is instant: scripts and command-line completion wait for it."""
    code = "import bnnsim, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = in_a_fresh_process(code).split()
    assert not {"matplotlib", "h5py", "scipy", "numba", "numpy", "tqdm"} & set(loaded) and "bnnsim" in loaded


def test_training_faults_and_sweeps_load_neither_matplotlib_nor_scipy_nor_devices():
    """Numba itself asks for scipy's version, and for its BLAS where a kernel is loaded."""
    code = "import bnnsim as b, sys; b.fit, b.pack, b.sweep, b.faults, b.load_dataset; print(*sys.modules)"
    loaded = set(in_a_fresh_process(code).split())
    assert not {"matplotlib", "scipy.stats", "scipy.special", "bnnsim.devices", "bnnsim.plotting"} & loaded
    assert {"bnnsim.campaign.grid", "bnnsim.faults", "bnnsim.training.model"} <= loaded


@pytest.mark.tiny
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


def test_no_public_function_shares_its_name_with_a_module():
    """`bnnsim.train` must not be a function today and a module after `import bnnsim.train`."""
    modules = {module.name for module in pkgutil.iter_modules([str(ROOT)])}
    at_hand = {name for name in bnnsim.__all__ if inspect.isroutine(getattr(bnnsim, name))}
    assert "train" in modules and "fit" in at_hand and not modules & at_hand
    for name in NAMES:
        if not name.startswith("kernels") and name != "__main__":
            assert not modules & {key for key, _ in public_functions(name)}, name


def test_modules_and_public_functions_say_what_they_do():
    silent = [name for name in NAMES if not importlib.import_module(f"bnnsim.{name}").__doc__]
    silent += [f"{name}.{key}" for name in NAMES if not name.startswith("kernels")
               for key, value in public_functions(name) if not inspect.getdoc(value)]
    assert silent == []


def test_what_is_at_hand_is_in_the_public_lists():
    """bnnsim/__init__.pyi, which the type checker reads, has no name that its package does not offer."""
    for name, (module, attribute) in bnnsim._read_homes().items():
        assert module == "bnnsim" or attribute in importlib.import_module(module).__all__, name
        assert getattr(bnnsim, name) is not None
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"data"}
    assert packages - set(bnnsim.__all__) == {"benchmarks", "commands", "files"}, "and the others are for bnnsim itself"


MISTAKES = {"bnnsim.fit(model, train, epoch=3)": 'Unexpected keyword argument "epoch" for "fit"',
            "bnnsim.fitt": 'no attribute "fitt"', "bnnsim.faults.BitFlip(0.1)": 'no attribute "BitFlip"',
            "bnnsim.plotting.ber_curves": 'no attribute "ber_curves"'}
KNOWN = {"bnnsim.fit": "def (model", "bnnsim.faults.BitFlips": "def (p", "bnnsim.architectures.build": "def (spec",
         "bnnsim.plotting.ber_curve": "(result", **{f"bnnsim.{name}": "" for name in bnnsim.__all__}}


@pytest.mark.slow
def test_editors_and_type_checkers_see_what_is_there(tmp_path, monkeypatch):
    """Signatures, every name at hand, and no other: a misspelt argument is found before a program is run."""
    from mypy import api

    lines = ["import bnnsim", 'model = bnnsim.architectures.build("FC10", (1, 28, 28))',
             "train, test = bnnsim.load_embedded()", *(f"reveal_type({name})" for name in KNOWN), *MISTAKES]
    (tmp_path / "program.py").write_text("\n".join(lines) + "\n")
    if "site-packages" not in ROOT.parts:                       # there mypy looks by itself
        monkeypatch.setenv("MYPYPATH", str(ROOT.parent))
    monkeypatch.chdir(tmp_path)
    told = api.run(["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", "program.py"])[0]
    found = dict(re.findall(r"program\.py:(\d+): (?:note: Revealed type is|error:) (.*)", told))
    assert len(found) == len(KNOWN) + len(MISTAKES), told
    for number, (line, wanted) in enumerate([*KNOWN.items(), *MISTAKES.items()], 4):
        assert wanted in found[str(number)] and found[str(number)] != '"Any"', (line, found[str(number)])


def test_doctests(tmp_path, monkeypatch):
    """What docstrings show is what a user gets."""
    monkeypatch.chdir(tmp_path)
    results = {name: doctest.testmod(importlib.import_module(f"bnnsim.{name}")) for name in NAMES}
    assert [name for name, result in results.items() if result.failed] == []
    assert sum(result.attempted for result in results.values()) > 100
