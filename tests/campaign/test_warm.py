"""warmup() must leave nothing to compile."""

import subprocess
import sys

import pytest

from bnnsim.kernels import are_compiled

PROGRAM = """
import pkgutil, importlib, sys
import numpy as np
import bnnsim, bnnsim.kernels

def compiled():
    names = [module.name for module in pkgutil.walk_packages(bnnsim.kernels.__path__, "bnnsim.kernels.")]
    found = {name: value for name in names for name, value in vars(importlib.import_module(name)).items()}
    return {name: len(value.signatures) for name, value in found.items() if hasattr(value, "signatures")}

training = sys.argv[1] == "fit"
bnnsim.warmup(training=training)
before = compiled()
train, test = bnnsim.load_embedded()
few = bnnsim.Split(train.images[:40], train.labels[:40], "few")
for spec in ("FC130 FC100 FC10", "C70 MP2 C33k5p2 FC100 FC10"):
    model = bnnsim.architectures.build(spec, (1, 28, 28), 3, rng=0)
    if training:
        bnnsim.fit(model, few, epochs=1, rng=0, batch_size=32, progress=False, flip_rate=0.1)
    else:
        network = bnnsim.pack(model)
        network.predict(few.images)
        bnnsim.sweep(network, few, [0, 0.01, 0.5], trials=3, rng=0, progress=False)
print({name: (before[name], n) for name, n in compiled().items() if n != before[name]})
"""


@pytest.mark.skipif(not are_compiled(), reason="NUMBA_DISABLE_JIT=1: nothing is compiled")
@pytest.mark.parametrize("what", ["sweep", "fit"])
def test_nothing_is_left_to_compile_after_warmup(what):
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM, what], capture_output=True, text=True,
                          timeout=600)
    assert done.stdout.strip() == "{}", done.stdout + done.stderr
