"""A greedy adversary: few flipped weights of one layer that do change the class of an image.

What it finds bounds the fewest flips from above, as a certificate does from below. At each step the lead of the winner
over the strongest rival is followed back through the layers, each sign with the slope 1 / (T + 1), and the unit (of a
convolution: the weight) that promises most for each flip is flipped; then the network is evaluated again, exactly.

N images, U units in V words, P positions, Q after pooling, F weights of a unit, C classes.
"""

import numpy as np

from bnnsim.checks import check_images, check_int
from bnnsim.packed.blocks import check_scores, reads
from bnnsim.packed.forward import affine_scores
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.tolerance import NEVER, tolerance
from bnnsim.packed.words import pack_bits, unpack_signs
from bnnsim.proofs.slopes import through_sign, through_weights
from bnnsim.proofs.windows import pooled

BLOCK_IMAGES = 64
MOST_STEPS = 1000


def breaking_flips(network: PackedNetwork, images: np.ndarray, layer: int,
                   most_steps: int = MOST_STEPS) -> list[np.ndarray | None]:
    """For each image a small set of weights of one layer whose flips change its class.

    Parameters
    ----------
    network : PackedNetwork
    images : uint8 (N, C, H, W)
    layer : int
    most_steps : int
        Units, or weights of a convolution, that are tried one after the other.

    Returns
    -------
    list of int64 (k,), or None where none was found
        Numbers of weights in the order of the layer's +-1 array (U, F) or (K, kh, kw, C).

    References
    ----------
    A progressive bit search as in Rakin et al., ICCV 2019 [M], for binary weights; slopes and the search by units are
    ours.
    """
    images = check_images(images, check_scores(network, "breaking_flips").input_shape, network.reads_bits)
    n_layers = len(network.layers)
    layer = check_int("layer", layer, -n_layers, n_layers - 1) % n_layers
    most_steps = check_int("most_steps", most_steps, 1)
    attack = _Rows if layer == n_layers - 1 else _Taps if network.stages[layer].shares_weights else _Units
    found: list[np.ndarray | None] = []
    for first in range(0, len(images), BLOCK_IMAGES):
        found += attack(network, images[first:first + BLOCK_IMAGES], layer).run(most_steps)
    return found


# ---------------------------------------------------------------- attacks

class _Attack:
    """A block of images under attack; subclasses flip something for some of the images, and say what it was."""

    def __init__(self, network: PackedNetwork, images: np.ndarray, i: int) -> None:
        self.network, self.i, self.stage, self.layer = network, i, network.stages[i], network.layers[i]
        self.behind = network.stages[i + 1:]
        self.x = reads(network, images)[i]
        self.h = self.stage.sums(self.x)
        self.weights = self.layer.signs()
        self.clean = self.network.predict(images)
        self.flips: list[list[int]] = [[] for _ in images]
        self.failed = np.zeros(len(images), bool)

    def outputs(self, alive: np.ndarray) -> np.ndarray:
        """Words that the layer gives for these images with the flips so far."""
        raise NotImplementedError

    def step(self, alive: np.ndarray, rival: np.ndarray, h: list[np.ndarray]) -> np.ndarray:
        """Flip something more for each of these images; bool (N,), False where there is nothing left."""
        raise NotImplementedError

    def later(self, alive: np.ndarray) -> list[np.ndarray]:
        """Pre-activations (N, P, U) of the layers behind, for these images with the flips so far."""
        xs = reads(self.network, self.outputs(alive), self.i + 1)
        return [stage.sums(x) for stage, x in zip(self.behind, xs)]

    def run(self, most_steps: int) -> list[np.ndarray | None]:
        """Sets of flips, None where the class still stands."""
        alive = np.arange(len(self.clean))
        for _ in range(most_steps):
            if len(alive) == 0:
                break
            h = self.later(alive)
            z = affine_scores(h[-1][:, 0], *self.network.layers[-1].output_affine)
            standing = z.argmax(axis=1) == self.clean[alive]
            alive, z, h = alive[standing], z[standing], [part[standing] for part in h]
            if len(alive) == 0:
                break
            z[np.arange(len(alive)), self.clean[alive]] = -np.inf
            going_on = self.step(alive, z.argmax(axis=1), h)
            self.failed[alive[~going_on]] = True
            alive = alive[going_on]
        self.failed[alive] = True
        return [None if failed else np.array(one, np.int64) for one, failed in zip(self.flips, self.failed)]

    def slopes(self, alive: np.ndarray, rival: np.ndarray, h: list[np.ndarray]) -> np.ndarray:
        """d lead / d output of layer i (N, Q, U) float32, for h of the layers behind it."""
        output, n = self.network.layers[-1], len(alive)
        signs = output.signs().astype(np.float32) * output.output_affine[1][:, None]
        slope = (signs[self.clean[alive]] - signs[rival]).astype(np.float32)
        for stage, sums in reversed(list(zip(self.behind[:-1], h))):
            slope = through_weights(stage, through_sign(stage, sums, slope.reshape(n, -1, stage.layer.units)))
        return slope.reshape(n, -1, self.layer.units)


class _Units(_Attack):
    """In a dense hidden layer: whole units, each for as many flips as carry it across its threshold."""

    def __init__(self, network: PackedNetwork, images: np.ndarray, i: int) -> None:
        super().__init__(network, images, i)
        self.values = self.stage.patches(self.x)[:, 0]
        self.order = np.argsort(-np.abs(self.values), axis=1, kind="stable").astype(np.int32)
        t = tolerance(self.stage, self.x, self.h)[:, 0]
        self.cost = np.where(t == NEVER, np.inf, t + 1.0)
        self.bits = self.stage.bits(self.x)

    def outputs(self, alive: np.ndarray) -> np.ndarray:
        return self.bits[alive]

    def step(self, alive: np.ndarray, rival: np.ndarray, h: list[np.ndarray]) -> np.ndarray:
        slope = self.slopes(alive, rival, h)[:, 0]
        y = unpack_signs(self.bits[alive], self.layer.units)
        best = (y * slope / self.cost[alive]).argmax(axis=1)
        going_on = np.isfinite(self.cost[alive, best])
        for n, u in zip(alive[going_on], best[going_on]):
            above = self.h[n, 0, u] >= self.stage.theta[u]
            summands = (self.weights[u] * self.values[n])[self.order[n]]
            which = self.order[n][(summands > 0) if above else (summands < 0)][:int(self.cost[n, u])]
            self.flips[n] += (u * self.layer.n_in + which).tolist()
        at, units = alive[going_on], best[going_on]
        self.bits[at, units >> 6] ^= np.uint64(1) << (units & 63).astype(np.uint64)
        self.cost[at, units] = np.inf
        return going_on


class _Taps(_Attack):
    """In a convolution: one weight after the other."""

    def __init__(self, network: PackedNetwork, images: np.ndarray, i: int) -> None:
        super().__init__(network, images, i)
        self.patches = self.stage.patches(self.x)
        self.weights = self.stage.signs_by_summand.T              # over all channels, 0 where another group reads
        self.tried = np.repeat(self.weights[None] == 0, len(images), axis=0)

    def outputs(self, alive: np.ndarray) -> np.ndarray:
        above = (self.h[alive] >= self.stage.theta).reshape(len(alive), *self.stage.map_shape, -1)
        return pack_bits(pooled(self.stage, above, np.logical_or) ^ self.stage.inverted)

    def step(self, alive: np.ndarray, rival: np.ndarray, h: list[np.ndarray]) -> np.ndarray:
        dh = through_sign(self.stage, self.h[alive], self.slopes(alive, rival, h))
        gain = np.matmul(dh.transpose(0, 2, 1), self.patches[alive].astype(np.float32)) * self.weights
        gain = np.where(self.tried[alive], -np.inf, gain).reshape(len(alive), -1)
        best = gain.argmax(axis=1)
        going_on = gain[np.arange(len(alive)), best] > -np.inf
        for n, number in zip(alive[going_on], best[going_on].tolist()):
            u, f = divmod(number, self.weights.shape[1])
            self.h[n, :, u] -= 2 * self.weights[u, f] * self.patches[n, :, f].astype(np.int32)
            self.tried[n, u, f] = True
            tap, channel = divmod(f, self.stage.patch_shape[2])
            n_in = self.layer.n_in
            self.flips[n].append(u * self.layer.fan_in + tap * n_in + channel % n_in)
        return going_on


class _Rows(_Attack):
    """In the last layer: weights of the winner's and the strongest rival's row, the largest gains first."""

    def __init__(self, network: PackedNetwork, images: np.ndarray, i: int) -> None:
        super().__init__(network, images, i)
        self.values = self.stage.patches(self.x)[:, 0].astype(np.int32)
        self.tried = np.zeros((len(images), *self.weights.shape), bool)

    def later(self, alive: np.ndarray) -> list[np.ndarray]:
        return [self.h[alive]]

    def step(self, alive: np.ndarray, rival: np.ndarray, h: list[np.ndarray]) -> np.ndarray:
        rows, gain = np.arange(len(alive)), np.zeros((len(alive), *self.weights.shape))
        scale = self.layer.output_affine[1]
        for classes, sign in ((self.clean[alive], 1), (rival, -1)):
            gain[rows, classes] = sign * scale[classes, None] * self.weights[classes] * self.values[alive]
        gain = np.where(self.tried[alive], -np.inf, gain).reshape(len(alive), -1)
        best = gain.argmax(axis=1)
        going_on = gain[rows, best] > 0
        at, (u, f) = alive[going_on], np.divmod(best[going_on], self.weights.shape[1])
        self.h[at, 0, u] -= 2 * self.weights[u, f] * self.values[at, f]
        self.tried[at, u, f] = True
        for n, number in zip(at, best[going_on].tolist()):
            self.flips[n].append(number)
        return going_on
