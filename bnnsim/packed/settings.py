"""What the settings of a layer may be given as, and what they become: numbers of rows and columns, or of four sides."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bnnsim.checks import check_choice, check_int
from bnnsim.packed.forward import Pair, Sides
from bnnsim.packed.layer import SETTINGS, each_of

PAD_VALUES = {"zero": 0, "plus": 1, "minus": -1}
AXES = {2: "rows, columns", 4: "top, left, bottom, right"}


def check_setting(name: str, value: Any, n: int, least: int, most: int | None = None) -> Any:
    """A setting as plain integers: n of them, or one where n is 0; one integer stands for all n.

    Of the four sides of a padding a pair says how many rows, and how many columns, on either side.
    """
    if n == 0:
        return _number(name, int(value) if isinstance(value, (bool, np.bool_)) else value, least, most)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return (_number(name, value, least, most),) * n
    value = each_of(value, n)
    if isinstance(value, tuple) and (n, len(value)) == (4, 2):
        value *= 2
    if not isinstance(value, tuple) or len(value) != n:
        raise ValueError(f"{name} must be an integer, or {n} of them ({AXES[n]}), got {value!r}")
    if len(set(map(repr, value))) == 1:                         # by what they look like: not all have a hash
        return (_number(name, value[0], least, most),) * n
    return tuple(_number(f"{name}[{i}]", size, least, most) for i, size in enumerate(value))


def _number(name: str, value: Any, least: int, most: int | None) -> int:
    if least == most != check_int(name, value):
        raise ValueError(f"{name} must be {least}, or left out: this kind of layer has none; got {value}")
    return check_int(name, value, least, most)


def once(value: tuple[int, ...]) -> int | tuple[int, ...]:
    """What is the same on all axes, said once."""
    return value[0] if len(set(value)) == 1 else value


def same_padding(sizes: Sequence[int], kernel: Sequence[int], stride: Pair, dilation: Pair = (1, 1)) -> Sides:
    """The padding of a map (H, W) that gives ceil(size / stride) outputs an axis; an odd one is larger behind.

    What Keras and TensorFlow call "same" [V: the documentation of tf.nn], and with stride 1 PyTorch.
    """
    total = [max((-(-size // step) - 1) * step + apart * (taps - 1) + 1 - size, 0)
             for size, taps, step, apart in zip(sizes, kernel, stride, dilation)]
    before = [size // 2 for size in total]
    return before[0], before[1], total[0] - before[0], total[1] - before[1]


def settings_of(name: str, fields: Mapping[str, Any], kernel: Sequence[int], sizes: Sequence[int]) -> dict[str, Any]:
    """Settings of a layer as users give them -> as `PackedLayer` keeps them.

    Parameters
    ----------
    name : str
        Of the layer, in messages.
    fields : dict
        Of `layer.SETTINGS`, any: an integer or a pair each; paddings also all four sides, "same" or "valid"; pad_value
        also "zero", "plus", "minus" or "replicate".
    kernel, sizes : (kh, kw), (H, W)
        Of the layer, and of what it reads.
    """
    least = {"padding": 0, "pad_value": -1, "replicate": 0, "pool_padding": 0}
    fields, found = dict(fields), dict[str, Any]()
    if isinstance(fields.get("pad_value"), str):
        given = check_choice(f"{name} pad_value", fields.pop("pad_value"), [*PAD_VALUES, "replicate"])
        fields |= {"replicate": True} if given == "replicate" else {"pad_value": PAD_VALUES[given]}
    if len(kernel) < 2:                                         # a dense layer reads its input whole
        kernel, sizes = (1, 1), (1, 1)
    same = {key for key in ("padding", "pool_padding") if _named_padding(f"{name} {key}", fields, key) == "same"}
    for key, n in SETTINGS.items():
        if key in fields and key not in same:
            found[key] = check_setting(f"{name} {key}", fields[key], n, least.get(key, 1))
    if "replicate" in found:
        found["replicate"] = bool(found["replicate"])
    stride, dilation = found.get("stride", (1, 1)), found.get("dilation", (1, 1))
    if "padding" in same:
        found["padding"] = same_padding(sizes, kernel, stride, dilation)
    if "pool_padding" in same:
        padding, pool = found.get("padding", (0, 0, 0, 0)), found.get("pool", (1, 1))
        out = [(size + before + after - apart * (taps - 1) - 1) // step + 1 for size, before, after, apart, taps, step
               in zip(sizes, padding[:2], padding[2:], dilation, kernel, stride)]
        found["pool_padding"] = same_padding(out, pool, found.get("pool_stride", pool))
    return found


def _named_padding(name: str, fields: dict[str, Any], key: str) -> str | None:
    """The word that a padding is given as; "valid" becomes 0."""
    word = fields.get(key)
    if not isinstance(word, str):
        return None
    if word not in ("same", "valid"):
        raise ValueError(f"{name} must be an integer, (rows, columns), (top, left, bottom, right), 'same' or 'valid', "
                         f"got {word!r}")
    if word == "valid":
        fields[key] = 0
    return word
