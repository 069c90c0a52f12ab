"""Files by what they hold: a packed network, the results of a campaign, or a fault map. For the command lines."""

import os

import bnnsim.campaign.result as result
import bnnsim.campaign.result_file as result_file
import bnnsim.datasets.shipped as shipped
import bnnsim.files.file_format as file_format
import bnnsim.files.hdf5 as hdf5
from bnnsim.faults import FaultMap
from bnnsim.faults.map_file import FAULTS
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.network_file import NETWORK, _read_network
from bnnsim.training.checkpoint_file import CHECKPOINT, read_checkpoint

_KINDS = {NETWORK: PackedNetwork, result_file.RESULTS: result.SweepResult, FAULTS: FaultMap}
SHIPPED = "fashion_fcnn"


def load(path):
    """The PackedNetwork, SweepResult or FaultMap that a file holds, read and checked; ValueError where it is none."""
    with hdf5.open_file(path) as file:
        kind = file_format.read_kind(file)
        if kind not in _KINDS:
            what = file_format.WHAT.get(kind, f"a file of format {kind!r}")
            raise hdf5.Refused("wanted a packed network, the results of a campaign or a fault map, but this is "
                               f"{what}")
    return _KINDS[kind].load(path)


def load_networks(paths):
    """Networks by a short name: the file's, made unique; without a path the shipped one."""
    if not paths:
        return {SHIPPED: PackedNetwork.load(shipped.data_file(f"{SHIPPED}.h5"))}
    networks = {}
    for path in paths:
        name = os.path.splitext(os.path.basename(path))[0]
        if path in networks or (name in networks and paths.count(path) > 1):
            raise ValueError(f"{path} is given twice")
        networks[name if name not in networks else path] = PackedNetwork.load(path)
    return networks


def check_fit(name, network, split):
    """The network takes these images and knows these classes; ValueError which says what to change."""
    if network.input_shape != split.images.shape[1:]:
        takes, has = (" x ".join(map(str, shape)) for shape in (network.input_shape, split.images.shape[1:]))
        raise ValueError(f"{name} takes images of {takes}, but those of {split.name} are {has}: choose another "
                         "--dataset")
    if network.n_classes <= split.labels.max():
        raise ValueError(f"{name} has {network.n_classes} classes, but {split.name} has labels up to "
                         f"{split.labels.max()}: choose another --dataset")


def content_checksum(path):
    """The checksum of a network's or a checkpoint's file, once all of the file has been read and verified."""
    with hdf5.open_file(path) as file:
        kind = file_format.read_kind(file)
    return read_checkpoint(path, None)[-1] if kind == CHECKPOINT else _read_network(path)[-1]
