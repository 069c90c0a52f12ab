"""Data of one's own: a folder of RGB pictures, 1-D signals in an npz, and a table in a CSV, to a figure for a paper.

Made here, three classes each. A fifth of the training half is held out: where it gets no better, training stops, and
the best epoch is kept. Then weight bits are broken. The figure is matplotlib's, two columns wide; plots take its axes.

    python examples/own_data.py
    python examples/own_data.py --examples 2000 --epochs 60 --trials 20
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run


def put_pictures(folder: Path, n: int, rng: np.random.Generator) -> None:
    """n PNG files of 16 x 16, half of them for training: rings, bars and crosses in colours on noise."""
    y, x = np.mgrid[-8:8, -8:8] + 0.5
    shapes = {"ring": abs(np.hypot(x, y) - 5) < 1.5, "bar": abs(y) < 2, "cross": (abs(x) < 1.5) | (abs(y) < 1.5)}
    for i in range(n):
        name = list(shapes)[i % 3]
        drawn = np.roll(shapes[name], rng.integers(-2, 3, 2), (0, 1))[..., None] * rng.integers(60, 160, 3)
        path = folder / ("train" if i % 2 else "test") / name / f"{i:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((drawn + rng.integers(0, 96, (16, 16, 3))).astype(np.uint8)).save(path)


def put_signals(path: Path, n: int, rng: np.random.Generator) -> None:
    """n noisy sines, squares and saws of 64 samples at any phase: floats, (N, 1, L)."""
    y, phase = np.arange(n) % 3, np.arange(64) / 16 + rng.random((n, 1))
    waves = np.stack([np.sin(2 * np.pi * phase), np.sign(np.sin(2 * np.pi * phase)), 2 * (phase % 1) - 1])
    np.savez(path, x=waves[y, np.arange(n), None] + 0.5 * rng.standard_normal((n, 1, 64)), y=y)


def put_table(path: Path, n: int, rng: np.random.Generator) -> None:
    """n lines of six features, of which two tell nothing, and a class by its name."""
    rows = rng.standard_normal((n, 6)) * [1, 20, 0.1, 5, 1, 1] + np.outer(np.arange(n) % 3, [1.5, -25, 0.15, 6, 0, 0])
    lines = [",".join([*(f"{value:.5g}" for value in row), "ABC"[i % 3]]) for i, row in enumerate(rows)]
    path.write_text("\n".join(["a,b,c,d,e,f,class", *lines]) + "\n")


DATA = {"pictures": (put_pictures, "C16 MP2 C16 MP2 FC64 FC3"),
        "signals.npz": (put_signals, "C16k1x7p0x3 MP1x4 C16k1x7p0x3 MP1x4 FC64 FC3"),
        "table.csv": (put_table, "FC64 FC64 FC3")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--examples", type=count, default=600, help="of each data set")
    parser.add_argument("--epochs", type=count, default=30, help="at most")
    parser.add_argument("--trials", type=count, default=10, help="chips a BER")
    parser.add_argument("--out", type=made_folder, default="out", help="folder for data, networks and figure")
    options = parser.parse_args()
    rng, n, out = np.random.default_rng(0), options.examples, options.out
    figure = Figure(figsize=(7.16, 7.4), layout="constrained")
    for axes, (name, (put, spec)) in zip(figure.subplots(3, 3), DATA.items()):
        put(out / name, n, rng)
        train, test = bnnsim.load_dataset(out / name, bins=15 if name == "table.csv" else None)
        model = bnnsim.architectures.build(spec, train.images.shape[1:], rng=0)
        history = bnnsim.fit(model, train, options.epochs, rng=0, batch_size=32, validation_share=0.2, progress=False,
                             callbacks=[bnnsim.callbacks.EarlyStopping("validation_loss", patience=4)])
        network = bnnsim.pack(model)
        result = bnnsim.sweep({name: network}, test, np.geomspace(1e-3, 0.5, 9), options.trials, 0, progress=False)
        print(f"{test!r}\n    {len(history.loss)} epochs, {100 * network.accuracy(test):.1f} %; "
              f"with a bit in ten wrong {100 * result.mean()[0, -3]:.1f} %")
        history.plot(ax=axes[:2])
        result.plot(ax=axes[2])
    for ending in ("pdf", "png"):
        bnnsim.plotting.save_figure(figure, out / f"own_data.{ending}")
        print(f"{out}/own_data.{ending}")


if __name__ == "__main__":
    run(main)
