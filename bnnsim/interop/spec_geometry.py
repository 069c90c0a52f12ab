"""Words of a spec as geometry: what "C64k5s2p2" or "MP3s2same" says of a map, for arrays that are matched with them."""

from typing import Any

import numpy as np

from bnnsim.interop.steps import Pool, in_words
from bnnsim.packed.forward import NO_PADDING, Pair
from bnnsim.packed.settings import PAD_VALUES, settings_of
from bnnsim.training.spec_words import Token

CONV = ("stride", "padding", "pad_value", "dilation", "groups")


def kernel_of(word: Token) -> Pair:
    """Of a C; 3 x 3 where it says none."""
    kernel = word.get("kernel", 3)
    return kernel if isinstance(kernel, tuple) else (kernel, kernel)


def conv_settings(word: Token, sizes: Pair) -> dict[str, Any]:
    """What a `Weigh` has besides its weights, on a map (H, W); padding 1 where the word says none."""
    given = {"padding": 1, **{key: word[key] for key in CONV if key in word}}
    pad_value = given.pop("pad_value", "zero")
    found = settings_of(said(word), given, kernel_of(word), sizes)
    found["pads"] = found.pop("padding")
    return {**found, "replicate": True} if pad_value == "replicate" else {**found, "pad_value": PAD_VALUES[pad_value]}


def pool_of(word: Token, sizes: Pair) -> Pool:
    """The pooling of an MP, on a map (H, W)."""
    given = {"pool": word["pool"], "pool_stride": word.get("stride", word["pool"]),
             "pool_padding": word.get("padding", 0)}
    found = settings_of(said(word), given, (1, 1), sizes)
    return Pool(said(word), found["pool"], found["pool_stride"], found.get("pool_padding", NO_PADDING))


def by_channel(kernel: np.ndarray) -> np.ndarray:
    """Keras's depthwise kernels (kh, kw, C, M), M outputs a channel, as weights (C M, kh, kw, 1) of C groups."""
    return kernel.transpose(2, 3, 0, 1).reshape(-1, *kernel.shape[:2], 1)


def said(word: Token) -> str:
    """What a word is called in messages."""
    if "pool" in word:
        return f"MP{word['pool']}" if isinstance(word["pool"], int) else f"MP{in_words(word['pool']).replace(' ', '')}"
    return f"FC{word['units']}" if "units" in word else f"C{word['channels']}"
