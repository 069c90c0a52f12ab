"""Are shortcuts a protection? Bit errors in a residual network beside a plain CNN, and beside itself without shortcuts.

On the left two networks that come with bnnsim are broken, each trained on all of Fashion-MNIST; on the right the same
18 layers, narrow, trained on the embedded images once with and once without a shortcut around each convolution.

    python examples/shortcuts.py
    python examples/shortcuts.py --dataset fashion --trials 10 --epochs 20 --width 16 --seeds 3
"""

import argparse

from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run

RATES = [0, 1e-4, 1e-3, 3e-3, 0.01, 0.02, 0.03, 0.05, 0.1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset", help="its test images are classified")
    parser.add_argument("--images", type=count, help="only the first IMAGES of each half")
    parser.add_argument("--trials", type=count, default=5, help="chips a rate")
    parser.add_argument("--epochs", type=count, default=8, help="of the training with and without shortcuts")
    parser.add_argument("--width", type=count, default=8, help="channels of the first stage of those")
    parser.add_argument("--seeds", type=count, default=1, help="trainings of each")
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    train, test = (split[:options.images] for split in bnnsim.load_dataset(options.dataset))
    shipped = {"Bi-Real ResNet-18": "fashion_residual", "CNN": "fashion_cnn"}
    networks = {name: bnnsim.load_network(file) for name, file in shipped.items()}
    narrow = {}
    for seed in range(options.seeds):
        for name, shortcuts in {"with shortcuts": True, "without": False}.items():
            model = bnnsim.architectures.bireal_resnet18(rng=seed, width=options.width, shortcuts=shortcuts)
            bnnsim.fit(model, train, options.epochs, rng=seed, batch_size=50)
            narrow[name if options.seeds == 1 else f"{name}, seed {seed}"] = bnnsim.pack(model)
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for ax, (title, several) in zip(figure.subplots(1, 2), {
            "networks that come with bnnsim": networks,
            f"the same 18 layers, {options.width} channels, {options.epochs} epochs": narrow}.items()):
        result = bnnsim.sweep(several, test, RATES, options.trials, rng=0)
        result.plot(ax=ax).set_title(title, fontsize=9)
        for name, clean in zip(result.names, 100 * result.mean()[:, 0]):
            most = result.tolerated(0.01, name)
            print(f"{name:24}{clean:6.2f} % clean; a point is lost at BER "
                  f"{'' if most.where == 'inside' else most.where + ' '}{most.rate:.2g} "
                  f"({most.low:.2g} to {most.high:.2g})")
    figure.savefig(options.out / "shortcuts.png", dpi=150)
    print(f"the figure is in {options.out}/shortcuts.png")


if __name__ == "__main__":
    run(main)
