"""The papers' networks, and a builder from a short list such as "C64 MP2 C64 MP2 FC2048 FC10".

Kernel 3 x 3, stride 1, zero padding 1 and no bias unless said otherwise; a conv block is conv, max-pool, batch norm,
sign [V/C: Buschjaeger et al. 2020, section V and the authors' code].
"""

import math
import re

from bnnsim.checks import check_choice, check_int
from bnnsim.seeding import generator, root_seed
from bnnsim.training.layers import (BatchNorm, BatchNormSign, Conv2d, Dense, Flatten, InputConv2d, InputDense, Logits,
                                    MaxPool2d)
from bnnsim.training.model import Sequential

_TOKEN = re.compile(r"FC(?P<units>\d+)|MP(?P<pool>\d+)|C(?P<channels>\d+)(?:k(?P<kernel>\d+(?:x\d+)?))?"
                    r"(?:s(?P<stride>\d+))?(?:p(?P<padding>\d+))?")


def _parse(spec):
    tokens = []
    for word in spec.split():
        match = _TOKEN.fullmatch(word)
        if match is None:
            raise ValueError(f"spec must be a list of C<channels>, MP<size> and FC<units>, such as 'C64 MP2 FC2048 "
                             f"FC10' (a kernel, stride or padding is C64k5s2p2), got {word!r}")
        tokens.append({name: value for name, value in match.groupdict().items() if value is not None})
    if not tokens or "units" not in tokens[-1]:
        raise ValueError(f"spec must end in FC<classes>, got {spec!r}")
    if "pool" in tokens[0]:
        raise ValueError("spec must begin with C or FC: pooling follows a convolution")
    return tokens


def _conv(token, shape, first, offset, generator):
    kernel = tuple(int(k) for k in token.get("kernel", "3").split("x"))
    kernel = kernel if len(kernel) == 2 else kernel * 2
    settings = dict(kernel=kernel, stride=int(token.get("stride", 1)), padding=int(token.get("padding", 1)),
                    generator=generator)
    if first:
        return InputConv2d(shape[0], int(token["channels"]), offset=offset, **settings)
    return Conv2d(shape[2], int(token["channels"]), **settings)


def build(spec, input_shape, input_offset=0, output_norm=True, rng=None, ste="clipped"):
    """A network from a short list.

    Parameters
    ----------
    spec : str
        Words C<channels>, MP<size> (behind a C) and FC<units>; the last FC gives the scores. C64k5s2p2 is a 5 x 5
        kernel with stride 2 and padding 2.
    input_shape : (C, H, W)
    input_offset : int
        Subtracted from the uint8 pixels, 0..255.
    output_norm : bool
        Batch norm behind the last layer; False leaves integer logits.
    rng : None, int, SeedSequence or Generator
    ste : "clipped", "identity", "approx", "swish", or an object of `bnnsim.estimators`
        Straight-through estimator of the signs.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> build("C8 MP2 FC16 FC10", (1, 28, 28), rng=0).shapes[-1]
    (10,)
    """
    tokens, root = _parse(spec), root_seed(rng)
    shape = tuple(check_int("input_shape", size, 1) for size in input_shape)
    if len(shape) != 3:
        raise ValueError(f"input_shape must be (channels, height, width), got {shape}")
    layers = []

    def add(layer):
        nonlocal shape
        shape = layer.output_shape(shape)
        layers.append(layer)

    for i, token in enumerate(tokens):
        stream = generator(root, "initial weights", i)
        if "pool" in token:
            if "channels" not in tokens[i - 1]:
                raise ValueError(f"MP{token['pool']} must follow a C in {spec!r}")
            continue                                            # added with its convolution, before the batch norm
        if "channels" in token:
            if i and len(shape) != 3:
                raise ValueError(f"C{token['channels']} cannot follow an FC in {spec!r}")
            add(_conv(token, shape, i == 0, input_offset, stream))
            if i + 1 < len(tokens) and "pool" in tokens[i + 1]:
                add(MaxPool2d(int(tokens[i + 1]["pool"])))
        elif i == 0:
            add(InputDense(shape, int(token["units"]), input_offset, stream))
        else:
            if len(shape) == 3:
                add(Flatten(shape[2]))
            add(Dense(math.prod(shape), int(token["units"]), stream))
        if i + 1 < len(tokens):
            add(BatchNormSign(shape[-1], ste=ste))
    add(BatchNorm(shape[0]) if output_norm else Logits(shape[0]))
    return Sequential(layers, input_shape)


def fashion_fcnn(rng=None, output_norm=True, ste="clipped"):
    """FC2048 FC2048 FC10 for Fashion-MNIST, 5.8 M binary weights [V: Buschjaeger et al. 2020, section V]."""
    return build("FC2048 FC2048 FC10", (1, 28, 28), 0, output_norm, rng, ste)


def fashion_cnn(rng=None, output_norm=True, ste="clipped"):
    """C64 MP2 C64 MP2 FC2048 FC2048 FC10 for Fashion-MNIST [V: Buschjaeger et al. 2020, section V]."""
    return build("C64 MP2 C64 MP2 FC2048 FC2048 FC10", (1, 28, 28), 0, output_norm, rng, ste)


def cifar10_cnn(rng=None, output_norm=True, ste="clipped"):
    """C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10 for CIFAR-10 [V: Buschjaeger et al. 2020].

    Pixels enter as u - 128, half a level off the paper's [-1, 1].
    """
    spec = "C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10"
    return build(spec, (3, 32, 32), 128, output_norm, rng, ste)


def mnist_mlp(rng=None, output_norm=True, ste="clipped"):
    """FC1024 FC1024 FC10 for MNIST: two hidden layers of 1024 [M: recalled of Hirtzlin et al. 2019, not verified]."""
    return build("FC1024 FC1024 FC10", (1, 28, 28), 0, output_norm, rng, ste)


ARCHITECTURES = {"fashion_fcnn": fashion_fcnn, "fashion_cnn": fashion_cnn, "cifar10_cnn": cifar10_cnn,
                 "mnist_mlp": mnist_mlp}


def make_model(name, train, output_norm, seed, ste="clipped"):
    """A paper's network by name, or one built from a list for these images."""
    if name in ARCHITECTURES:
        return ARCHITECTURES[name](rng=seed, output_norm=output_norm, ste=ste)
    if " " not in name and not name.startswith(("C", "FC")):
        check_choice("network", name, ARCHITECTURES)
    offset = 128 if train.images.shape[1] == 3 else 0
    return build(name, train.images.shape[1:], offset, output_norm, rng=seed, ste=ste)
