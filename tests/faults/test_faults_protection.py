"""Error-correcting codes against matrices over GF(2); what they leave, what they cost; spare columns."""

import math

import naive_codes
import numpy as np
import pytest
import slow_cases
from fault_parts import (all_words, constant, conv_network, count, flips, network_of, padding_is_clear, same, weights,
                         within_5_sigma, words_like)
from hypothesis import given
from hypothesis import strategies as st

from bnnsim import threads
from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.faults import (ArrayMapping, AsymmetricFlips, BitFlips, Compose, EachRead, FaultMap, Protected,
                           SpareColumns, StuckAt, StuckLine, StuckLines, exact_residual, ideal_residual)
from bnnsim.faults.error_codes import CODES, code_named
from bnnsim.packed.memory import StoredBits

SECDED = {"secded(8,4)": (8, 4), "secded(39,32)": (39, 32), "secded(72,64)": (72, 64)}
SIZES = [1, 3, 4, 31, 32, 33, 63, 64, 65, 130]
CONV = conv_network()
DENSE = network_of("FC40 FC70 FC10", (1, 6, 6))
BIG = network_of("FC512 FC512 FC10", (1, 28, 28))
codes = pytest.mark.parametrize("code", CODES)


def naive_encode(code, row):
    if code in SECDED:
        return naive_codes.encode_row(row, *SECDED[code])
    return np.tile(row, code_named(code).n)


def naive_decode(code, stored, n_bits):
    if code in SECDED:
        return naive_codes.decode_row(stored, n_bits, *SECDED[code])
    return naive_codes.majority_row(stored, n_bits, code_named(code).n)


# ---------------------------------------------------------------- the codes

@codes
@pytest.mark.parametrize("n_bits", SIZES)
def test_encoders_and_decoders_are_those_of_the_matrices(code, n_bits):
    """Any data, any errors: single ones, doubles, triples that are miscorrected, words that end early."""
    rng, comp = np.random.default_rng(n_bits), code_named(code)
    data = rng.integers(0, 2, (12, n_bits))
    stored = np.array([naive_encode(code, row) for row in data])
    words = naive_codes.words_of(data)
    assert stored.shape[1] == comp.stored_bits(n_bits)
    np.testing.assert_array_equal(comp.encode(words, n_bits), naive_codes.words_of(stored))
    np.testing.assert_array_equal(comp.decode(naive_codes.words_of(stored), n_bits), words)
    for p in (0.01, 0.05, 0.2, 0.5):
        broken = stored ^ (rng.random(stored.shape) < p)
        ref = naive_codes.words_of(np.array([naive_decode(code, row, n_bits) for row in broken]))
        np.testing.assert_array_equal(comp.decode(naive_codes.words_of(broken), n_bits), ref)


@pytest.mark.jit_off
@codes
def test_codes_interpreted(code):
    rng, comp, n_bits = np.random.default_rng(0), code_named(code), 70
    data = rng.integers(0, 2, (2, n_bits))
    stored = comp.encode(naive_codes.words_of(data), n_bits)
    np.testing.assert_array_equal(stored, naive_codes.words_of(np.array([naive_encode(code, row) for row in data])))
    stored[0, 0] ^= np.uint64(16)
    np.testing.assert_array_equal(comp.decode(stored, n_bits), naive_codes.words_of(data))


@pytest.mark.parametrize("code", SECDED)
@given(st.data())
def test_one_error_a_word_is_corrected_two_are_left(code, data):
    """Also in check bits, and in words that end early; two never become three."""
    (n, k), comp = SECDED[code], code_named(code)
    n_bits = data.draw(st.integers(1, 3 * k))
    row = np.array([data.draw(st.lists(st.integers(0, 1), min_size=n_bits, max_size=n_bits))])
    words = naive_codes.words_of(row)
    stored = naive_codes.bits_of(comp.encode(words, n_bits), comp.stored_bits(n_bits))
    single, double, expected = stored.copy(), stored.copy(), row.copy()
    for first in range(0, n_bits, k):
        at, n_data = first // k * n, min(k, n_bits - first)
        a, b = data.draw(st.lists(st.integers(0, n_data + n - k - 1), min_size=2, max_size=2, unique=True))
        single[0, at + a] ^= 1
        double[0, [at + a, at + b]] ^= 1
        expected[0, [first + place for place in (a, b) if place < n_data]] ^= 1
    np.testing.assert_array_equal(comp.decode(naive_codes.words_of(single), n_bits), words)
    np.testing.assert_array_equal(comp.decode(naive_codes.words_of(double), n_bits), naive_codes.words_of(expected))


@pytest.mark.parametrize("code", SECDED)
def test_three_errors_are_miscorrected(code):
    """A true decoder flips a fourth bit, the one that the syndrome of three names: an ideal one would leave them."""
    (n, k), comp, rng = SECDED[code], code_named(code), np.random.default_rng(0)
    more = []
    for _ in range(60):
        stored = np.zeros((1, n), int)
        stored[0, rng.choice(n, 3, replace=False)] = 1
        more.append(count(comp.decode(naive_codes.words_of(stored), k)) - stored[0, :k].sum())
    assert set(more) == {0, 1}


@codes
def test_threads_do_not_change_codes(code):
    comp, results = code_named(code), []
    words = BIG.layers[0].words[:101].copy()
    for n in (1, 2, 3):
        with threads(n):
            stored = comp.encode(words, 784)
            results.append(stored.tobytes() + comp.decode(stored, 784).tobytes())
    assert len(set(results)) == 1


# ---------------------------------------------------------------- what is left

@pytest.mark.jit_off
def test_the_published_table_of_ideal_residuals():
    """docs/equations.rst 2.5, to the digits that it prints."""
    table = {1e-1: (5.22e-2, 9.82e-2, 9.99e-2), 5e-2: (1.51e-2, 4.29e-2, 4.87e-2), 1e-2: (6.79e-4, 3.17e-3, 5.10e-3),
             1e-3: (6.98e-6, 3.73e-5, 6.86e-5), 1e-4: (7.00e-8, 3.79e-7, 7.08e-7)}
    for p, row in table.items():
        for code, ref in zip(SECDED, row):
            assert float(f"{ideal_residual(code, p):.2e}") == ref
    assert ideal_residual("repetition(3)", 0.1) == pytest.approx(3 * 0.01 * 0.9 + 0.001)
    assert [ideal_residual(code, 0) for code in CODES] == [0] * len(CODES)


@pytest.mark.jit_off
def test_the_exact_residuals_of_8_4():
    """By enumeration .0563, .0158, 6.86e-4; the ideal formula is 8 % below at 0.1, and within 2 % at 0.01."""
    for p, ref in ((0.1, 0.0563), (0.05, 0.0158), (0.01, 6.86e-4)):
        assert float(f"{exact_residual('secded(8,4)', p):.3g}") == ref
    for p in (1e-2, 1e-3, 1e-4):
        assert exact_residual("secded(8,4)", p) == pytest.approx(ideal_residual("secded(8,4)", p), rel=0.02)
    assert exact_residual("secded(8,4)", 0.1) > 1.05 * ideal_residual("secded(8,4)", 0.1)
    for n in (3, 5, 7):
        assert exact_residual(f"repetition({n})", 0.2) == pytest.approx(ideal_residual(f"repetition({n})", 0.2))
    assert exact_residual("secded(8,4)", 0.5) == pytest.approx(0.5) and exact_residual("secded(8,4)", 0) == 0


@pytest.mark.jit_off
def test_the_exact_residual_by_the_matrices():
    """Of whole and of shortened words, every error pattern through the naive decoder."""
    for k, p in ((4, 0.1), (3, 0.2), (1, 0.05)):
        n, total = k + 4, 0.0
        for pattern in np.ndindex(*[2] * n):
            wrong = naive_codes.decode_word(np.array(pattern), 8, 4).sum()
            total += wrong / k * p ** sum(pattern) * (1 - p) ** (n - sum(pattern))
        assert exact_residual("secded(8,4)", p, k) == pytest.approx(total)


@pytest.mark.parametrize("p", [0.1, 0.05, 0.01])
def test_a_protected_network_has_the_exact_residual(p):
    """Within 5 sigma of words, which err together: and the ideal formula is refuted at 0.1 and 0.05."""
    n = BIG.n_bits
    wrong = sum(map(count, flips(BIG, Protected(BitFlips(p), "secded(8,4)").apply(BIG, 1))))
    ref = exact_residual("secded(8,4)", p)
    sigma = math.sqrt(4 * n * ref)                                        # at most 4 wrong bits a word
    assert abs(wrong - n * ref) < 5 * sigma
    assert p < 0.05 or abs(wrong - n * ideal_residual("secded(8,4)", p)) > abs(wrong - n * ref)
    assert p < 0.1 or abs(wrong - n * ideal_residual("secded(8,4)", p)) > 5 * sigma


@pytest.mark.parametrize("code, p", [("secded(39,32)", 1e-3), ("secded(72,64)", 1e-3), ("repetition(3)", 0.05),
                                     ("repetition(5)", 0.1), ("repetition(7)", 0.1)])
def test_what_other_codes_leave(code, p):
    """The ideal formula, where three errors a word are rare; unprotected bits would be far off."""
    ref, wrong = ideal_residual(code, p), 0
    for trial in range(4):
        wrong += sum(map(count, flips(BIG, Protected(BitFlips(p), code).apply(BIG, 1, trial))))
    spread = 2 if code.startswith("secded") else 1                        # wrong bits come in twos and more
    assert abs(wrong - 4 * BIG.n_bits * ref) < 5 * math.sqrt(4 * spread * BIG.n_bits * ref) + 0.02 * wrong
    assert wrong < 0.3 * p * 4 * BIG.n_bits


# ---------------------------------------------------------------- protected networks

@codes
@pytest.mark.parametrize("fault", [AsymmetricFlips(0.02, 0.1), StuckAt(0.05, 0.02), BitFlips((0.1, 0, 0.1, 0.02))],
                         ids=["asymmetric", "stuck", "by layer"])
def test_a_network_is_decoded_from_its_broken_memory(code, fault):
    """Row by row with the naive code, of dense and conv layers: check bits are hit as data bits are."""
    protected = Protected(fault, code)
    memory = protected.memory(CONV)
    for layer, stored in zip(CONV.layers, memory.layers):
        ref = [naive_encode(code, row) for row in weights(layer)]
        np.testing.assert_array_equal(stored.words, naive_codes.words_of(np.array(ref)))
    broken, comp = fault.apply(memory, 3, 1), protected.apply(CONV, 3, 1)
    for layer, stored, found in zip(CONV.layers, broken.layers, comp.layers):
        rows = naive_codes.bits_of(stored.words, stored.n_in)
        ref = [naive_decode(code, row, layer.fan_in) for row in rows]
        np.testing.assert_array_equal(found.words, words_like(layer, ref))
    assert padding_is_clear(comp) and same(CONV, conv_network())


@pytest.mark.jit_off
@codes
def test_without_errors_a_protected_network_is_itself(code):
    assert Protected(BitFlips(0), code).apply(DENSE, 0) is DENSE
    layers = Protected(BitFlips(0), code).memory(CONV).layers
    for layer, stored in zip(CONV.layers, layers):
        assert isinstance(stored, StoredBits) and stored.n_bits == layer.units * stored.n_in


@pytest.mark.jit_off
def test_only_chosen_layers_are_protected():
    """The others meet the fault bare, with the very errors that they have without a protection."""
    protected = Protected(BitFlips(0.01), "secded(8,4)", layers=[0])
    bare, shielded = BitFlips(0.01).apply(DENSE, 2), protected.apply(DENSE, 2)
    assert count(flips(DENSE, shielded)[0]) < count(flips(DENSE, bare)[0])
    for a, b in zip(all_words(bare)[1:], all_words(shielded)[1:]):
        np.testing.assert_array_equal(a, b)
    assert protected.memory(DENSE).layers[1] is DENSE.layers[1]


@pytest.mark.jit_off
def test_single_errors_by_address_are_corrected_and_lines_of_words_are_not():
    """A stuck column takes one bit of a word; a stuck row all of them."""
    code, mapping = "secded(72,64)", ArrayMapping(16, 72)
    for axis, repaired in (("column", True), ("row", False)):
        line = StuckLine(mapping, axis, 0, 3, 1)
        assert same(Protected(line, code).apply(DENSE), DENSE) == repaired
        assert not same(line.apply(DENSE), DENSE)


@pytest.mark.jit_off
def test_protections_keep_when_at_and_reads():
    protected = Protected(Compose([BitFlips(0), EachRead(BitFlips(0.3))]), "repetition(3)")
    assert protected.when == "read" and Protected(StuckAt(0, 0)).when == "permanent"
    assert protected.at(0.2).fault.faults[0] == BitFlips(0.2) and protected.at(0.2).code == "repetition(3)"
    reads = [all_words(protected.apply(DENSE, 1, 0, read=b))[0].tobytes() for b in (0, 1, 0)]
    assert reads[0] == reads[2] != reads[1]


def test_a_fault_map_of_coded_cells():
    """Recorded on the memory that holds the code words, it does under the protection what the fault does; what a
    linear code leaves of flips does not hang on the data, of stuck cells it does."""
    protected = Protected(StuckAt(0.1, 0.1), "secded(8,4)")
    chip = FaultMap.record(protected.fault, protected.memory(DENSE), 5)
    assert same(Protected(chip, "secded(8,4)").apply(DENSE), protected.apply(DENSE, 5))
    with pytest.raises(ValueError, match="hangs on other cells, as with an error-correcting code"):
        FaultMap.record(protected, DENSE, 5)
    left = Protected(BitFlips(0.1), "secded(8,4)")
    other = network_of("FC40 FC70 FC10", (1, 6, 6), seed=9)
    assert same(FaultMap.record(left, DENSE, 5).apply(other), left.apply(other, 5))
    with pytest.raises(ValueError, match="layer 0 has 40 units of 36 weights, that of the network 40 units of 72"):
        Protected(FaultMap.record(BitFlips(0.1), DENSE, 5), "secded(8,4)").apply(DENSE)


def test_a_sweep_takes_protections():
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (300, 1, 6, 6), np.uint8), np.zeros(300, int), "random")
    split = Split(split.images, DENSE.predict(split.images), "its own answers")
    faults = {"none": BitFlips(0), "secded": Protected(BitFlips(0), "secded(8,4)")}
    found = sweep(DENSE, split, [0, 0.02], 3, 0, faults=faults, progress=False)
    assert np.all(found.accuracy[:, 0] == 1) and found.mean()[1, 1] > found.mean()[0, 1] + 0.02


@pytest.mark.jit_off
@pytest.mark.parametrize("code, cells", [("secded(8,4)", 2), ("repetition(3)", 3), ("repetition(7)", 7)])
def test_costs(code, cells):
    network = network_of("FC64 FC32 FC10", (1, 8, 8))
    cost = Protected(BitFlips(0), code).cost(network, energy_per_cell_joule=2e-12)
    assert cost.n_bits == network.n_bits and cost.cells_per_bit == cells
    assert cost.n_cells == sum(layer.n_bits for layer in Protected(BitFlips(0), code).memory(network).layers)
    assert cost.energy_joule == pytest.approx(cells * network.n_bits * 2e-12)
    assert Protected(BitFlips(0), code).cost(network).energy_joule is None
    half = Protected(BitFlips(0), code, layers=[1, 2]).cost(network)
    assert half.n_cells == 64 * 64 + cells * (64 * 32 + 320)


@pytest.mark.jit_off
def test_costs_of_words_that_end_early():
    """Every unit's last word has all its check bits, however short it is: 36 weights take 44 cells, not 40.5."""
    assert Protected(BitFlips(0), "secded(72,64)").cost(DENSE).n_cells == 40 * 44 + 70 * 48 + 10 * (70 + 16)
    assert Protected(BitFlips(0), "secded(72,64)").cost(BIG).n_cells == 512 * (784 + 13 * 8) + 522 * (512 + 8 * 8)


# ---------------------------------------------------------------- spare columns

MAP = ArrayMapping(16, 24)
mappings = pytest.mark.parametrize("mapping", [MAP, ArrayMapping(16, 24, "columns"), ArrayMapping(500, 7)], ids=str)


@mappings
def test_stuck_columns_are_repaired_as_far_as_spares_reach(mapping):
    """Two broken columns of one array and two spares: nothing is lost. A third column is."""
    lines = [StuckLine(mapping, "column", 1, line, 1) for line in (0, 2, 3)]
    for n_lines, left in ((1, 0), (2, 0), (3, 1)):
        fault = Compose(lines[:n_lines])
        comp = SpareColumns(fault, mapping, 2).apply(constant(DENSE, 0))
        inner = ArrayMapping(mapping.rows, mapping.columns - 2, mapping.units_on)
        used = [int(n) for part in (inner.used(layer)[0] for layer in DENSE.layers) for n in part]
        assert sum(map(count, flips(constant(DENSE, 0), comp))) == left * used[1]


def naive_repair(network, fault, mapping, n_spare, bad_share, rng):
    """The same, array by array and column by column, on the cells that a fault map shows."""
    spares = SpareColumns(fault, mapping, n_spare, bad_share)
    inner, memory = spares.data_mapping, spares.memory(network)
    chip, out = FaultMap.record(fault, memory, rng, mapping=mapping), [weights(layer) for layer in network.layers]
    arrays = [(i, *sizes) for i, layer in enumerate(network.layers) for sizes in zip(*inner.used(layer))]
    for array, (i, n_rows, n_data) in enumerate(arrays):
        cells = chip.array(array)
        assert cells.shape == (n_rows, n_data + n_spare)
        broken = (cells > 0).sum(0)
        source = list(range(n_data))
        worst = sorted((c for c in range(n_data) if broken[c] and broken[c] >= bad_share * n_rows),
                       key=lambda c: (-broken[c], c))
        best = sorted(range(n_data, n_data + n_spare), key=lambda c: (broken[c], c))
        for column, spare in zip(worst, best):
            if broken[spare] < broken[column]:
                source[column] = spare
        for row in range(n_rows):
            for column in range(n_data):
                _, unit, weight = (int(part) for part in inner.weight(network, array, row, column))
                kind, bit = cells[row, source[column]], out[i][unit, weight]
                out[i][unit, weight] = {0: bit, 1: 1 - bit, 2: 0, 3: 1}[kind]
    return out


@mappings
@pytest.mark.parametrize("name, fault", slow_cases.first(1, [("dense", "both"), ("conv", "both"), ("dense", "columns"),
                                                             ("dense", "cells")]))
def test_spare_columns_are_those_repaired_one_by_one(mapping, fault, name):
    """Spares that are broken too, columns that are half broken, more broken ones than spares."""
    network = {"dense": DENSE, "conv": CONV}[name]
    lines, cells = StuckLines(mapping, "column", 0.1, 0.1), AsymmetricFlips(0.3, 0.2)
    fault = {"columns": lines, "cells": cells, "both": Compose([cells, lines])}[fault]
    comp = SpareColumns(fault, mapping, 2, 0.4).apply(network, 3)
    for layer, ref in zip(comp.layers, naive_repair(network, fault, mapping, 2, 0.4, 3)):
        np.testing.assert_array_equal(weights(layer), ref)
    assert padding_is_clear(comp)


def test_spares_help_and_cost():
    lines = StuckLines(ArrayMapping(64, 68), "column", 0.01, 0.01)
    spares = SpareColumns(lines, lines.mapping, 4)
    left = sum(map(count, flips(BIG, spares.apply(BIG, 1)))) / sum(map(count, flips(BIG, lines.apply(BIG, 1))))
    assert left < 0.15 and spares.at(0).apply(BIG, 1) is BIG and spares.when == "permanent"
    cost = spares.cost(network_of("FC64 FC64 FC10", (1, 8, 8)), 1e-12)
    assert cost.cells_per_bit == 68 / 64 and cost.energy_joule == pytest.approx(cost.n_cells * 1e-12)


def test_a_column_of_healthy_cells_is_not_replaced():
    """Flips of a few cells are no broken column."""
    assert within_5_sigma(sum(map(count, flips(BIG, SpareColumns(BitFlips(0.05), MAP, 2).apply(BIG, 1)))),
                          BIG.n_bits, 0.05)


# ---------------------------------------------------------------- bad input

@pytest.mark.jit_off
@pytest.mark.parametrize("call, error, message", [
    (lambda: Protected(BitFlips(0.1), "secded(64,57)"), ValueError, r"code must be one of secded\(8,4\), .*not fit"),
    (lambda: Protected(BitFlips(0.1), "repetition(2)"), ValueError, "got 'repetition"),
    (lambda: Protected(BitFlips(0.1), 72), TypeError, "code must be one of"),
    (lambda: Protected(0.1), TypeError, "fault must be a fault"),
    (lambda: Protected(BitFlips(0.1), layers=[3]).apply(DENSE), ValueError, "layers must be in 0..2"),
    (lambda: Protected(BitFlips(0.1)).apply(3), TypeError, "network must be a PackedNetwork"),
    (lambda: Protected(BitFlips(0.1)).cost(DENSE, -1), ValueError, "energy_per_cell_joule must be >= 0"),
    (lambda: Protected(BitFlips(0.1)).at(1.5), ValueError, "p must be a probability"),
    (lambda: exact_residual("secded(72,64)", 0.1), ValueError, "at most 16 bits to enumerate its 72"),
    (lambda: exact_residual("secded(8,4)", 0.1, 5), ValueError, "k must be in"),
    (lambda: ideal_residual("secded(8,4)", 1.1), ValueError, "p must be a probability"),
    (lambda: SpareColumns(BitFlips(0), MAP, 24), ValueError, "n_spare must be below the 24 columns"),
    (lambda: SpareColumns(BitFlips(0), MAP, 0), ValueError, "n_spare must be >= 1"),
    (lambda: SpareColumns(BitFlips(0), MAP, 1, 0), ValueError, "bad_share must be > 0"),
    (lambda: SpareColumns(BitFlips(0), (16, 24), 1), TypeError, "mapping must be"),
    (lambda: SpareColumns(EachRead(BitFlips(0)), MAP, 1), ValueError, "must not be drawn at each read"),
    (lambda: SpareColumns(Protected(StuckAt(0.3, 0.3)), MAP, 1).apply(DENSE, 1), ValueError, "one by one"),
])
def test_bad_protections(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.jit_off
def test_names_of_codes_may_have_spaces():
    assert code_named("secded (72, 64)") == code_named("secded(72,64)")
