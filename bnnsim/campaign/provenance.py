"""What machine and libraries a result came from."""

import platform
import sys
from pathlib import Path

import numba
import numpy as np


def system() -> dict[str, str]:
    """What a result was made with: versions and CPU."""
    return {"library": sys.modules["bnnsim"].__version__, "numpy": np.__version__, "numba": numba.__version__,
            "python": platform.python_version(), "cpu": cpu_name(), "system": platform.platform()}


def cpu_name() -> str:
    """The CPU's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
