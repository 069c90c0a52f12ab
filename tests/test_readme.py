"""What README shows works as it is written there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import bnnsim
import bnnsim.__main__ as __main__

README = Path(__file__).resolve().parent.parent / "README.rst"
TEXT = README.read_text(encoding="utf-8")


def indented(start):
    """The indented block that follows a position of the text."""
    lines = TEXT[start:].lstrip("\n").splitlines()
    block = []
    for line in lines:
        if line.strip() and not line.startswith("    "):
            break
        block.append(line[4:])
    return "\n".join(block).strip("\n")


PYTHON = [indented(m.end()) for m in re.finditer(r"\.\. code-block:: python\n", TEXT)]
SHELL = [line for m in re.finditer(r"::\n\n(?=    )", TEXT) for line in indented(m.end()).splitlines()]


def test_every_block_is_found():
    assert len(PYTHON) == TEXT.count("code-block:: python") >= 2
    assert any("pytest" in line for line in SHELL) and any("ber_sweep" in line for line in SHELL)


@pytest.mark.parametrize("code", PYTHON)
def test_python_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {"__name__": "readme"})


COMMANDS = [line.split("#")[0].split() for line in SHELL if line.startswith("python -m bnnsim.")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_that_readme_names_exists(words):
    module = words[2].split(".")[1]
    assert module in __main__.COMMANDS
    arguments = getattr(__import__(f"bnnsim.{module}", fromlist=["arguments"]), "arguments")()
    arguments.parse_args(shlex.split(" ".join(words[3:])))


def test_bit_order_example_is_what_the_text_says():
    bits = bnnsim.PackedBits.pack(np.array([1, -1, 1, 1]))
    assert [(int(bits.words[0]) >> f) & 1 for f in range(4)] == [1, 0, 1, 1]
