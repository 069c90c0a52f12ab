"""Files by what they hold: a packed network or the results of a campaign. For the command lines."""

import os

import bnnsim.datasets as datasets
import bnnsim.file_format as file_format
import bnnsim.hdf5 as hdf5
import bnnsim.results as results
from bnnsim.packed import PackedNetwork
from bnnsim.weights import NETWORK

SHIPPED = "fashion_fcnn"


def load(path):
    """The PackedNetwork or the SweepResult that a file holds, read and checked; ValueError where it is neither."""
    with hdf5.open_file(path) as file:
        kind = file_format.read_kind(file)
        if kind not in (NETWORK, results.RESULTS):
            what = file_format.WHAT.get(kind, f"a file of format {kind!r}")
            raise hdf5.Refused(f"wanted a packed network or the results of a campaign, but this is {what}")
    return (PackedNetwork if kind == NETWORK else results.SweepResult).load(path)


def load_networks(paths):
    """Networks by a short name: the file's, made unique; without a path the shipped one."""
    if not paths:
        return {SHIPPED: PackedNetwork.load(datasets.data_file(f"{SHIPPED}.h5"))}
    networks = {}
    for path in paths:
        name = os.path.splitext(os.path.basename(path))[0]
        if path in networks or (name in networks and paths.count(path) > 1):
            raise ValueError(f"{path} is given twice")
        networks[name if name not in networks else path] = PackedNetwork.load(path)
    return networks
