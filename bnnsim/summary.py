"""What stored files hold: sizes and origin of networks and fault maps; settings, seed and command of results.

    python -m bnnsim.summary
    python -m bnnsim.summary fcnn.h5 sweep.h5 --format json

Without a file: the FCNN that comes with the library. Every file is read whole and its checksum is verified.
"""

import json
import sys

import numpy as np

import bnnsim.commands.command_line as command_line
import bnnsim.commands.stored as stored
import bnnsim.datasets.shipped as shipped
from bnnsim.faults import FaultMap
from bnnsim.faults.fault_map import KINDS
from bnnsim.packed.network import PackedNetwork


def arguments():
    """The options."""
    parser = command_line.parser("summary", __doc__)
    parser.add_argument("files", nargs="*", metavar="FILE.h5", help="networks, results and fault maps")
    parser.add_argument("--format", default="table", choices=("table", "json"), help="(default: %(default)s)")
    return parser


def describe_network(network):
    """A network as plain JSON."""
    layers = [{"kind": layer.kind, "n_in": layer.n_in, "units": layer.units, "binary_weights": layer.n_bits}
              for layer in network.layers]
    return {"kind": "network", "checksum": network.checksum, "input_shape": list(network.input_shape),
            "input_offset": int(network.input_offset), "n_classes": network.n_classes,
            "binary_weights": network.n_bits, "layers": layers, "metadata": network.metadata}


def describe_results(result):
    """The results of a campaign as plain JSON."""
    positive = result.rates > 0
    n_cells = int(result.n_trials()[:, positive].sum()) + len(result.names) * bool(np.any(~positive))
    return {"kind": "results", "checksum": result.checksum, "n_cells": n_cells,
            "rates": result.rates.tolist(), "most_trials": int(result.n_trials().max()), **result.settings,
            "provenance": result.provenance, "command": result.provenance.get("command")}


def describe_map(chip):
    """A fault map as plain JSON."""
    layers = [{"cells": layer.stored.n_bits, **dict(zip(KINDS, counts))}
              for layer, counts in zip(chip.layers, chip.counts().tolist())]
    mapping = chip.mapping and {"rows": chip.mapping.rows, "columns": chip.mapping.columns,
                                "units_on": chip.mapping.units_on, "arrays": chip.mapping.n_arrays(chip.memory)}
    return {"kind": "fault map", "checksum": chip.checksum, "cells": chip.n_bits, "layers": layers, "mapping": mapping,
            "metadata": chip.metadata}


def described(one):
    """Whatever a file holds as plain JSON."""
    return (describe_network if isinstance(one, PackedNetwork) else
            describe_map if isinstance(one, FaultMap) else describe_results)(one)


def network_text(network):
    """A network as text."""
    channels, height, width = network.input_shape
    lines = [f"input: {channels} x {height} x {width} pixels minus {network.input_offset}", network.summary(),
             f"checksum: {network.checksum}", *(f"{key}: {value}" for key, value in sorted(network.metadata.items()))]
    return "\n".join(lines)


def results_text(result):
    """The results of a campaign as text."""
    found = describe_results(result)
    lines = [f"series: {one['name']}, {one['split']} ({one['n_images']:,} images), network {one['network'][:12]}, "
             f"{one['fault']} at each rate" for one in found["series"]]
    lines += [f"rates: {', '.join(f'{rate:.4g}' for rate in found['rates'])}",
              f"cells: {found['n_cells']:,}, at most {found['most_trials']} chips a rate", f"seed: {found['seed']}",
              f"checksum: {found['checksum']}"]
    if found["stopping"]:
        lines.append("stopping: " + ", ".join(f"{key} {value}" for key, value in found["stopping"].items()))
    lines += [f"{key}: {value}" for key, value in sorted(result.provenance.items()) if key != "command"]
    return "\n".join([*lines, f"command: {found['command'] or 'none was stored'}"])


def map_text(chip):
    """A fault map as text."""
    found = describe_map(chip)
    lines = [f"layer {i}: {layer['cells']:,} cells, " + ", ".join(f"{layer[kind]:,} {kind}" for kind in KINDS)
             for i, layer in enumerate(found["layers"])]
    mapping = found["mapping"]
    lines.append("mapping: none" if mapping is None else
                 f"mapping: {mapping['arrays']:,} arrays of {mapping['rows']} x {mapping['columns']} cells, units on "
                 f"{mapping['units_on']}")
    return "\n".join([*lines, f"checksum: {chip.checksum}",
                      *(f"{key}: {value}" for key, value in sorted(chip.metadata.items()))])


def text_of(one):
    """Whatever a file holds as text."""
    return (network_text if isinstance(one, PackedNetwork) else
            map_text if isinstance(one, FaultMap) else results_text)(one)


def work(options):
    """Load, print."""
    paths = options.files or [shipped.data_file(f"{stored.SHIPPED}.h5")]
    loaded = [(str(path), stored.load(path)) for path in paths]
    if options.format == "json":
        print(json.dumps([{"file": path, **described(one)} for path, one in loaded], indent=1))
    else:
        print("\n\n".join(f"{path}\n{text_of(one)}" for path, one in loaded))


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
