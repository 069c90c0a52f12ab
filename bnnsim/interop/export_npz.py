"""A network as .npz: arrays that NumPy alone reads, and what they make beside them; `load_network` reads it back.

layerI.weight, int8 +-1, (U, F) or (K, kh, kw, C / groups); layerI.threshold int32 and layerI.inverted bool, y = (h >=
threshold) xor inverted; of a last layer that gives scores mean, scale, shift, float64, score = (h - mean) * scale +
shift. "bnnsim" is JSON in bytes: what `bnnsim.packed.schema` has beside arrays. Features of a row stand in H, W, C
order.
"""

import io
from typing import Any

import numpy as np

import bnnsim.files.file_format as file_format
import bnnsim.interop.arrays_files as arrays_files
from bnnsim.checks import FilePath, check_array
from bnnsim.files.json_text import parse_json
from bnnsim.interop.bounded import Zip
from bnnsim.packed.layer import HIDDEN, OUTPUT, SETTINGS, PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.schema import check_keys
from bnnsim.packed.signs import check_signs
from bnnsim.packed.words import pack_signs

FORMAT, FORMAT_VERSION, HEAD = "bnnsim-npz", 1, "bnnsim"


def npz_content(network: PackedNetwork) -> bytes:
    """The bytes of the file."""
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "input_shape": list(network.input_shape),
            "input_offset": int(network.input_offset), "metadata": network.metadata,
            "layers": [{name: _plain(getattr(layer, name)) for name in ("kind", "n_in", *SETTINGS)}
                       for layer in network.layers]}
    arrays = {HEAD: np.frombuffer(file_format.to_json("the network", head).encode(), np.uint8)}
    for i, layer in enumerate(network.layers):
        arrays[f"layer{i}.weight"] = layer.signs().reshape(*layer.words.shape[:-1], layer.n_in)
        arrays |= {f"layer{i}.{name}": getattr(layer, name) for name in layer.ending}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def read_exported(path: FilePath) -> PackedNetwork | None:
    """The network of such a file; None where another program wrote it."""
    with open(path, "rb") as file:
        if f"{HEAD}.npy" not in Zip(file).members:
            return None
    arrays = arrays_files.read_npz(path)
    text = arrays.pop(HEAD)
    head = parse_json(check_array(HEAD, text, np.uint8, text.shape).tobytes().decode("ascii", "replace"))
    check_keys(HEAD, head, ("format", "format_version", "input_shape", "input_offset", "metadata", "layers"))
    if (head["format"], head["format_version"]) != (FORMAT, FORMAT_VERSION) or not isinstance(head["layers"], list):
        raise ValueError(f"wanted the format {FORMAT}, version {FORMAT_VERSION}, got {str(head['format'])[:50]!r}, "
                         f"{str(head['format_version'])[:20]}")
    endings = [HIDDEN if f"layer{i}.threshold" in arrays else OUTPUT for i in range(len(head["layers"]))]
    check_keys("the arrays of the file", arrays, [f"layer{i}.{name}" for i, ending in enumerate(endings)
                                                  for name in ("weight", *ending)])
    layers = [_layer(i, settings, arrays, ending) for i, (settings, ending) in enumerate(zip(head["layers"], endings))]
    return PackedNetwork(layers, head["input_shape"], head["input_offset"], head["metadata"])


def _layer(i: int, settings: dict[str, Any], arrays: dict[str, np.ndarray], ending: dict[str, np.dtype]) -> PackedLayer:
    check_keys(f"layers[{i}]", settings, ("kind", "n_in"), SETTINGS)
    wrong = [name for name, value in settings.items() if isinstance(value, list) and set(map(type, value)) - {int}]
    if wrong:
        raise ValueError(f"layers[{i}] {wrong[0]} must be integers, got {str(settings[wrong[0]])[:60]}")
    weight = arrays[f"layer{i}.weight"]
    if weight.ndim not in (2, 4) or weight.size == 0 or weight.shape[-1] != settings["n_in"]:
        raise ValueError(f"layer{i}.weight must be (U, F) or (K, kh, kw, C) with a last axis of n_in, got "
                         f"{weight.shape} and {settings['n_in']}")
    signs = check_signs(f"layer{i}.weight", weight)
    words = pack_signs(signs.reshape(-1, signs.shape[-1])).reshape(*signs.shape[:-1], -1)
    vectors: dict[str, Any] = {name: check_array(f"layer{i}.{name}", arrays[f"layer{i}.{name}"], dtype, (len(weight),))
                               for name, dtype in ending.items()}
    return PackedLayer(words=words, **settings, **vectors)
