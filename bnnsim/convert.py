"""Networks between formats: somebody else's into bnnsim's, and back; and where it goes wrong, if it does.

    python -m bnnsim.convert model.onnx net.h5 --input unit
    python -m bnnsim.convert mnist.h5 net.h5                           # a whole model of Keras or Larq
    python -m bnnsim.convert net.h5 net.onnx                           # or .qonnx, .npz, .h (C99), .mem, .coe
    python -m bnnsim.convert net.h5 cells.csv --arrays 64x64 --fault-map chip.h5   # for the chip's tester
    python -m bnnsim.convert net.h5 chip.h5 --cells read.csv           # and as the tester has read it
    python -m bnnsim.convert net.pt --spec "C64 MP2 FC10" --input-shape 1,28,28 --weights latent --out net.h5
    python -m bnnsim.convert net.pt --spec "FC64 FC10" --input-shape 1,28,28 --weights latent --bias stored --out net.h5
    python -m bnnsim.convert weights/ --spec "FC256 FC10" --input-shape 1,28,28 --input binary --weights bits --popcount
    python -m bnnsim.convert model.onnx --check images.npz sums.npz

The last of several words is what is written, in the format that its ending tells, if --out does not say so.

It prints how images enter, and per layer what was read and folded; nothing that changes a class is dropped. --check
compares the sums of each layer, before batch norm and pooling, with those of the network's own framework on the same
uint8 images (N, C, H, W), and names the first layer that differs: the answer to "Why is my accuracy 10 %?".
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
from bnnsim.commands.options import Option
from bnnsim.commands.outputs import claimed_outputs
from bnnsim.commands.printing import as_json, counted, print_plan

if TYPE_CHECKING:
    import numpy as np

    from bnnsim.faults import ArrayMapping
    from bnnsim.interop import Imported
    from bnnsim.packed.network import PackedNetwork

INPUTS = ("pixels", "unit", "centred", "binary")
ENDINGS = (".h5", ".npz", ".qonnx", ".qonnx.onnx", ".onnx", ".h", ".mem", ".coe", ".csv")


def shape_text(name: str, value: Any) -> str:
    """Three sizes, "1,28,28"."""
    words = rules.text(name, value).split(",")
    if len(words) != 3 or not all(word.isascii() and word.strip().isdigit() and len(word) < 9 for word in words):
        raise ValueError(f"{name} must be channels,height,width such as 1,28,28, got {value!r}")
    return value


def outputs(value: str, options: argparse.Namespace) -> list[str]:
    """Files that writing to this path may replace."""
    from bnnsim.interop.export import outputs_of

    return [value] if value.lower().endswith(".h5") else outputs_of(value)


OPTIONS = (
    Option("files", "the network: a file, a folder of FINN's .bin or of memory texts, or several memory texts; and "
           "OUT behind it, if there is no --out", rules.path, [], metavar="IN", flag="", nargs="+", several=True),
    Option("spec", "layers, such as \"C64 MP2 FC10\", where the file has arrays alone", rules.text, metavar="SPEC"),
    Option("input_shape", "channels,height,width, where the file does not tell", shape_text, metavar="C,H,W"),
    Option("input", "what the network was trained to read (default: levels, unless it takes signs of them): levels, "
           f"levels / 255, -1 to 1, or +-1 alone: {', '.join(INPUTS)}", rules.one_of(INPUTS)),
    Option("weights", "what the file has: +-1 (or +-s of each unit), real ones of which the signs count, 0 and 1 for "
           "-1 and +1, or for +1 and -1: signs, latent, bits, sign-bits",
           rules.one_of(("signs", "latent", "bits", "sign-bits")), "signs"),
    Option("sign", "whether the sign of 0 is +1 (\">=\") or -1 (\">\"), where the file leaves it open",
           rules.one_of((">=", ">"))),
    Option("popcount", "thresholds are numbers of agreeing bits", rules.switch, False),
    Option("norm_first", "poolings of --spec stand behind their batch norms (--no-norm-first: before)", rules.switch),
    Option("eps", "of batch norms whose file has none", rules.positive(), 1e-5, float),
    Option("flatten", "the order in which a dense layer reads a map (default: the framework's): CHW, HWC",
           rules.one_of(("CHW", "HWC"))),
    Option("bit_order", "of weights in packed words: whether the lowest or the highest bit of one is the first weight: "
           "lsb, msb", rules.one_of(("lsb", "msb"))),
    Option("bias", "whether biases of --spec go into thresholds, or are +-1 of which the memory has the bits: folded, "
           "stored", rules.one_of(("folded", "stored")), "folded"),
    Option("check", "compare the sums of each layer with these", rules.path, [], metavar="NPZ", nargs="+",
           several=True),
    shared.ARRAYS, shared.UNITS_ON,
    Option("cells", "a tester's table: the bits that it has read, broken by the faults that it tells", rules.path,
           metavar="CELLS.csv"),
    Option("fault_map", "faults of each cell, in a column of a .csv", rules.path, metavar="MAP.h5"),
    Option("out", f"write the network: {', '.join(ENDINGS)}", rules.writable(*ENDINGS), metavar="FILE",
           outputs=outputs),
    shared.form("table", "json"), shared.DRY_RUN)


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
                        norm_first=options.norm_first, eps=options.eps, flatten=options.flatten,
                        bit_order=options.bit_order, bias=options.bias)


def arrays(path: str) -> "dict[str, np.ndarray]":
    """What is in an .npz file; ValueError, which names it, where it is none."""
    from bnnsim.interop.arrays_files import read_npz

    try:
        return read_npz(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check(imported: "Imported", images_path: str, sums_path: str) -> str:
    """What comparing says; ValueError where a layer's sums differ."""
    images, sums = list(arrays(images_path).values()), arrays(sums_path)
    if len(images) != 1:
        raise ValueError(f"{images_path} must hold one array, the images, got {len(images)}")
    found = imported.compare(images[0], sums)
    if found is not None:
        raise ValueError(f"{found}")
    return f"the sums of {counted(len(sums), 'layer')} are the same on {counted(len(images[0]), 'image')}"


def settle_out(options: argparse.Namespace) -> bool:
    """The last of several words is --out, if that is not given, and must not be there; whether it is so."""
    *files, out = options.files
    if not files or options.out:
        return False
    options.files, options.out = files, rules.writable(*ENDINGS)("OUT", out)
    there = [path for path in outputs(out, options) if os.path.exists(path)]
    if there and not options.force:
        raise FileExistsError(f"{there[0]} exists: --force replaces it; if it is to be read, name what is written by "
                              "--out")
    return True


def as_read(network: "PackedNetwork", options: argparse.Namespace) -> "tuple[PackedNetwork, int]":
    """The network as a chip has it, by --cells, and how many bits are read wrong."""
    from bnnsim.interop import read_cells
    from bnnsim.packed.memory import wrong_bits

    cells = read_cells(options.cells, network, asked_mapping(options))
    read = cells.memory if cells.faults is None else cells.faults.apply(cells.memory)
    return read, wrong_bits(network, read)


def asked_mapping(options: argparse.Namespace) -> "ArrayMapping | None":
    """What --arrays and --units-on say, if they do."""
    return shared.mapping_of(options) if options.arrays or options.units_on else None


def is_table(options: argparse.Namespace) -> bool:
    """Whether a chip tester's table is written."""
    return bool(options.out) and options.out.lower().endswith(".csv")


def check_writing(network: "PackedNetwork", options: argparse.Namespace) -> None:
    """What `write` refuses, for a dry run: it writes to a folder that goes away; not a table, of a line a cell."""
    from bnnsim.faults import FaultMap

    if options.fault_map:
        FaultMap.load(options.fault_map)
    if options.out and not is_table(options):
        with tempfile.TemporaryDirectory() as folder:
            write(network, os.path.join(folder, os.path.basename(options.out)), options)


def write(network: "PackedNetwork", out: str, options: argparse.Namespace) -> list[str]:
    """The network, and what of it stands where, to a path; the files of which that is no news."""
    from bnnsim.faults import FaultMap
    from bnnsim.interop import export_network

    if out.lower().endswith(".h5"):
        network.save(out)
        return []
    faults = FaultMap.load(options.fault_map) if options.fault_map else None
    mapping = asked_mapping(options) if is_table(options) else None
    return list(map(os.fspath, export_network(network, out, mapping=mapping, faults=faults)))


def work(options: argparse.Namespace) -> None:
    """Convert; an OUT among the files is claimed here, as --out was before."""
    with claimed_outputs(options, OPTIONS if settle_out(options) else ()):
        convert_files(options)


def convert_files(options: argparse.Namespace) -> None:
    """Read, tell, compare, write."""
    if not is_table(options) and (options.fault_map or (asked_mapping(options) and not options.cells)):
        raise ValueError("--arrays, --units-on and --fault-map belong to a .csv, which has a line for each cell")
    if options.check and len(options.check) != 2:
        raise ValueError(f"--check takes two files, images.npz and sums.npz, got {len(options.check)}")
    imported = read(options)
    network, told, as_text = imported.network, described(imported), options.format == "table"
    if as_text:
        print(imported.table())                                  # before what may fail
    if options.check:
        told["check"] = check(imported, *options.check)
        if as_text:
            print(told["check"])
    if options.cells:
        network, told["wrong_bits"] = as_read(network, options)
        if as_text:
            print(f"{options.cells}: {told['wrong_bits']:,} of {network.n_bits:,} bits are read wrong")
    if options.dry_run:
        check_writing(network, options)
        print_plan(options, {} if as_text else told, {"out": options.out})
        return
    written = write(network, options.out, options) if options.out else []
    if as_text:
        print(*(f"written: {path}\n" for path in written), sep="", end="")
    else:
        print(as_json({**told, "checksum": network.checksum, "out": options.out, "more_files": written}))


def described(imported: "Imported") -> dict[str, Any]:
    """What was read, as plain JSON."""
    network = imported.network
    return {"form": imported.form, "input": str(imported.code), "input_shape": network.input_shape,
            "n_classes": network.n_classes, "binary_weights": network.n_bits, "layers": [
                {"layer": row.layer, "kind": row.kind, "shape": row.shape, "from": row.sources, "folded": row.folded}
                for row in imported.rows]}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
