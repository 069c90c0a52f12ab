"""Bit error rates behind a code: against all error patterns of all words, against chips, and against closed forms."""

import numpy as np
import pytest

import bnnsim
from bnnsim.faults import AsymmetricFlips, Protected, exact_residual, ideal_residual
from bnnsim.faults.decoding_errors import decoded_rate
from bnnsim.faults.error_codes import CODES, code_named
from bnnsim.packed.words import joined, pack_bits, unpack_bits

SHORT = ("secded(8,4)", "repetition(3)", "repetition(5)", "repetition(7)")
RATES = [(0.01, 0.02), (0.1, 0.3), (1e-5, 0.0), (0.0, 0.2), (0.3, 0.3), (0.5, 0.2), (1.0, 0.9)]


def network(plan="FC6 FC3", shape=(1, 3, 3)):
    return bnnsim.pack(bnnsim.architectures.build(plan, shape, rng=0))


def enumerated(net, code, p01, p10):
    """Every pattern of errors of every word, decoded; words of 16 bits at most."""
    found, wrong = code_named(code), 0.0
    for layer in net.layers:
        for bits in unpack_bits(joined(layer), layer.fan_in):
            for first in range(0, layer.fan_in, found.k):
                data = bits[first:first + found.k]
                k = len(data)
                stored = unpack_bits(found.encode(pack_bits(data[None]), k), found.stored_bits(k))[0]
                errors = (np.arange(2 ** len(stored))[:, None] >> np.arange(len(stored)) & 1).astype(np.uint8)
                decoded = unpack_bits(found.decode(pack_bits(stored ^ errors), k), k)
                p = np.where(stored, p10, p01)
                wrong += np.prod(np.where(errors, p, 1 - p), axis=1) @ (decoded != data).sum(1)
    return wrong / net.n_bits


@pytest.mark.parametrize("code", SHORT)
@pytest.mark.parametrize("rates", RATES)
def test_all_error_patterns_of_all_words(code, rates):
    """Fan-in 9 and 6: words of SECDED(8,4) that are shorter than others, too."""
    assert decoded_rate(network(), code, *rates) == pytest.approx(enumerated(network(), code, *rates), rel=1e-6)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("plan, shape, rates", [("FC300 FC100 FC10", (1, 28, 28), (0.04, 0.09)),
                                                ("C20 MP2 C30 FC50 FC10", (3, 12, 12), (0.06, 0.06))])
def test_chips_have_these_errors(code, plan, shape, rates):
    """Within 5 sigma of 20 chips, whose spread is their own; half as much again would not pass."""
    net, fault = network(plan, shape), Protected(AsymmetricFlips(*rates), code)
    chips = [sum(int(np.bitwise_count(a.words ^ b.words).sum())
                 for a, b in zip(fault.apply(net, 3, trial).layers, net.layers)) / net.n_bits for trial in range(20)]
    expected, sigma = decoded_rate(net, code, *rates), np.std(chips, ddof=1) / np.sqrt(len(chips))
    assert abs(np.mean(chips) - expected) < 5 * sigma < abs(np.mean(chips) - 1.5 * expected)


@pytest.mark.parametrize("p", [1e-12, 1e-9, 1e-6, 1e-3, 0.01, 0.2, 0.5, 1.0])
def test_equal_rates_are_those_of_closed_forms(p):
    """Whatever the data are: SECDED(8,4) by enumeration, whose words are all whole here; longer ones as p vanishes."""
    net = network("FC64 FC10", (1, 8, 8))
    assert decoded_rate(net, "secded(8,4)", p, p) == pytest.approx(exact_residual("secded(8,4)", p), rel=1e-6)
    assert decoded_rate(net, "repetition(5)", p, p) == pytest.approx(ideal_residual("repetition(5)", p), rel=1e-6)
    if p < 1e-5:                                                 # data bits are a little rarer among two wrong bits
        assert decoded_rate(net, "secded(72,64)", p, p) == pytest.approx(ideal_residual("secded(72,64)", p), rel=0.01)


def test_without_errors_none_are_left_and_bad_input_is_refused():
    assert all(decoded_rate(network(), code, 0, 0) == 0 for code in CODES)
    with pytest.raises(ValueError, match="p10 must be a probability"):
        decoded_rate(network(), "secded(8,4)", 0, 1.5)
    with pytest.raises(ValueError, match="code must be one of"):
        decoded_rate(network(), "hamming", 0, 0.1)
    with pytest.raises(TypeError):
        decoded_rate(3, "secded(8,4)", 0, 0.1)
