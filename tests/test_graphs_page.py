"""What docs/graphs.rst shows works as it is written there, and its table is what the architectures have."""

import re
from pathlib import Path

import pytest

import bnnsim
import bnnsim.train as train_command
from bnnsim.training.architectures import GRAPHS

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "graphs.rst").read_text(encoding="utf-8")
BLOCKS = ["\n".join(line[4:] for line in block.splitlines())
          for block in re.findall(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", TEXT, re.MULTILINE)]


def test_the_page_runs_from_top_to_bottom(capsys):
    assert len(BLOCKS) == TEXT.count("code-block:: python") == 7
    names = {"__name__": "graphs"}
    for block in BLOCKS:
        exec(compile(block, "graphs.rst", "exec"), names)
    printed = capsys.readouterr().out
    assert "<PackedGraph [1, 28, 28] -> 10, 84 nodes, 67,528 binary weights" in printed and "bits in memory" in printed


@pytest.mark.parametrize("name", GRAPHS)
def test_its_table_is_what_they_have(name):
    network = bnnsim.pack(GRAPHS[name](rng=0))
    n_real = sum(operation.n_parameters for operation in network.operations)
    assert re.search(rf"^``{name}`` .* {network.n_bits:,} +{n_real:,}$", TEXT, re.MULTILINE), (network.n_bits, n_real)


def test_its_command_exists():
    line, = re.findall(r"^    python -m bnnsim\.train (.*)$", TEXT, re.MULTILINE)
    assert train_command.arguments().parse_args(line.split()).network == "reactnet_small"
