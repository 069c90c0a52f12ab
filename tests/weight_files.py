"""Small networks and checkpoints for the tests of files, and ways to look at what is in a file."""

import h5py
import naive
import numpy as np


def dense_layer(n_in, units, rng, last=False):
    words = naive.pack(rng.choice([-1, 1], (units, n_in)))
    return {"kind": "dense", "n_in": n_in, "words": words, **settings(), **ending(units, rng, last)}


def settings(stride=1, padding=0, pad_value=0, pool=1):
    """Of version 1, as a loaded network has them."""
    return {"stride": (stride,) * 2, "padding": (padding,) * 4, "pad_value": pad_value, "replicate": False,
            "dilation": (1, 1), "groups": 1, "pool": (pool,) * 2, "pool_stride": (pool,) * 2, "pool_padding": (0,) * 4}


def conv_layer(n_in, units, rng, **changed):
    words = naive.pack(rng.choice([-1, 1], (units, 3, 3, n_in)))
    return {"kind": "conv", "n_in": n_in, "words": words, **settings(**{"padding": 1, **changed}),
            **ending(units, rng, last=False)}


def ending(units, rng, last):
    if last:
        return {name: rng.standard_normal(units) for name in ("mean", "scale", "shift")}
    return {"threshold": rng.integers(-2**31, 2**31, units).astype(np.int32),
            "inverted": rng.random(units) < 0.5}


def dense_network(seed=0):
    """65 -> 130 -> 3 for images (5, 13, 1)."""
    rng = np.random.default_rng(seed)
    return {"input_shape": (5, 13, 1), "input_offset": 0, "metadata": {},
            "layers": [dense_layer(65, 130, rng), dense_layer(130, 3, rng, last=True)]}


def conv_network(seed=0):
    """(3, 9, 8) -> 70 channels of 4 x 4 -> 2 channels of 1 x 1 -> 4 -> 3."""
    rng = np.random.default_rng(seed)
    return {"input_shape": (3, 9, 8), "input_offset": 128,
            "metadata": {"dataset": "noise", "who": "Jürgen \0\n"},
            "layers": [conv_layer(3, 70, rng, pool=2),
                       conv_layer(70, 2, rng, stride=2, padding=0, pad_value=-1),
                       dense_layer(2, 4, rng), dense_layer(4, 3, rng, last=True)]}


def geometry_network(seed=0):
    """Of version 2: (4, 9, 8) in groups -> 6 channels of 5 x 8, replicated -> 70 in groups, pooled -> sums of 3."""
    rng = np.random.default_rng(seed)

    def layer(n_in, units, kernel, last=False, **changed):
        words = naive.pack(rng.choice([-1, 1], (units, *kernel, n_in)))
        return {"kind": "conv", "n_in": n_in, "words": words, **settings(), **changed, **ending(units, rng, last)}

    return {"input_shape": (4, 9, 8), "input_offset": 3, "metadata": {"who": "me"}, "layers": [
        layer(2, 6, (3, 2), stride=(2, 1), padding=(1, 0, 0, 3), pad_value=-1, groups=2, dilation=(1, 3)),
        layer(6, 70, (1, 3), padding=(0, 1, 0, 1), replicate=True),
        layer(1, 70, (2, 2), groups=70, pool=(3, 2), pool_stride=(1, 2), pool_padding=(1, 0, 2, 1)),
        layer(70, 3, (1, 1), last=True, dilation=(2, 2))]}


def checkpoint(seed=0):
    """(settings, arrays, progress), with each dtype, a scalar and an empty array."""
    rng = np.random.default_rng(seed)
    arrays = {"0.weight": rng.standard_normal((7, 5)).astype(np.float32),
              "0.weight.first": rng.standard_normal(35), "key": rng.integers(0, 2**64, 2, np.uint64),
              "order": np.arange(9), "scalar": np.array(-3, np.int32), "empty": np.zeros((0, 4), np.uint8)}
    return {"epochs": 3, "spec": ["a", None, {"b": True}]}, arrays, {"step": 2**80, "loss": 0.1, "note": "ü"}


def stored_checksum(path):
    """The checksum of a network's or a checkpoint's file, once all of the file has been read and verified."""
    import bnnsim.files.file_format as file_format
    import bnnsim.files.hdf5 as hdf5
    from bnnsim.packed.network_file import _read_network
    from bnnsim.training.checkpoint_file import CHECKPOINT, read_checkpoint

    with hdf5.open_file(path) as file:
        kind = file_format.read_kind(file)
    return read_checkpoint(path, None)[-1] if kind == CHECKPOINT else _read_network(path)[-1]


def assert_same(came, wanted):
    """Deep equality: types, dtypes, shapes and bytes."""
    assert type(came) is type(wanted)
    if isinstance(wanted, dict):
        assert came.keys() == wanted.keys()
        for key in wanted:
            assert_same(came[key], wanted[key])
    elif isinstance(wanted, (list, tuple)):
        assert len(came) == len(wanted)
        for one, other in zip(came, wanted):
            assert_same(one, other)
    elif isinstance(wanted, np.ndarray):
        assert (came.dtype, came.shape, came.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())
    else:
        assert came == wanted


def replace_dataset(file, name, **arguments):
    """The dataset `name` made anew by h5py with these arguments."""
    del file[name]
    return file.create_dataset(name, **arguments)


def low_level_dataset(file, name, kind, data, layout=h5py.h5d.CONTIGUOUS):
    """A dataset with a type or a layout that h5py's own functions would not choose."""
    if name in file:
        del file[name]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(layout)
    space = h5py.h5s.create_simple(data.shape)
    h5py.h5d.create(file.id, name.encode(), kind, space, plist).write(h5py.h5s.ALL, h5py.h5s.ALL, data)


CONTENT = {"network": dense_network(), "geometry": geometry_network(), "checkpoint": checkpoint()}
