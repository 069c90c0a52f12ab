"""warmup() must leave nothing to compile."""

import json
import subprocess
import sys

import pytest

from bnnsim.kernels import are_compiled

PROGRAM = """
import pkgutil, importlib, json
import numpy as np
import bnnsim, bnnsim.kernels

def compiled():
    names = [module.name for module in pkgutil.walk_packages(bnnsim.kernels.__path__, "bnnsim.kernels.")]
    return {(name, key): len(value.signatures) for name in names
            for key, value in vars(importlib.import_module(name)).items() if hasattr(value, "signatures")}

def compiled_by(work):
    before = compiled()
    work()
    return {" ".join(name): (before[name], n) for name, n in compiled().items() if n != before[name]}

train, test = bnnsim.load_embedded()
few = bnnsim.Split(train.images[:40], train.labels[:40], "few")

def models():
    for spec in ("FC130 FC100 FC10", "C70 MP2 C33k5p2 FC100 FC10"):
        yield bnnsim.architectures.build(spec, (1, 28, 28), 3, rng=0)

def sweep():
    for model in models():
        network = bnnsim.pack(model)
        network.predict(few.images)
        bnnsim.sweep(network, few, [0, 0.01, 0.5], trials=3, rng=0, progress=False)

def fit():
    for model in models():
        bnnsim.fit(model, few, epochs=1, rng=0, batch_size=32, progress=False, flip_rate=0.1)

found = {"warmup()": compiled_by(bnnsim.warmup), "sweep": compiled_by(sweep),
         "warmup(training=True)": compiled_by(lambda: bnnsim.warmup(training=True)), "fit": compiled_by(fit)}
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(not are_compiled(), reason="NUMBA_DISABLE_JIT=1: nothing is compiled")
def test_nothing_is_left_to_compile_after_warmup():
    """One process for both: what `warmup(training=True)` needs of `warmup()` it would do alone too."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["sweep"] == {} and found["fit"] == {}
    assert len(found["warmup()"]) > 5 and len(found["warmup(training=True)"]) > 5, "the test sees no kernels"
