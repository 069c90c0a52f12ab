"""Whoever waits for a first run is told why, and nobody else."""

import os
import subprocess
import sys

import pytest

from bnnsim.kernels import are_compiled


@pytest.mark.slow
@pytest.mark.skipif(not are_compiled(), reason="NUMBA_DISABLE_JIT=1: nothing is compiled")
def test_a_cold_start_says_that_it_compiles_and_a_warm_one_does_not(tmp_path):
    words = ["-m", "bnnsim.ber_sweep", "--rates", "0.1", "--trials", "3"]    # >= 3 cells: compiled before the bar
    said = [subprocess.run([sys.executable, *words], env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, check=True,
                           capture_output=True, text=True, timeout=300).stderr for _ in range(2)]
    assert said[0].startswith("compiling kernels") and said[0].count("compiling") == 1 and "compiling" not in said[1]
