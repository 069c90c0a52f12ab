"""Memory devices programmed and sensed in NumPy: for states that have no numbers which kernels could read.

The draws are those of `bnnsim.kernels.memory.sensing`, bit for bit, and so are the rules; a device's ln R is the
`quantile` of its state at the normal z of its draw. So a chip of such a state is paired with those of all others, and
its errors nest along a sweep as theirs do.

N rows of W = ceil(F / 64) words, worked on a block of rows at a time: B = 64 W bits a row.
"""

import numpy as np
from scipy.special import ndtri

import bnnsim.kernels.memory.sensing as sensing
from bnnsim.devices.states import State
from bnnsim.kernels.words.bit_fields import ONE
from bnnsim.kernels.words.random_bits import HALF, LOW
from bnnsim.packed.words import pack_bits, unpack_bits

BLOCK_BITS = 2**18                  # some twenty arrays of so many numbers are held at once


def single_faults(words: np.ndarray, n_features: int, lrs: State, hrs: State, ln_reference: float,
                  failures: sensing.FailureThresholds, keys: sensing.Keys, masks: np.ndarray) -> None:
    """`kernels.memory.sensing.single_faults` of any states -> masks (N, W)."""
    for rows in _blocks(words):
        one = _bits(words[rows])
        devices, dead = _device_draws(rows, words, keys, failures)
        value = _ln_resistance(devices[..., 0], _in_lrs(one, dead[..., 0], failures), lrs, hrs)
        reads_one = (value < ln_reference) | ((value == ln_reference) & (devices[..., 0] & ONE == 1))
        masks[rows] = pack_bits((reads_one != one)[:, :n_features])


def pair_faults(words: np.ndarray, n_features: int, lrs: State, hrs: State, amplifier: sensing.Amplifier,
                failures: sensing.FailureThresholds, keys: sensing.Keys, masks: np.ndarray) -> None:
    """`kernels.memory.sensing.pair_faults` of any states -> masks (N, W)."""
    for rows in _blocks(words):
        one, devices, first, second = _pairs(rows, words, lrs, hrs, amplifier, failures, keys)
        reads_one = (first < second) | ((first == second) & ((devices[..., 0] ^ devices[..., 1]) & ONE == 1))
        masks[rows] = pack_bits((reads_one != one)[:, :n_features])


def pair_margins(words: np.ndarray, n_features: int, lrs: State, hrs: State, amplifier: sensing.Amplifier,
                 failures: sensing.FailureThresholds, keys: sensing.Keys) -> np.ndarray:
    """By how much each bit is read right, float64 (N, F): the difference in ln R, below 0 where it is read wrong."""
    out = np.empty((len(words), n_features))
    for rows in _blocks(words):
        one, _, first, second = _pairs(rows, words, lrs, hrs, amplifier, failures, keys)
        out[rows] = np.where(one, second - first, first - second)[:, :n_features]
    return out


def _pairs(rows: slice, words: np.ndarray, lrs: State, hrs: State, amplifier: sensing.Amplifier,
           failures: sensing.FailureThresholds, keys: sensing.Keys) -> tuple[np.ndarray, ...]:
    """(stored bits, draws, ln R of the first device with what the amplifier adds, ln R of the second), (rows, B)."""
    one = _bits(words[rows])
    devices, dead = _device_draws(rows, words, keys, failures)
    first, second = (_ln_resistance(devices[..., i], _in_lrs(wanted, dead[..., i], failures), lrs, hrs)
                     for i, wanted in ((0, one), (1, ~one)))
    return one, devices, first + _disturbance(rows, words, amplifier, keys), second


def _blocks(words: np.ndarray) -> list[slice]:
    step = max(1, BLOCK_BITS // (64 * words.shape[1]))
    return [slice(first, min(first + step, len(words))) for first in range(0, len(words), step)]


def _bits(words: np.ndarray) -> np.ndarray:
    """Stored bits, bool (rows, B)."""
    return unpack_bits(words, 64 * words.shape[1]).astype(bool)


def _outputs(key: tuple, rows: slice, per_row: int) -> np.ndarray:
    """Outputs of a stream, uint64 (rows, per_row): row n has those from n * per_row on, a multiple of 4."""
    counter = (rows.start * per_row // 4 - 1) % 2**256          # NumPy counts up before it draws
    stream = np.random.Philox(key=np.array(key, np.uint64), counter=counter)
    return stream.random_raw((rows.stop - rows.start) * per_row).reshape(-1, per_row)


def _device_draws(rows: slice, words: np.ndarray, keys: sensing.Keys,
                  failures: sensing.FailureThresholds) -> tuple[np.ndarray, np.ndarray]:
    """Draws of both devices of each bit and of their death, (rows, B, 2) each."""
    n_bits = 64 * words.shape[1]
    devices = _outputs(keys.device, rows, 2 * n_bits).reshape(-1, n_bits, 2)
    dead = _outputs(keys.failure, rows, 2 * n_bits).reshape(-1, n_bits, 2) if failures.failed else \
        np.full_like(devices, 2**64 - 1)
    return devices, dead


def _disturbance(rows: slice, words: np.ndarray, amplifier: sensing.Amplifier, keys: sensing.Keys) -> np.ndarray:
    """What amplifiers and noise add to the first devices, (rows, B) or a number."""
    total, n_bits = np.asarray(amplifier.offset), 64 * words.shape[1]
    if amplifier.offset_sigma > 0:
        n = np.arange(rows.start, rows.stop)
        at = n // amplifier.taps // amplifier.units * amplifier.taps + n % amplifier.taps
        drawn = _normal(_outputs(keys.amplifier, slice(int(at.min()), int(at.max()) + 1), n_bits))
        total = total + amplifier.offset_sigma * drawn[at - at.min()]
    if amplifier.read_sigma > 0:
        total = total + amplifier.read_sigma * _normal(_outputs(keys.read, rows, n_bits))
    return total


def _in_lrs(wanted: np.ndarray, draw: np.ndarray, failures: sensing.FailureThresholds) -> np.ndarray:
    """Which devices are in LRS, once the dead ones stay where they are."""
    return np.where(draw >> HALF < failures.failed, draw & LOW < failures.lrs, wanted)


def _normal(k: np.ndarray) -> np.ndarray:
    """Standard normal at probability (k + 1/2) / 2^64, taken from the nearer end."""
    upper = k >> sensing.TOP == 1
    z = ndtri((np.where(upper, ~k, k).astype(np.float64) + 0.5) * sensing.UNIT)
    return np.where(upper, -z, z)


def _ln_resistance(k: np.ndarray, is_lrs: np.ndarray, lrs: State, hrs: State) -> np.ndarray:
    """ln R of devices with draws k."""
    z, value = _normal(k), np.empty(k.shape)
    for state, chosen in ((lrs, is_lrs), (hrs, ~is_lrs)):
        value[chosen] = state.quantile(z[chosen])
    return value
