"""A small training run for the tests of checkpoints; as a script, one that can be killed from outside.

    python tests/training_run.py CHECKPOINT

prints a line "step N" after each step, and "done DIGEST" at the end.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

import bnnsim.training.fitting as fitting
import bnnsim.training.step as step_module
from bnnsim.datasets.split import Split
from bnnsim.training.architectures import build

sys.path.insert(0, str(Path(__file__).with_name("golden")))
from make_training import synthetic  # noqa: E402

N_STEPS = 9


def small_split(n_images=80, seed=1):
    return Split(*synthetic((1, 6, 6), n_images, np.random.default_rng(seed)), "synthetic")


def small_model(spec="C4 MP2 FC20 FC10", seed=0):
    return build(spec, (1, 6, 6), rng=seed)


def run(checkpoint=None, model=None, train=None, **changes):
    """Nine steps: 80 images in batches of 32, 32 and 16, three epochs; everything random is switched on."""
    model = small_model() if model is None else model
    train = small_split() if train is None else train
    settings = {"epochs": 3, "validation": small_split(20, 2), "rng": 5, "batch_size": 32, "flip_rate": 0.1,
                "gradient": "native", "augment": True, "checkpoint": checkpoint, "checkpoint_seconds": 0,
                "progress": False}
    return model, fitting.fit(model, train, **{**settings, **changes})


def state(model, history):
    """Everything that a run gives, as bytes."""
    parts = [value.tobytes() for value in model.arrays().values()]
    parts += [layer.words.tobytes() for layer in model.weighted]
    return b"".join(parts) + repr(history).encode()


def digest(model, history):
    return hashlib.sha256(state(model, history)).hexdigest()


def interrupt_at(monkeypatch, at, how):
    """Call `how` after step number `at`, inside of it."""
    step = step_module.train_step

    def interrupted(run):
        step(run)
        if run.progress.step == at:
            how()

    monkeypatch.setattr(step_module, "train_step", interrupted)


def stop():
    raise RuntimeError("stopped by the test")


def main(checkpoint):
    step = step_module.train_step

    def loud_step(run):
        step(run)
        print("step", run.progress.step, flush=True)

    step_module.train_step = loud_step
    print("done", digest(*run(checkpoint, resume=True)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
