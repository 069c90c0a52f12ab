"""What stored files hold: sizes and origin of networks and fault maps; settings, seed and command of results.

    python -m bnnsim.summary
    python -m bnnsim.summary fcnn.h5 sweep.h5 --format json
    python -m bnnsim.summary fcnn.h5 --arrays 128x64 --units-on columns

Without a file: the FCNN that comes with the library. Every file is read whole and its checksum is verified.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, counted

if TYPE_CHECKING:
    from bnnsim.campaign.result import SweepResult
    from bnnsim.commands.stored_files import Stored
    from bnnsim.faults import ArrayMapping, FaultMap
    from bnnsim.packed.network import PackedNetwork

OPTIONS = (Option("files", "networks, results and fault maps, or names of networks that come with the library, such as "
                  "fashion_cnn (default: fashion_fcnn)", rules.path, [], metavar="FILE.h5", flag="", nargs="*",
                  several=True), shared.ARRAYS, shared.UNITS_ON, shared.form("table", "json"))


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("summary", __doc__, OPTIONS)


def describe_network(network: "PackedNetwork", mapping: "ArrayMapping") -> dict[str, Any]:
    """A network as plain JSON: its layers, or the nodes of a graph."""
    from bnnsim.packed.graph import PackedGraph
    from bnnsim.packed.sizes import compared

    *sizes, total = network.sizes(mapping)
    parts: dict[str, Any] = {"nodes": [size.fields() for size in sizes]}
    if not isinstance(network, PackedGraph):
        parts = {"layers": [{"kind": layer.kind, "n_in": layer.n_in, "units": layer.units,
                             "binary_weights": layer.n_bits, **size.fields()}
                            for layer, size in zip(network.layers, sizes)]}
    return {"kind": "network", "checksum": network.checksum, "input_shape": list(network.input_shape),
            "input_offset": int(network.input_offset), "n_classes": network.n_classes,
            "binary_weights": network.n_bits, **parts, "total": {**total.fields(), **compared(total)},
            "arrays": {"rows": mapping.rows, "columns": mapping.columns, "units_on": mapping.units_on},
            "metadata": network.metadata}


def describe_results(result: "SweepResult") -> dict[str, Any]:
    """The results of a campaign as plain JSON."""
    from bnnsim.campaign.result_statistics import is_clean

    once = [[is_clean(result, s, r) for r in range(len(result.rates))] for s in range(len(result.names))]
    n_cells = int(np.minimum(result.n_trials(), np.where(once, 1, result.right.shape[2])).sum())
    return {"kind": "results", "checksum": result.checksum, "n_cells": n_cells,
            "rates": result.rates.tolist(), "most_trials": int(result.n_trials().max()), **result.settings,
            "provenance": result.provenance, "command": result.provenance.get("command")}


def describe_map(chip: "FaultMap") -> dict[str, Any]:
    """A fault map as plain JSON."""
    from bnnsim.faults.fault_map import KINDS

    layers = [{"cells": layer.stored.n_bits, **dict(zip(KINDS, counts))}
              for layer, counts in zip(chip.layers, chip.counts().tolist())]
    mapping = chip.mapping and {"rows": chip.mapping.rows, "columns": chip.mapping.columns,
                                "units_on": chip.mapping.units_on, "arrays": chip.mapping.n_arrays(chip.memory)}
    return {"kind": "fault map", "checksum": chip.checksum, "cells": chip.n_bits, "layers": layers, "mapping": mapping,
            "metadata": chip.metadata}


def network_text(network: "PackedNetwork", mapping: "ArrayMapping") -> str:
    """A network as text."""
    from bnnsim.packed.sizes import compared

    channels, height, width = network.input_shape
    total = network.sizes(mapping)[-1]
    saved = compared(total)
    lines = [f"input: {channels} x {height} x {width} pixels minus {network.input_offset}", network.summary(mapping),
             f"memory: {total.n_bytes / 1000:,.1f} kB, {saved['float32_bytes'] / 1000:,.1f} as float32: "
             f"{saved['compression']:.1f} times as much",
             f"operations: {total.macs:,} MACs an image, "
             f"{100 * saved['binary_share']:.1f} % binary",
             f"checksum: {network.checksum}", *(f"{key}: {value}" for key, value in sorted(network.metadata.items()))]
    return "\n".join(lines)


def results_text(result: "SweepResult") -> str:
    """The results of a campaign as text."""
    found = describe_results(result)
    lines = [f"series: {one['name']}, {one['split']} ({counted(one['n_images'], 'image')}), "
             f"network {one['network'][:12]}, {one['fault']} at each rate" for one in found["series"]]
    lines += [f"rates: {', '.join(f'{rate:.4g}' for rate in found['rates'])}",
              f"cells: {found['n_cells']:,}, at most {counted(found['most_trials'], 'chip')} a rate",
              f"seed: {found['seed']}", f"checksum: {found['checksum']}"]
    if found["stopping"]:
        lines.append("stopping: " + ", ".join(f"{key} {value}" for key, value in found["stopping"].items()))
    lines += [f"{key}: {value}" for key, value in sorted(result.provenance.items())
              if key not in ("command", "card_sweep")]
    return "\n".join([*lines, f"command: {found['command'] or 'none was stored'}"])


def map_text(chip: "FaultMap") -> str:
    """A fault map as text."""
    found = describe_map(chip)
    lines = [f"layer {i}: {layer['cells']:,} cells, " + ", ".join(f"{n:,} {kind}" for kind, n in layer.items()
                                                                  if kind != "cells")
             for i, layer in enumerate(found["layers"])]
    mapping = found["mapping"]
    lines.append("mapping: none" if mapping is None else
                 f"mapping: {mapping['arrays']:,} arrays of {mapping['rows']} x {mapping['columns']} cells, units on "
                 f"{mapping['units_on']}")
    return "\n".join([*lines, f"checksum: {chip.checksum}",
                      *(f"{key}: {value}" for key, value in sorted(chip.metadata.items()))])


def described(stored: "Stored", form: str, mapping: "ArrayMapping") -> Any:
    """Whatever a file holds: plain JSON, or a text; networks in these arrays."""
    from bnnsim.faults import FaultMap
    from bnnsim.packed.network import PackedNetwork

    if isinstance(stored, PackedNetwork):
        return describe_network(stored, mapping) if form == "json" else network_text(stored, mapping)
    if isinstance(stored, FaultMap):
        return describe_map(stored) if form == "json" else map_text(stored)
    return describe_results(stored) if form == "json" else results_text(stored)


def work(options: argparse.Namespace) -> None:
    """Load, print."""
    import bnnsim.commands.inputs as inputs
    import bnnsim.commands.stored_files as stored_files
    from bnnsim.datasets.shipped import network_file

    mapping = shared.mapping_of(options)
    found = [(path, described(stored_files.load(network_file(path)), options.format, mapping))
             for path in options.files or [inputs.shipped_file()]]
    if options.format == "json":
        print(as_json([{"file": path, **fields} for path, fields in found]))
    else:
        print("\n\n".join(f"{path}\n{text}" for path, text in found))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
