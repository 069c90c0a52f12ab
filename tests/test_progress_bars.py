"""Bars of progress, in a terminal and in notebooks, with ipywidgets or without: a stand-in for Jupyter's modules."""

import io
from pathlib import Path

import own_process
import pytest
from tqdm import tqdm

import bnnsim
from bnnsim.progress_bars import progress_bar, set_total

ROOT = Path(bnnsim.__file__).resolve().parent.parent
JUPYTER = """
import sys, types

class Shell:
    config = {"IPKernelApp": {}}                                    # what tqdm asked for until 4.63

for name in ("ipykernel", "ipykernel.zmqshell", "IPython", "IPython.display"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["IPython"].get_ipython = Shell
sys.modules["IPython.display"].display = lambda shown: print("shown")
sys.modules["IPython"].display = sys.modules["IPython.display"]

class Widget:
    def __init__(self, children=(), min=0, max=0):
        self.children, self.min, self.max, self.value, self.bar_style = children, min, max, 0, ""
        self.layout, self.style = types.SimpleNamespace(), types.SimpleNamespace(bar_color=None)
    def close(self):
        pass
"""
WIDGETS = """
sys.modules["ipywidgets"] = widgets = types.ModuleType("ipywidgets")
widgets.HTML = widgets.FloatProgress = widgets.HBox = Widget
"""
TRAIN = """
import io, numpy as np, bnnsim
split = bnnsim.Split(np.zeros((8, 1, 4, 4), np.uint8), np.arange(8) % 2, "zeros")
sys.stderr, kept = io.StringIO(), sys.stderr
bnnsim.fit(bnnsim.architectures.build("FC8 FC2", (1, 4, 4), rng=0), split, epochs=2, rng=0)
sys.stderr, shown = kept, sys.stderr.getvalue()
print("2/2" in shown, "IProgress" in shown)
"""


@pytest.mark.jit_off
def test_a_terminal_sees_what_tqdm_shows():
    shown = []
    for kind in (tqdm, progress_bar):
        file = io.StringIO()
        form = "{l_bar}{bar:20}|{n_fmt}/{total_fmt}"                # without the times
        with kind(total=7, unit="cell", file=file, mininterval=0, bar_format=form) as bar:
            bar.update(3)
            set_total(bar, 9) if kind is progress_bar else setattr(bar, "total", 9)
            bar.update(6)
        shown.append(file.getvalue())
    assert shown[0] == shown[1] and "9/9" in shown[0]


def test_a_notebook_without_ipywidgets_gets_a_line_of_text_and_no_warning():
    code = JUPYTER + "sys.modules['ipywidgets'] = None\n" + TRAIN
    assert own_process.run(code, ROOT, NUMBA_DISABLE_JIT="1") == ["True", "False"]


def test_a_notebook_with_ipywidgets_gets_a_widget_whose_maximum_can_grow():
    code = """
from bnnsim.progress_bars import progress_bar, set_total
bar = progress_bar(total=3)
bar.update(3)
set_total(bar, 8)
bar.update(5)
bar.refresh()
print(bar.container.children[1].max, bar.container.children[1].value)
"""
    assert own_process.run(JUPYTER + WIDGETS + code, ROOT) == ["shown", "8", "8"]
