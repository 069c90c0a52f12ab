"""Programs run in a process of their own, with an environment of their own."""

import os
import subprocess
import sys
from pathlib import Path

OURS = "NUMBA", "XDG", "PYTHON"                                  # variables that change what is compiled, and where


def run(program, folder, **environment):
    """Words that a program prints, with `folder` and the tests' helpers in its path; warnings are errors."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    clean["PYTHONPATH"] = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=folder, env=clean | environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
