"""What is packed and released: one version, every package in setup.cfg's list, tested minima, nothing forgotten."""

import configparser
import importlib.util
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import bnnsim

ROOT = Path(__file__).resolve().parent.parent
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
LINES = {name: value.split("\n")[1:] for name, value in SETUP["options"].items() if "\n" in value}
MINIMA = dict(line.split(">=") for line in LINES["install_requires"])


def load(path):
    """A script of .ci as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_version_stands_everywhere():
    """Its home is bnnsim.__version__."""
    assert SETUP["metadata"]["version"] == "attr: bnnsim.__version__"
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[1]
    heading = re.search(r"^Changelog\n=+\n+(.+)\n-+\n", (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8"))[1]
    assert cited == heading.split()[0] == bnnsim.__version__
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+(\.dev[0-9]+)?", bnnsim.__version__)


def test_every_package_is_in_setup_cfg():
    """A forgotten one is missing from what users install, and no test of a clone sees that."""
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "bnnsim").rglob("__init__.py")}
    assert set(LINES["packages"]) == folders | {"bnnsim.data"}
    homeless = [path for path in (ROOT / "bnnsim").rglob("*.py") if not (path.parent / "__init__.py").is_file()]
    assert homeless == [], "a folder of modules has no __init__.py"


def test_every_file_that_is_no_module_is_in_setup_cfg():
    named = {Path(*name.split(".")) / file for name, files in SETUP["options.package_data"].items()
             if name != "bnnsim.data" for file in files.split()}
    others = {path.relative_to(ROOT) for path in (ROOT / "bnnsim").rglob("*") if path.is_file()
              and path.suffix not in (".py", ".pyc", ".nbi", ".nbc") and "__pycache__" not in path.parts}
    assert others == named


def test_the_minima_are_those_that_are_tested():
    """`.ci/full oldest` installs by this file."""
    lines = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for name, least in MINIMA.items():
        found = tested[name]
        assert found == least or found.removesuffix(".0") == least, f"{name}>={least} is said, {found} is tested"
    assert set(tested) - set(MINIMA) == {"pyparsing"}


def test_the_classifiers_say_what_may_be_installed():
    named = re.findall(r"Python :: (3\.[0-9]+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)
    assert SETUP["options"]["python_requires"] == f">={named[0]}"
    assert named == [f"3.{minor}" for minor in range(11, 11 + len(named))]


def test_run_time_dependencies_stay_six():
    assert set(MINIMA) == {"numpy", "numba", "scipy", "h5py", "matplotlib", "tqdm"}


# ---------------------------------------------------------------- .ci

@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_full_lists_its_steps_and_knows_no_others():
    script = ROOT / ".ci" / "full"
    listed = subprocess.run(["bash", script, "steps"], capture_output=True, text=True, check=True).stdout
    names = [line.split(":")[0] for line in listed.splitlines()]
    assert f"STEPS=({' '.join(names)})" in script.read_text(encoding="utf-8")
    done = subprocess.run(["bash", script, "sdist", "cheese"], capture_output=True, text=True)
    assert done.returncode == 2 and "no step 'cheese'; there are: run oldest" in done.stderr and done.stdout == ""


def test_a_wheel_without_a_package_or_with_a_test_is_told(tmp_path, capsys):
    check = load(ROOT / ".ci" / "check_wheel.py")
    files = check.wanted(ROOT)
    assert {"bnnsim/py.typed", "bnnsim/interop/export_c.h", "bnnsim/data/fashion_fcnn.h5", "bnnsim/__init__.pyi",
            "bnnsim/kernels/words/packing.py", "bnnsim/data/devices/teaching.json"} <= files
    wheel = tmp_path / "bnnsim-1-py3-none-any.whl"

    def judged(names):
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in [*names, "bnnsim-1.dist-info/METADATA"]:
                archive.writestr(name, "")
        return check.main(str(wheel), str(ROOT)), capsys.readouterr().err

    assert judged(files) == (0, "")
    code, said = judged(files - {"bnnsim/py.typed"})
    assert code == 1 and "has no bnnsim/py.typed" in said
    code, said = judged(files | {"tests/test_packaging.py"})
    assert code == 1 and "has tests/test_packaging.py, which is no part of the package" in said
