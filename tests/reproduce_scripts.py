"""The scripts of the reproductions, as modules and as commands, for the tests of them."""

import contextlib
import io
import logging
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "reproduce"
sys.path.insert(0, str(FOLDER))
import b_trade_off  # noqa: E402
import correlations  # noqa: E402
import criteria  # noqa: E402
import d_tolerance_correlates  # noqa: E402
import explain  # noqa: E402
import f_margin_loss  # noqa: E402
import make_results  # noqa: E402
import networks  # noqa: E402
import plan  # noqa: E402
import study  # noqa: E402

__all__ = ["CLAIMS", "FOLDER", "SCRIPTS", "b_trade_off", "correlations", "criteria", "d_tolerance_correlates",
           "explain", "f_margin_loss", "make_results", "networks", "plan", "run_here", "study"]
CLAIMS = "abcdefgh"
SCRIPTS = sorted(FOLDER.glob("[a-z]_*.py"))


def run_here(path, *options):
    """What a script prints, in this process, which has compiled everything; the script silences the log meanwhile."""
    log = logging.getLogger("bnnsim")
    before = log.level
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setenv("BNNSIM_OFFLINE", "1")
        patch.setattr(sys, "argv", [str(path), *map(str, options)])
        try:
            runpy.run_path(str(path), run_name="__main__")
        finally:
            log.setLevel(before)
    return printed.getvalue()
