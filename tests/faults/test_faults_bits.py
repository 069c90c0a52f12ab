"""Asymmetric flips, stuck cells, faults drawn at each read, and faults one after the other."""

import math

import numpy as np
import pytest
from fault_parts import (all_words, constant, conv_network, count, flips, network_of, padding_is_clear, same,
                         within_5_sigma)
from hypothesis import given
from hypothesis import strategies as st

import bnnsim.devices as devices
import bnnsim.faults.bit_flips as bit_flips
from bnnsim import threads
from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.faults import AsymmetricFlips, BitFlips, Compose, EachRead, Protected, StuckAt
from bnnsim.faults.protocol import is_clean_at_zero

BIG = network_of("FC512 FC512 FC10", (1, 28, 28))
SMALL = network_of("FC40 FC40 FC10", (1, 6, 6))
CONV = conv_network()


def shares(fault, network=BIG, rng=0, trial=0):
    """Per layer, how many zeros read 1 and how many ones read 0, of all cells: the fault meets both patterns."""
    zeros, ones = (fault.apply(constant(network, bit), rng, trial) for bit in (0, 1))
    return [(count(zero.words), layer.n_bits - count(one.words), layer.n_bits)
            for layer, zero, one in zip(network.layers, zeros.layers, ones.layers)]


# ---------------------------------------------------------------- rates

@pytest.mark.parametrize("p01, p10", [(0.3, 0.1), (0.0, 0.02), (0.01, 0.01)])
def test_asymmetric_rates_are_those_of_the_stored_bit(p01, p10):
    """Within 5 sigma; rates that are swapped, or averaged, would fail."""
    for n01, n10, n in shares(AsymmetricFlips(p01, p10)):
        assert within_5_sigma(n01, n, p01) and within_5_sigma(n10, n, p10)
    n01, n10, n = shares(AsymmetricFlips(p01, p10))[1]
    if p01 != p10:
        assert not within_5_sigma(n10, n, p01) and not within_5_sigma(n01, n, (p01 + p10) / 2)


@pytest.mark.jit_off
@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize("layers", [None, (1,)])
def test_flips_at_several_rates_are_those_of_each_alone(at_once, layers, monkeypatch):
    rates, n_bytes = [0.1, 0.0, 1.0, 0.003, (0.2, 0.0, 1e-9)], sum(layer.words.nbytes for layer in SMALL.layers)
    alone = [BitFlips(rate, layers).apply(SMALL, 5, 2) for rate in rates]
    monkeypatch.setattr(bit_flips, "MOST_BYTES", at_once * n_bytes)
    each = list(BitFlips(0.5, layers).apply_each(rates, SMALL, 5, 2))
    assert len(each) == len(rates) and each[1] is SMALL and all(map(same, each, alone))
    assert not same(each[0], each[3])


class OnlyAbove(BitFlips):
    """A user's fault: no errors below 5 %."""

    def apply(self, network, rng=None, trial=0):
        return super().apply(network, rng, trial) if self.p >= 0.05 else network


def test_a_fault_derived_from_bit_flips_draws_as_it_says():
    """A sweep draws the rates of one chip of `BitFlips` together."""
    split = Split(np.random.default_rng(3).integers(0, 256, (20, 1, 6, 6), np.uint8), np.arange(20) % 10, "random")
    rates, trials = [0.0, 0.01, 0.1, 0.3], 3
    whole, above = (sweep(SMALL, split, rates, trials, 0, faults=fault, predictions=True, progress=False).predictions
                    for fault in (BitFlips(0), OnlyAbove(0)))
    assert np.array_equal(whole[:, [0, 2, 3]], above[:, [0, 2, 3]]) and not np.array_equal(whole[:, 1], above[:, 1])
    assert np.array_equal(above[:, 1], above[:, 0])
    for r, t in np.ndindex(len(rates), trials):
        assert np.array_equal(whole[0, r, t], BitFlips(rates[r]).apply(SMALL, 0, t).predict(split.images))


@pytest.mark.parametrize("p_zero, p_one", [(0.3, 0.3), (0.02, 0.0), (0.0, 0.5), (0.25, 0.75)])
def test_stuck_shares_are_nominal(p_zero, p_one):
    """30 % and 30 % are 30 % and 30 %; independent draws, one over the other, would give 21 % and 30 %."""
    for n01, n10, n in shares(StuckAt(p_zero, p_one)):
        assert within_5_sigma(n10, n, p_zero) and within_5_sigma(n01, n, p_one)
    n = BIG.layers[1].n_bits
    assert not within_5_sigma(round(n * 0.3 * 0.7), n, 0.3)
    assert p_zero + p_one < 1 or sum(shares(StuckAt(p_zero, p_one))[1][:2]) == n


@pytest.mark.jit_off
def test_a_stuck_cell_is_wrong_only_where_the_bit_differs():
    fault = StuckAt(0.3, 0.3)
    at_zero, at_one = (flips(constant(SMALL, bit), fault.apply(constant(SMALL, bit), 1)) for bit in (1, 0))
    for layer, broken, zero, one in zip(SMALL.layers, fault.apply(SMALL, 1).layers, at_zero, at_one):
        assert not np.any(zero & one)
        np.testing.assert_array_equal(broken.words, (layer.words & ~zero) | one)


@pytest.mark.tiny
@given(p=st.floats(0, 1), seed=st.integers(0, 2**70), trial=st.integers(0, 5))
def test_equal_rates_are_bit_flips_bit_for_bit(p, seed, trial):
    for network in (SMALL, CONV):
        assert same(AsymmetricFlips(p, p).apply(network, seed, trial), BitFlips(p).apply(network, seed, trial))


@given(low=st.floats(0, 1), high=st.floats(0, 1), share=st.floats(0, 1))
def test_errors_nest_along_the_axis(low, high, share):
    """One chip's errors at a lower rate are a subset of those at a higher one, each cell broken in the same way."""
    low, high = sorted((low, high))
    for fault in (AsymmetricFlips(share / 2, (1 - share) / 2), StuckAt(share, 1 - share)):
        most = 1.0 if isinstance(fault, StuckAt) else 0.5                 # a mean that any proportion can have
        for bit in (0, 1):
            network = constant(SMALL, bit)
            few, many = (flips(network, fault.at(most * rate).apply(network, 3, 1)) for rate in (low, high))
            assert not any(np.any(a & ~b) for a, b in zip(few, many))


@pytest.mark.jit_off
@given(a=st.floats(0, 1), b=st.floats(0, 1), rate=st.floats(0, 0.5))
def test_at_keeps_the_proportion_from_rate_0_too(a, b, rate):
    """A sweep names a setting by ``fault.at(0)``: it must still know the proportion."""
    fault = AsymmetricFlips(a, b)
    p01, p10 = fault.at(0.0).at(rate).scaled()
    assert math.isclose((p01 + p10) / 2, rate, abs_tol=1e-300)
    assert a + b == 0 or math.isclose(p01 * b, p10 * a, rel_tol=1e-9, abs_tol=1e-300)
    assert repr(fault.at(0.0)) == repr(fault.at(rate).at(0.0))
    assert a == b or repr(AsymmetricFlips(b, a).at(0.0)) != repr(fault.at(0.0))


@pytest.mark.jit_off
def test_the_greatest_rate_can_be_taken_and_no_other_is_much_greater():
    """A rounding above it is refused: where rates vary over arrays a sweep ended at it."""
    for i, j in np.ndindex(60, 60):
        fault = AsymmetricFlips((1 + i) / 60, j / 60)
        most = fault.greatest_rate
        assert max(fault.at(most).scaled()) <= 1
        assert most == 1 or max(fault.at(most).scaled()) > 1 - 1e-12


@pytest.mark.jit_off
def test_rates_by_layer_and_chosen_layers():
    fault = AsymmetricFlips((0.2, 0.0, 1.0), (0.4, 0.0, 0.0))
    found = shares(fault, SMALL)
    assert [n01 == 0 for n01, _, _ in found] == [False, True, False] and found[2] == (400, 0, 400)
    assert fault.at(0.25).scaled() == ((0.1, 0.0, 0.5), (0.2, 0.0, 0.0))
    assert StuckAt((0.2, 0.1, 0.0), 0.0).at(0.4).scaled() == ((0.4, 0.2, 0.0), (0.0, 0.0, 0.0))
    for one in (StuckAt(0.2, 0.2, layers=[1]), AsymmetricFlips(0.2, 0.1, layers=[1])):
        broken = one.apply(SMALL, 0)
        assert [new is old for new, old in zip(broken.layers, SMALL.layers)] == [True, False, True]
        assert one.layers == (1,) and {one: 0}[one] == 0


@pytest.mark.tiny
@pytest.mark.jit_off
@pytest.mark.parametrize("fault", [AsymmetricFlips(1, 0), AsymmetricFlips(1, 1), StuckAt(0, 1), StuckAt(0.5, 0.5),
                                   EachRead(StuckAt(0.1, 0.9)), Compose([BitFlips(1), StuckAt(0.3, 0.3)])])
def test_padding_bits_are_never_touched(fault):
    broken = fault.apply(CONV, 0, 0)
    assert padding_is_clear(broken) and any(count(mask) for mask in flips(CONV, broken))
    assert same(CONV, conv_network())                                     # and the network is as it was


@pytest.mark.jit_off
def test_rate_zero_is_the_same_network():
    for fault in (AsymmetricFlips(0, 0), StuckAt(0, 0), StuckAt(0.3, 0.1).at(0), EachRead(BitFlips(0)),
                  Compose([BitFlips(0), StuckAt(0, 0)])):
        assert fault.apply(SMALL, 0) is SMALL


def test_threads_do_not_change_errors():
    for fault in (AsymmetricFlips(0.1, 0.2), StuckAt(0.1, 0.2)):
        with threads(1):
            ref = fault.apply(BIG, 4)
        with threads(3):
            assert same(fault.apply(BIG, 4), ref)


# ---------------------------------------------------------------- when, and in which order

@pytest.mark.jit_off
def test_faults_say_when_they_are_drawn():
    assert (BitFlips(0.1).when, AsymmetricFlips(0.1, 0).when, StuckAt(0.1, 0).when) == ("write", "write", "permanent")
    assert EachRead(BitFlips(0.1)).when == "read"
    for parts, when in (([StuckAt(0.1, 0)], "permanent"), ([StuckAt(0.1, 0), BitFlips(0.1)], "write"),
                        ([BitFlips(0.1), EachRead(BitFlips(0.1)), StuckAt(0, 0)], "read")):
        assert Compose(parts).when == when


@pytest.mark.jit_off
def test_each_read_is_drawn_anew_and_by_number():
    """The same batch reads the same, in any order; the inner fault's rates nest as before."""
    noise = EachRead(BitFlips(0.2))
    reads = [noise.apply(SMALL, 5, 1, read=b) for b in range(4)]
    assert same(reads[2], noise.apply(SMALL, 5, 1, read=2))
    others = [noise.apply(SMALL, 5, 2), noise.apply(SMALL, 6, 1)]
    assert len({all_words(one)[0].tobytes() for one in [*reads, *others]}) == 6
    few = flips(SMALL, noise.at(0.1).apply(SMALL, 5, 1, read=3))
    assert not any(np.any(a & ~b) for a, b in zip(few, flips(SMALL, reads[3])))


@pytest.mark.jit_off
def test_composed_faults_act_in_order_and_independently():
    """What a cell cannot help comes last; two flips of one rate do not undo each other."""
    stuck = StuckAt(0.5, 0.5)
    assert same(Compose([stuck]).apply(SMALL, 2), stuck.apply(SMALL, 2))
    before, after = Compose([stuck, BitFlips(1)]), Compose([BitFlips(1), stuck])
    for mask in flips(stuck.apply(SMALL, 2), before.apply(SMALL, 2)):
        assert mask.any()
    assert same(after.apply(SMALL, 2), after.apply(constant(SMALL, 0), 2))
    n = sum(layer.n_bits for layer in SMALL.layers)
    twice = sum(map(count, flips(SMALL, Compose([BitFlips(0.1), BitFlips(0.1)]).apply(SMALL, 2))))
    assert within_5_sigma(twice, n, 2 * 0.1 * 0.9) and not within_5_sigma(0, n, 0.18)
    noise = Compose([BitFlips(0.1), EachRead(BitFlips(0.1))])
    first, second = (flips(SMALL, noise.apply(SMALL, 2, 0, read=b)) for b in (0, 1))
    written = flips(SMALL, BitFlips(0.1).apply(SMALL, 2, 0))
    assert not np.array_equal(first[0], second[0]) and not np.array_equal(first[0], written[0])
    assert count(first[0] & second[0] & written[0]) > 0.5 * count(written[0])         # 81 % of them stay


@pytest.mark.jit_off
@pytest.mark.parametrize("wrap", [lambda fault: fault, lambda fault: Protected(fault, "repetition(3)", layers=()),
                                  EachRead])
def test_parts_of_nested_compositions_are_drawn_apart(wrap):
    """Two flips of one draw would undo each other."""
    nested = Compose([wrap(Compose([StuckAt(0, 0), BitFlips(0.2)])), BitFlips(0.2)])
    deeper = Compose([wrap(Compose([Compose([StuckAt(0, 0), StuckAt(0, 0)]), BitFlips(0.2)])), BitFlips(0.2)])
    for fault in (nested, deeper):
        wrong = sum(map(count, flips(SMALL, fault.apply(SMALL, 2))))
        assert within_5_sigma(wrong, SMALL.n_bits, 2 * 0.2 * 0.8) and not within_5_sigma(0, SMALL.n_bits, 0.32)


@pytest.mark.jit_off
def test_compose_moves_one_part():
    fault = Compose([BitFlips(0.1), StuckAt(0.1, 0.3)], axis=1)
    assert fault.at(0.2).faults == (BitFlips(0.1), StuckAt(0.1, 0.3, rate=0.2))
    assert Compose([BitFlips(0.1), StuckAt(0.1, 0.3)]).at(0).faults == (BitFlips(0), StuckAt(0.1, 0.3))


def test_a_sweep_takes_them():
    """Cells are apply and accuracy, whatever the fault."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (30, 1, 6, 6), np.uint8), rng.integers(0, 10, 30), "random")
    faults = {"a": AsymmetricFlips(0.1, 0.3), "s": StuckAt(1, 0), "c": Compose([BitFlips(0), StuckAt(0.1, 0.1)])}
    found = sweep(SMALL, split, [0.05, 0.3], 2, 7, faults=faults, axis="share_of_cells", progress=False)
    for s, fault in enumerate(faults.values()):
        for r, rate in enumerate((0.05, 0.3)):
            for trial in range(2):
                assert found.accuracy[s, r, trial] == fault.at(rate).apply(SMALL, 7, trial).accuracy(split)


def test_a_place_0_that_is_no_error_rate_gets_all_chips():
    """Condition number 0 of a card has errors, and a spread over chips, and so have dead devices without a spread."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (30, 1, 6, 6), np.uint8), rng.integers(0, 10, 30), "random")
    dead = devices.Cell2T2R(devices.LogNormal(1e3, 0.1), devices.LogNormal(1e5, 0.1),
                            failures=devices.Failures(0.3)).programmed()
    card = devices.load_card("teaching")
    card_fault = card.axis("sigma", "1T1R", condition="weak", cycles=1e6)
    for fault in (dead, card_fault, EachRead(dead)):
        assert not is_clean_at_zero(fault)
    found = sweep(SMALL, split, [0, 0.1], 4, 7, faults=dead, progress=False)
    assert found.accuracy[0, 0].tolist() == [dead.at(0).apply(SMALL, 7, trial).accuracy(split) for trial in range(4)]


# ---------------------------------------------------------------- bad input

@pytest.mark.jit_off
@pytest.mark.parametrize("call, error, message", [
    (lambda: AsymmetricFlips(1.1, 0), ValueError, r"p01 must be a probability in \[0, 1\], got 1.1"),
    (lambda: AsymmetricFlips(0, math.nan), ValueError, "p10 must be a probability"),
    (lambda: AsymmetricFlips(0, "0.1"), TypeError, "p10 must be a probability"),
    (lambda: AsymmetricFlips(0, [0.1, -1]), ValueError, r"p10\[1\] must be a probability"),
    (lambda: AsymmetricFlips(0.1, 0.3).at(0.8), ValueError, "p10 at rate 0.8 must be a probability .* got 1.2"),
    (lambda: AsymmetricFlips(0.1, 0.3).at(2), ValueError, "rate must be a probability"),
    (lambda: AsymmetricFlips((0.1, 0.2), 0).apply(SMALL), ValueError, "p01 must be one probability or 3"),
    (lambda: AsymmetricFlips(0.1, 0, layers=[3]).apply(SMALL), ValueError, r"layers must be in 0..2, got \(3,\)"),
    (lambda: AsymmetricFlips(0.1, 0).apply(3), TypeError, "network must be a PackedNetwork"),
    (lambda: StuckAt(0.6, 0.5), ValueError, r"p_zero \+ p_one must be at most 1, .* got 0.6 \+ 0.5 = 1.1"),
    (lambda: StuckAt((0.6, 0.2), (0.2, 0.9)), ValueError, r"got 0.2 \+ 0.9"),
    (lambda: StuckAt((0.6, 0.2), (0.2,)), ValueError, "as many layers, got 2 and 1"),
    (lambda: StuckAt(-0.1, 0), ValueError, "p_zero must be a probability"),
    (lambda: StuckAt(0.1, 0).apply(SMALL, 0, -1), ValueError, "trial must be >= 0"),
    (lambda: StuckAt(0.1, 0).apply(SMALL, -1), ValueError, "rng must be a seed"),
    (lambda: EachRead(0.1), TypeError, "fault must be a fault such as"),
    (lambda: EachRead(BitFlips), TypeError, "fault must be a fault such as"),
    (lambda: EachRead(BitFlips(0.1)).apply(SMALL, 0, 0, read=-1), ValueError, "read must be >= 0"),
    (lambda: Compose([]), TypeError, "at least one fault"),
    (lambda: Compose(BitFlips(0.1)), TypeError, "faults must be a sequence"),
    (lambda: Compose([BitFlips(0.1), 3]), TypeError, r"faults\[1\] must be a fault"),
    (lambda: Compose([BitFlips(0.1)], axis=1), ValueError, "axis must be in"),
])
def test_bad_faults(call, error, message):
    with pytest.raises(error, match=message):
        call()
