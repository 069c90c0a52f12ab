"""What a new fault must contain, and what a fault may leave unsaid: the recipe of `bnnsim.faults`, followed."""

import inspect
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import pytest
from fault_parts import conv_network, network_of, padding_is_clear, same, weights, within_5_sigma

import bnnsim.faults as faults
from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.faults import (ArrayMapping, BitFlips, Compose, EachRead, FaultMap, LayerFault, Protected, StuckAt,
                           parse_fault)
from bnnsim.faults.errors import draw
from bnnsim.faults.protocol import check_rated, inside, is_clean_at_zero, when_drawn
from bnnsim.packed.words import full_row

EVEN = np.uint64(0x5555555555555555)


@dataclass(frozen=True, repr=False)
class StuckPairs(LayerFault):
    """Two neighbours of a row, bits 2 f and 2 f + 1, are shorted with probability p: both always read 1."""

    p: float
    layers: Sequence[int] | None = None

    MOVES: ClassVar[str] = "share_of_shorted_pairs"
    when: ClassVar[str] = "permanent"

    def errors(self, layer, rates, key):
        """One draw a pair, that of its first cell."""
        first = draw(layer, rates[0], key("stuck pairs")) & EVEN
        return (first | first << np.uint64(1)) & full_row(layer.n_in), np.zeros_like(first)


DENSE, CONV = network_of("FC40 FC70 FC11", (1, 6, 6)), conv_network()


@pytest.mark.jit_off
def test_a_new_fault_is_its_own_model_and_nothing_else():
    """Fields, when, one method of two lines: rates by layer, layers, at, seeds, trials and checks come along."""
    code = [line for line in inspect.getsource(StuckPairs).splitlines() if line.strip() and '"""' not in line]
    assert len(code) == 9
    fault = StuckPairs([0.1, 0, 0.5], layers=(0, 1))
    assert repr(fault) == "StuckPairs(p=(0.1, 0.0, 0.5), layers=(0, 1))" and fault == pickle.loads(pickle.dumps(fault))
    assert fault.rates(3) == [(0.1,), (0.0,), (0.0,)] and fault.at(0.25).rates(3) == [(0.05,), (0.0,), (0.0,)]
    assert repr(fault.at(0)) != repr(StuckPairs([0.5, 0, 0.1], layers=(0, 1)).at(0))
    for call, message in ((lambda: StuckPairs(1.5), "p must be a probability"),
                          (lambda: StuckPairs(0.1, [-1]), "layers must be >= 0"),
                          (lambda: StuckPairs(0.1, [1, 1]), r"layers must differ from each other, got \(1, 1\)"),
                          (lambda: StuckPairs(0.1, [7]).apply(DENSE), r"layers must be in 0..2, got \(7,\)"),
                          (lambda: StuckPairs((0.1, 0.2)).apply(DENSE), "p must be one probability or 3"),
                          (lambda: StuckPairs(0.1).apply(DENSE, 0, -1), "trial must be >= 0"),
                          (lambda: StuckPairs(0.1).apply(DENSE, -1), "rng must be a seed")):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_new_fault_works_wherever_faults_do(monkeypatch):
    """Pairs are whole, as many as they say, nested; in maps, codes, compositions, sweeps, and as text."""
    for network in (DENSE, CONV):
        few, many = (FaultMap.record(StuckPairs(p), network, 3, 1) for p in (0.1, 0.5))
        assert (few - many).counts().sum() == 0 < few.counts().sum() and few.counts()[:, :2].sum() == 0
        broken = StuckPairs(0.5).apply(network, 3, 1)
        assert same(many.apply(network), broken) and padding_is_clear(broken)
        for layer, stuck in zip(network.layers, many.layers):
            rows = weights(type(stuck.stored)(stuck.f01, stuck.n_in)).reshape(-1, layer.n_in)
            pairs = rows[:, :layer.n_in // 2 * 2].reshape(len(rows), -1, 2)
            assert (pairs[..., 0] == pairs[..., 1]).all()
            assert within_5_sigma(pairs[..., 0].sum(), pairs[..., 0].size, 0.5)
    assert StuckPairs(0).apply(DENSE) is DENSE
    assert not same(Protected(StuckPairs(0.3)).apply(DENSE, 1), DENSE)
    split = Split(np.random.default_rng(0).integers(0, 256, (30, 1, 6, 6), np.uint8), np.arange(30) % 10, "random")
    both = Compose([StuckPairs(0), BitFlips(0.1)])
    found = sweep(DENSE, split, [0.0, 0.3], 2, 7, faults={"pairs": StuckPairs(0), "both": both}, progress=False)
    assert found.axis == "share_of_shorted_pairs"
    assert found.accuracy[0, 1, 1] == StuckPairs(0.3).apply(DENSE, 7, 1).accuracy(split)
    monkeypatch.setattr(faults, "__all__", [*faults.__all__, "StuckPairs"])
    monkeypatch.setattr(faults, "StuckPairs", StuckPairs, raising=False)
    assert parse_fault("Protected(StuckPairs(0.1), layers=[1])") == Protected(StuckPairs(0.1), layers=[1])


class Bare:
    """The least that is a fault."""

    def apply(self, memory, rng=None, trial=0):
        return memory.with_words({0: ~memory.layers[0].words & full_row(memory.layers[0].n_in)})


class Offset(Bare):
    """Errs at rate 0 too."""

    clean_at_zero, when = False, "read"

    def at(self, rate):
        return self

    def apply(self, memory, rng=None, trial=0, read=0):
        return super().apply(memory) if read else memory


@pytest.mark.jit_off
def test_a_fault_may_leave_everything_but_apply_unsaid():
    assert when_drawn(Bare()) == "write" and is_clean_at_zero(Bare()) and inside(Bare()) is None
    for wrapped in (Protected(Bare()), Compose([Bare(), StuckAt(0, 0)])):
        assert wrapped.when == "write" and not same(wrapped.apply(DENSE), DENSE)
        with pytest.raises(TypeError, match="must have a method `at` that sets its rate, got .*Bare"):
            wrapped.at(0.1)
    assert Compose([Bare(), BitFlips(0)], axis=1).at(0.1).faults[1] == BitFlips(0.1)
    for around in (Protected(Offset()), EachRead(Offset()), Compose([Offset()])):
        assert not is_clean_at_zero(around) and around.at(0.1).when == "read"
    assert is_clean_at_zero(EachRead(BitFlips(0))) and inside(EachRead(Bare())).__class__ is Bare
    assert same(Protected(Offset()).apply(DENSE, 0, 0, read=0), DENSE)
    assert not same(Protected(Offset()).apply(DENSE, 0, 0, read=1), DENSE)
    assert check_rated("fault", BitFlips(0)) == BitFlips(0)
    with pytest.raises(TypeError, match="fault must be a fault such as"):
        check_rated("fault", 3)


BY_LAYER = [kind for kind in map(vars(faults).get, faults.__all__)
            if isinstance(kind, type) and issubclass(kind, LayerFault) and kind is not LayerFault]


@pytest.mark.parametrize("kind", [*BY_LAYER, StuckPairs])
def test_rates_of_layers_are_told_apart_at_0_and_keep_their_proportions(kind):
    """Results know a fault by its text there: of two that differ, neither is gone on from with the other."""
    needs = {"mapping": ArrayMapping(16, 16), "axis": "row"}
    known = {name: needs[name] for name in needs.keys() & {own.name for own in fields(kind)}}
    one, other = (kind(**known, **{**dict.fromkeys(kind.RATES, 0.0), kind.RATES[0]: rates})
                  for rates in ((0.1, 0.3), (0.3, 0.1)))
    assert repr(one.at(0)) != repr(other.at(0)) and set(one.at(0).rates(2)) == {(0.0,) * len(kind.RATES)}
    first, second = (rates[0] for rates in one.at(0).at(0.15).rates(2))
    assert second == pytest.approx(3 * first) and second == pytest.approx(0.15 * getattr(kind, "SUM", 1))
    assert other.at(0.15).rates(2) == [(rates, *more) for (_, *more), rates in zip(one.at(0.15).rates(2),
                                                                                   (second, first))]


@pytest.mark.jit_off
def test_a_layer_fault_without_errors_says_what_is_missing():
    @dataclass(frozen=True)
    class Empty(LayerFault):
        p: float

    with pytest.raises(NotImplementedError, match=r"Empty must have a method errors\(layer, rates, key\)"):
        Empty(0.1).apply(DENSE)
    assert Empty(0).apply(DENSE) is DENSE and Empty(0.1).layers is None
