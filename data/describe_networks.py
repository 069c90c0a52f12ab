"""Write what README.rst says of the networks in this folder, from the files themselves.

    python data/describe_networks.py
"""

from pathlib import Path

from bnnsim.packed import PackedNetwork

FOLDER = Path(__file__).resolve().parent
START, END = ".. networks: start\n", ".. networks: end\n"


def section():
    """The text between the marks of README.rst."""
    text = START + "\n"
    for path in sorted(FOLDER.glob("*.h5")):
        network = PackedNetwork.load(path)
        found = network.metadata
        text += (f"``{path.name}``\n"
                 f"    {100 * float(found['test_accuracy']):.2f} % of all {int(found['test_images']):,} official test "
                 f"images ({found['dataset']}), epoch {found['kept_epoch']} of {found['epochs']}, chosen "
                 f"on {int(found['holdout']):,}\n    held-out training images; flip rate in training "
                 f"{found['flip_rate']}, seed {found['seed']}.\n    Content checksum ``{network.checksum}``. Made "
                 "by::\n\n"
                 f"        {found['command']}\n\n")
    return text + END


if __name__ == "__main__":
    readme = FOLDER / "README.rst"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    readme.write_text(before + section() + rest.partition(END)[2], encoding="utf-8")
