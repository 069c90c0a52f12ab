"""Commands that draw have --width: a figure of one or two columns of a paper."""

import importlib
import re

import pytest

from bnnsim.__main__ import COMMANDS
from bnnsim.commands.options import FIGURE

TABLES = {name: importlib.import_module(f"bnnsim.{name}").OPTIONS for name in COMMANDS
          if hasattr(importlib.import_module(f"bnnsim.{name}"), "OPTIONS")}
DRAWING = sorted(name for name, table in TABLES.items() if any(option.rule is FIGURE for option in table))


def test_each_that_draws_takes_a_width_and_no_other():
    assert len(DRAWING) == 8 and [name for name, table in sorted(TABLES.items())
                                  if any(option.name == "width" for option in table)] == DRAWING


@pytest.mark.parametrize("command", [
    "ber_sweep --trials 1 --rates 0.1 --quiet --plot", "evaluate --plot", "certify --plot",
    "explain --what tolerance --plot",
    "device_sweep teaching --trials 1 --axis cycles --at condition=weak --values 1e3 --quiet --pareto",
    "train --dataset fashion-subset --network FC10 --epochs 1 --quiet --plot"])
def test_the_figure_is_as_wide_as_a_column(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name, *words = command.split()
    main = importlib.import_module(f"bnnsim.{name}").main
    assert not main([*words, "a.pdf", "--width", "column", "--limit", "30"])
    drawn, = tmp_path.glob("a*.pdf")
    assert float(re.search(rb"MediaBox \[ ?0 0 ([\d.]+)", drawn.read_bytes())[1]) == pytest.approx(3.5 * 72)


@pytest.mark.parametrize("name", sorted(set(DRAWING) - {"plot", "bench"}))
def test_a_width_of_no_figure_is_refused(name, capsys):
    words = ["teaching"] if name == "device_sweep" else ["--dataset", "fashion-subset"]
    with pytest.raises(SystemExit):
        importlib.import_module(f"bnnsim.{name}").main([*words, "--width", "page"])
    assert "--width goes with --p" in capsys.readouterr().err
