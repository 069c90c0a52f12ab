"""Write network.h5 and checkpoint.h5 beside this file, as bnnsim.packed.network_file and bnnsim.files.file_format say.

It uses h5py, hashlib and json alone, so that a reader which loads them agrees with the documents and not only
with the writer beside it. Run it once per format version: python tests/golden/make_weight_files.py
"""

import hashlib
import json
import os

import h5py
import numpy as np

FOLDER = os.path.dirname(os.path.abspath(__file__))
CONVENTION = "bit 1 = +1, bit 0 = -1; feature f in word f // 64 at bit f % 64; padding bits 0"


def line(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def checksum(description, arrays):
    digest = hashlib.sha256(line(description))
    for name in sorted(arrays):
        digest.update(line([name, str(arrays[name].dtype), list(arrays[name].shape)]))
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def set_attributes(group, values):
    for name, value in values.items():
        group.attrs[name] = np.bytes_(value) if isinstance(value, str) else np.array(value, np.int64)


def root(kind, description, arrays):
    return {"format": kind, "format_version": 1, "library_version": "0.1.0", "bit_convention": CONVENTION,
            "created": "2026-01-01T00:00:00+00:00", "checksum": checksum(description, arrays)}


def layers():
    """Images (2, 4, 4): a 3 x 3 convolution to 3 channels, zero-padded, pooled by 2, then 12 -> 2 dense."""
    conv = np.arange(27, dtype=np.uint64).reshape(3, 3, 3, 1) % np.uint64(4)     # bits 0 and 1: two channels
    dense = np.array([[0b101010101010], [0b000000111111]], np.uint64)
    return [({"kind": "conv", "n_in": 2, "stride": 1, "padding": 1, "pad_value": 0, "pool": 2},
             {"words": conv, "threshold": np.array([-3, 0, 700], np.int32),
              "inverted": np.array([True, False, False])}),
            ({"kind": "dense", "n_in": 12, "stride": 1, "padding": 0, "pad_value": 0, "pool": 1},
             {"words": dense, "mean": np.array([0.5, -1.25]), "scale": np.array([0.125, 3.0]),
              "shift": np.array([-0.0, 1e-300])})]


def write_network(path):
    metadata = json.dumps({"dataset": "none", "note": "Büschel"}, sort_keys=True, separators=(",", ":"))
    description = {"format": "bnnsim-network", "format_version": 1, "bit_convention": CONVENTION,
                   "input_shape": [2, 4, 4], "input_offset": 128,
                   "layers": [numbers for numbers, _ in layers()]}
    arrays = {f"layer{i}/{name}": array
              for i, (_, found) in enumerate(layers()) for name, array in found.items()}
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        set_attributes(file, {**root("bnnsim-network", description, arrays), "input_shape": (2, 4, 4),
                              "input_offset": 128, "n_layers": 2,
                              "metadata_checksum": hashlib.sha256(metadata.encode()).hexdigest()})
        file["metadata"] = np.bytes_(metadata)
        for i, (numbers, _) in enumerate(layers()):
            set_attributes(file.create_group(f"layer{i}"), numbers)
        for name, array in arrays.items():
            file[name] = array


def write_checkpoint(path):
    settings, progress = '{"epochs":3,"rates":[0.1,1e-30]}', '{"step":7}'
    arrays = {"0.weight": np.array([[0.5, -1.0]], np.float32), "0.weight.first": np.array([1e-3, 2.0]),
              "key": np.array([2**64 - 1], np.uint64), "order": np.array([2, 0, 1]),
              "empty": np.zeros(0, np.uint8), "count": np.array(-4, np.int32)}
    description = {"format": "bnnsim-checkpoint", "format_version": 1, "settings": settings,
                   "progress": progress}
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        set_attributes(file, root("bnnsim-checkpoint", description, arrays))
        file["settings"], file["progress"] = np.bytes_(settings), np.bytes_(progress)
        group = file.create_group("arrays")
        for name, array in arrays.items():
            group[name] = array


if __name__ == "__main__":
    write_network(os.path.join(FOLDER, "network.h5"))
    write_checkpoint(os.path.join(FOLDER, "checkpoint.h5"))
