"""State dicts as PyTorch saves them (zip files since 1.6, and the legacy format), without PyTorch and without pickle.

`pickle_data` reads the pickle; here is what its few names mean: storages, which lie beside it as plain bytes, and
tensors, which are views of them. Checkpoints with a state dict inside are looked through for it.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnsim.checks import FilePath
from bnnsim.interop.arrays_files import Arrays
from bnnsim.interop.bounded import MAX_MEMBERS, Zip, bfloat16, read_bytes
from bnnsim.interop.pickle_data import MAX_DEPTH, MAX_SIZE, Dict, Named, unpickled

STORAGES = {"Double": "f8", "Float": "f4", "Half": "f2", "BFloat16": "bf16", "Long": "i8", "Int": "i4", "Short": "i2",
            "Char": "i1", "Byte": "u1", "Bool": "b1", "Untyped": "u1"}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STATE_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")


@dataclass(frozen=True, eq=False)
class Storage:
    """Values that tensors are views of: n of a type, under a key."""

    key: str
    code: str
    n: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_zip(path: FilePath) -> Arrays:
    """Arrays of a state dict in a zip file."""
    with open(path, "rb") as file:
        members = Zip(file)
        pickles = [name for name in members.members if name.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError(f"the zip file has {len(pickles)} data.pkl, wanted one")
        folder = pickles[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in members.members and members.read(order, 20).strip() != b"little":
            raise ValueError("the file was written on a big-endian machine")
        value, _ = unpickled(members.read(pickles[0], MAX_SIZE), NAMES, _storage)
        tensors = _tensors(value)
        sizes = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        values = {key: _values(key, members.read(f"{folder}data/{key}", _n_bytes(storage)), storage)
                  for key, storage in sizes.items()}
        return {name: _view(name, tensor, values[tensor.storage.key]) for name, tensor in tensors.items()}


def read_legacy(path: FilePath) -> Arrays:
    """Arrays of a state dict in the format before PyTorch 1.6: pickles one behind the other, then the storages."""
    data = read_bytes(path)
    at, found = 0, []
    for _ in range(3):
        value, at = unpickled(data, {}, _storage, at)
        found.append(value)
    if found[:2] != [MAGIC, PROTOCOL] or not isinstance(found[2], dict) or found[2].get("little_endian") is not True:
        raise ValueError("a pickle, but none of PyTorch's: only state dicts of tensors are read")
    value, at = unpickled(data, NAMES, _storage, at)
    keys, at = unpickled(data, {}, _storage, at)
    tensors = _tensors(value)
    storages = {tensor.storage.key: tensor.storage for tensor in _all_tensors(value)}
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise ValueError("the storages that lie in the file are not those that its tensors are views of")
    values, view = {}, memoryview(data)
    for key in keys:
        n, n_bytes = int.from_bytes(view[at:at + 8], "little"), _n_bytes(storages[key])
        if n != storages[key].n or n_bytes > len(data) - at - 8:
            raise ValueError(f"storage {key[:40]} has {n} values, in a file that ends before, wanted {storages[key].n}")
        values[key] = _values(key, view[at + 8:at + 8 + n_bytes], storages[key])
        at += 8 + n_bytes
    return {name: _view(name, tensor, values[tensor.storage.key]) for name, tensor in tensors.items()}


# ---------------------------------------------------------------- what names mean

def _storage(given: Any) -> Storage:
    """A persistent id: ("storage", type, key, device, number of values), in the legacy format with a view behind."""
    if not isinstance(given, tuple) or len(given) not in (5, 6) or given[0] != "storage":
        kind = given[0] if isinstance(given, tuple) and given else None
        more = ": a whole pickled module; save model.state_dict()" if kind == "module" else ""
        raise ValueError("a persistent id must be of a storage, got "
                         f"{kind[:60] if isinstance(kind, str) else 'another'}{more}")
    _, kind, key, _, n = given[:5]
    if len(given) == 6 and given[5] is not None:
        raise ValueError("a storage that is a view of another is not read")
    if not isinstance(kind, Named) or kind.name not in _STORAGE_NAMES or not isinstance(key, str) or \
            type(n) is not int or not 0 <= n < 2**40:
        raise ValueError("a storage must have a known type, a key and a number of values")
    return Storage(key, _STORAGE_NAMES[kind.name], n)


def _rebuild_tensor(arguments: tuple) -> Tensor:
    """A view of a storage, which must lie inside of it; what follows the strides is of gradients."""
    storage, offset, shape, strides = (*arguments[:4], *[None] * 4)[:4]
    sizes = [shape, strides]
    if not isinstance(storage, Storage) or type(offset) is not int or not 0 <= offset < 2**40 or any(
            not isinstance(each, tuple) or len(each) > 8 or any(type(n) is not int or not 0 <= n < 2**40 for n in each)
            for each in sizes) or len(shape) != len(strides):
        raise ValueError("a tensor must have a storage, an offset, and as many strides as sizes")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides)) if math.prod(shape) else 0
    if last >= max(storage.n, 1) or math.prod(shape) > max(storage.n, 1):
        raise ValueError(f"a tensor of shape {shape} with strides {strides} is larger than its storage of {storage.n}")
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(arguments: tuple) -> Tensor:
    if not arguments or not isinstance(arguments[0], Tensor):
        raise ValueError("a parameter must be of a tensor")
    return arguments[0]


def _ordered_dict(arguments: tuple) -> Dict:
    if not arguments:
        return Dict()
    items = arguments[0]
    if not isinstance(items, list) or not all(isinstance(item, (list, tuple)) and len(item) == 2 and
                                              isinstance(item[0], str) for item in items):
        raise ValueError("an OrderedDict must have pairs of a name and a value")
    found = Dict((key, value) for key, value in items)
    items.clear()                                               # or one long list would be copied by every call
    return found


def _nothing(arguments: tuple) -> None:
    """What a checkpoint may have beside its state dict: it is read past."""


_STORAGE_NAMES = {f"torch.{name}Storage": code for name, code in STORAGES.items()}
_STORAGE_NAMES["torch.storage.UntypedStorage"] = _STORAGE_NAMES["torch.UntypedStorage"]
NAMES = {name: Named(name) for name in _STORAGE_NAMES} | {
    "collections.OrderedDict": Named("collections.OrderedDict", _ordered_dict),
    "torch._utils._rebuild_tensor": Named("_rebuild_tensor", _rebuild_tensor),         # before PyTorch 0.4
    "torch._utils._rebuild_tensor_v2": Named("_rebuild_tensor_v2", _rebuild_tensor),
    "torch._utils._rebuild_parameter": Named("_rebuild_parameter", _rebuild_parameter),
    "torch.Size": Named("torch.Size", _nothing), "torch.device": Named("torch.device", _nothing)}
NAMES |= {f"numpy.{module}.multiarray.scalar": Named("numpy scalar", _nothing) for module in ("core", "_core")}
NAMES |= {"numpy.dtype": Named("numpy.dtype", lambda _: np.dtype("f8")),
          "_codecs.encode": Named("_codecs.encode", _nothing)}


# ---------------------------------------------------------------- tensors

def _all_tensors(value: Any) -> list[Tensor]:
    """All tensors in dicts, lists and tuples; each value is looked through once."""
    found: list[Tensor] = []
    todo, seen = [value], set()
    while todo:
        item = todo.pop()
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (dict, list, tuple)) and id(item) not in seen:
            seen.add(id(item))
            todo += item.values() if isinstance(item, dict) else item
    return found


def _tensors(value: Any) -> dict[str, Tensor]:
    """Names and tensors of a state dict, or of the one inside of a checkpoint."""
    for _ in range(MAX_DEPTH):
        if not isinstance(value, dict):
            break
        found = {str(name): tensor for name, tensor in value.items() if isinstance(tensor, Tensor)}
        if found:
            if len(found) > MAX_MEMBERS:
                raise ValueError(f"a state dict of more than {MAX_MEMBERS:,} tensors")
            return found
        value = next((value[key] for key in STATE_KEYS if isinstance(value.get(key), dict)), None)
    raise ValueError("there is no state dict in it: a dict of names and tensors, as model.state_dict() gives")


def _n_bytes(storage: Storage) -> int:
    return storage.n * (2 if storage.code == "bf16" else np.dtype(storage.code).itemsize)


def _values(key: str, data: bytes | memoryview, storage: Storage) -> np.ndarray:
    if len(data) != _n_bytes(storage):
        raise ValueError(f"storage {key[:40]} has {len(data):,} bytes, wanted {_n_bytes(storage):,}")
    if storage.code == "bf16":
        return bfloat16(key, data, (storage.n,))
    return np.frombuffer(data, np.dtype(storage.code).newbyteorder("<"))


def _view(name: str, tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """The tensor's values, not copied; `_rebuild_tensor` has checked that it lies inside of its storage."""
    if math.prod(tensor.shape) == 0:
        return np.zeros(tensor.shape, values.dtype)
    if len(values) != tensor.storage.n:
        raise ValueError(f"{name[:60]} is a view of {tensor.storage.n} values, where another tensor's are "
                         f"{len(values)}")
    strides = tuple(step * values.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(values[tensor.offset:], tensor.shape, strides, writeable=False)
