"""Somebody else's network, of whatever format, into one of bnnsim's; and where it goes wrong, if it does.

    python -m bnnsim.convert model.onnx --input unit --out net.h5
    python -m bnnsim.convert mnist.h5 --out net.h5                     # a whole model of Keras or Larq
    python -m bnnsim.convert net.pt --spec "C64 MP2 FC10" --input-shape 1,28,28 --weights latent --out net.h5
    python -m bnnsim.convert weights/ --spec "FC256 FC10" --input-shape 1,28,28 --input binary --weights bits --popcount
    python -m bnnsim.convert model.onnx --check images.npz sums.npz

It prints how images enter, and per layer what was read and folded; nothing that changes a class is dropped. --check
compares the sums of each layer, before batch norm and pooling, with those of the network's own framework on the same
uint8 images (N, C, H, W), and names the first layer that differs: the answer to "Why is my accuracy 10 %?".
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
from bnnsim.commands.options import Option

if TYPE_CHECKING:
    from bnnsim.interop import Imported

INPUTS = ("pixels", "unit", "centred", "binary")


def shape_text(name: str, value: Any) -> str:
    """Three sizes, "1,28,28"."""
    words = shared.text(name, value).split(",")
    if len(words) != 3 or not all(word.strip().isdigit() and len(word) < 9 for word in words):
        raise ValueError(f"{name} must be channels,height,width such as 1,28,28, got {value!r}")
    return value


OPTIONS = (
    Option("files", "the network: a file, a folder of FINN's .bin or of memory texts, or several memory texts",
           shared.path, [], metavar="IN", flag="", nargs="+", several=True),
    Option("spec", "layers, such as \"C64 MP2 FC10\", where the file has arrays alone", shared.text, metavar="SPEC"),
    Option("input_shape", "channels,height,width, where the file does not tell", shape_text, metavar="C,H,W"),
    Option("input", "what the network was trained to read: levels, levels / 255, -1 to 1, or +-1 alone: "
           f"{', '.join(INPUTS)}", shared.one_of(INPUTS), "pixels"),
    Option("weights", "what the file has: +-1 (or +-s of each unit), real ones of which the signs count, or 0 and 1 "
           "for -1 and +1: signs, latent, bits", shared.one_of(("signs", "latent", "bits")), "signs"),
    Option("sign", "whether the sign of 0 is +1 (\">=\") or -1 (\">\"), where the file leaves it open",
           shared.one_of((">=", ">"))),
    Option("popcount", "thresholds are numbers of agreeing bits", shared.switch, False),
    Option("norm_first", "poolings of --spec stand behind their batch norms (--no-norm-first: before)", shared.switch),
    Option("eps", "of batch norms whose file has none", shared.positive(), 1e-5, float),
    Option("flatten", "the order in which a dense layer reads a map (default: the framework's): CHW, HWC",
           shared.one_of(("CHW", "HWC"))),
    Option("check", "compare the sums of each layer with these", shared.path, [], metavar="NPZ", nargs="+",
           several=True),
    shared.out("write the network", ".h5"))


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("convert", __doc__, OPTIONS)


def read(options: argparse.Namespace) -> "Imported":
    """The network, as the options say."""
    from bnnsim.interop import read_network

    channels, height, width = map(int, options.input_shape.split(",")) if options.input_shape else (0, 0, 0)
    return read_network(options.files[0] if len(options.files) == 1 else options.files, options.spec,
                        input_shape=(channels, height, width) if options.input_shape else None, input=options.input,
                        weights=options.weights, sign=options.sign, popcount=options.popcount,
                        norm_first=options.norm_first, eps=options.eps, flatten=options.flatten)


def check(imported: "Imported", images_path: str, sums_path: str) -> str:
    """What comparing says; ValueError where a layer's sums differ."""
    from bnnsim.interop.arrays_files import read_npz

    images, sums = list(read_npz(images_path).values()), read_npz(sums_path)
    if len(images) != 1:
        raise ValueError(f"{images_path} must hold one array, the images, got {len(images)}")
    found = imported.compare(images[0], sums)
    if found is not None:
        raise ValueError(f"{found}")
    return f"the sums of {len(sums)} layers are the same on {len(images[0]):,} images"


def work(options: argparse.Namespace) -> None:
    """Read, tell, compare, write."""
    if options.check and len(options.check) != 2:
        raise ValueError(f"--check takes two files, images.npz and sums.npz, got {len(options.check)}")
    imported = read(options)
    print(imported.table())
    if options.check:
        print(check(imported, *options.check))
    if options.out:
        imported.network.save(options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
