"""Opens whatever bnnsim has stored: a packed network, the results of a campaign, or a fault map, told by the file."""

import bnnsim.files.file_format as file_format
import bnnsim.files.hdf5 as hdf5
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.result_file import RESULTS
from bnnsim.checks import FilePath
from bnnsim.faults import FaultMap
from bnnsim.faults.map_file import FAULTS
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.network_file import NETWORK

Stored = PackedNetwork | SweepResult | FaultMap


def load(path: FilePath) -> Stored:
    """The PackedNetwork, SweepResult or FaultMap that a file holds, read and checked; ValueError where it is none."""
    with hdf5.open_file(path) as file:
        kind = file_format.read_kind(file)
        if kind not in (NETWORK, RESULTS, FAULTS):
            what = file_format.WHAT.get(kind, f"a file of format {kind!r}")
            raise hdf5.Refused("wanted a packed network, the results of a campaign or a fault map, but this is "
                               f"{what}")
    if kind == NETWORK:
        return PackedNetwork.load(path)
    return SweepResult.load(path) if kind == RESULTS else FaultMap.load(path)
