"""Fault maps: what a fault did to one chip, recorded, kept in files, joined, counted; files that lie."""

import dataclasses
import hashlib
import pickle
import shutil

import h5py
import numpy as np
import pytest
from fault_parts import conv_network, count, flips, network_of, same, weights
from hypothesis import given
from hypothesis import strategies as st
from weight_files import low_level_dataset, replace_dataset

import bnnsim.figures.networks as networks
from bnnsim.commands.stored_files import load
from bnnsim.faults import (ArrayMapping, AsymmetricFlips, BitFlips, Clusters, Compose, FaultMap, LayerErrors, Protected,
                           SpareColumns, StuckAt, StuckLine, StuckLines)
from bnnsim.packed.network import PackedNetwork

MAP = ArrayMapping(16, 24)
DENSE, CONV = network_of("FC40 FC70 FC10", (1, 6, 6)), conv_network()
FAULTS = {"flips": BitFlips(0.1), "asymmetric": AsymmetricFlips(0.3, 0.1), "stuck": StuckAt(0.2, 0.3),
          "lines": StuckLines(MAP, "column", 0.1, 0.2), "clusters": Clusters(MAP, 0.01, 2),
          "composed": Compose([AsymmetricFlips(0.1, 0.3), StuckAt(0.1, 0.1), StuckLine(MAP, "row", 3, 2, 1)])}


def chip_of(name="composed", network=DENSE, trial=0):
    return FaultMap.record(FAULTS[name], network, 7, trial, mapping=MAP)


# ---------------------------------------------------------------- what a map does

@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("network", [DENSE, CONV], ids=["dense", "conv"])
def test_a_map_does_what_the_fault_did_on_any_network_of_its_shape(name, network, tmp_path):
    """From the file too, bit for bit, on other weights than those it was recorded with."""
    spec, shape = ("FC40 FC70 FC10", (1, 6, 6)) if network is DENSE else ("C70 MP2 C9 FC20 FC3", (3, 4, 4))
    other = network_of(spec, shape, seed=11)
    chip = chip_of(name, network, trial=2)
    chip.save(tmp_path / "chip.h5")
    kept = FaultMap.load(tmp_path / "chip.h5")
    assert kept == chip and hash(kept) == hash(chip) and kept.metadata == chip.metadata and kept.mapping == MAP
    for one in (network, other):
        expected = FAULTS[name].apply(one, 7, 2)
        assert not same(expected, one)
        assert same(chip.apply(one), expected) and same(kept.apply(one, rng=99, trial=5), expected)


def test_a_map_says_where_it_came_from():
    chip = FaultMap.record(BitFlips(0.1), DENSE, 7, 3)
    assert chip.metadata == {"fault": "BitFlips(p=0.1, layers=None)", "seed": "7", "trial": "3"}
    assert chip.mapping is None and chip.when == "permanent"
    assert FaultMap.record(FAULTS["lines"], DENSE, 7).mapping == MAP
    assert repr(chip).startswith(f"<FaultMap {chip.checksum[:16]}: ") and f"of {DENSE.n_bits:,} cells" in repr(chip)


def test_faults_and_maps_travel_to_other_processes():
    """Workers of a sweep get them pickled."""
    for fault in (*FAULTS.values(), Protected(chip_of()), SpareColumns(FAULTS["lines"], MAP)):
        came = pickle.loads(pickle.dumps(fault))
        assert repr(came) == repr(fault) and came == fault
    assert same(pickle.loads(pickle.dumps(chip_of())).apply(DENSE), chip_of().apply(DENSE))


def test_a_map_without_errors_is_the_same_network():
    assert FaultMap.record(BitFlips(0), DENSE).apply(DENSE) is DENSE


def test_a_map_of_5_8_million_weights_is_small():
    """Two bits a cell: under 50 MB, and under 2."""
    chip = FaultMap([LayerErrors(n_in, *np.zeros((2, units, -(-n_in // 64)), np.uint64))
                     for units, n_in in ((2048, 784), (2048, 2048), (10, 2048))])
    assert chip.n_bits == 5_820_416
    assert sum(mask.nbytes for layer in chip.layers for mask in (layer.f01, layer.f10)) < 2e6


# ---------------------------------------------------------------- joining

def errors_of(chip, network):
    return flips(network, chip.apply(network))


@given(st.sampled_from(sorted(FAULTS)), st.sampled_from(sorted(FAULTS)), st.integers(0, 3))
def test_union_difference_and_intersection(a, b, seed):
    """On any stored bits: an error of the union is one of either, of the difference one of the first alone."""
    first, second = chip_of(a), FaultMap.record(FAULTS[b], DENSE, 8, seed)
    network = network_of("FC40 FC70 FC10", (1, 6, 6), seed=seed)
    for joined, rule in ((first | second, np.bitwise_or), (first & second, np.bitwise_and),
                         (first - second, lambda x, y: x & ~y)):
        ref = [rule(x, y) for x, y in zip(errors_of(first, network), errors_of(second, network))]
        for mask, expected in zip(errors_of(joined, network), ref):
            np.testing.assert_array_equal(mask, expected)
        assert joined.mapping == MAP
    bare = FaultMap(chip_of().layers)
    assert (bare | chip_of()).mapping == (chip_of() | bare).mapping == MAP, "that of the one that has one"
    assert (first - first).counts().sum() == 0 and (first | first) == first == (first & first)
    assert (first - second) | (first & second) == first


# ---------------------------------------------------------------- counting

def test_counts_are_those_of_the_cells():
    """By layer, by array, by row and column: each counted from the cells one by one."""
    for network in (DENSE, CONV):
        chip = chip_of("composed", network)
        by_array, first = chip.counts("array"), MAP.first_arrays(network)
        for i, layer in enumerate(network.layers):
            zeros, ones = (weights(dataclasses.replace(layer, words=mask)) for mask in
                           (chip.layers[i].f01, chip.layers[i].f10))
            ref = [(zeros & ones).sum(), (ones & ~zeros).sum(), (zeros & ~ones).sum()]
            np.testing.assert_array_equal(chip.counts()[i], ref)
            np.testing.assert_array_equal(by_array[first[i]:first[i + 1]].sum(axis=0), ref)
        for array in range(first[-1]):
            cells = chip.array(array)
            layer, unit, weight = MAP.weight(network, array, *np.indices(cells.shape))
            i = int(layer[0, 0])
            zeros, ones = (weights(dataclasses.replace(network.layers[i], words=mask))[unit, weight]
                           for mask in (chip.layers[i].f01, chip.layers[i].f10))
            np.testing.assert_array_equal(cells, np.where(zeros & ones, 1, np.where(ones, 2, np.where(zeros, 3, 0))))
            for per, axis in (("row", 1), ("column", 0)):
                ref = np.stack([(cells == kind).sum(axis=axis) for kind in (1, 2, 3)], axis=1)
                np.testing.assert_array_equal(chip.line_counts(array, per), ref)
                np.testing.assert_array_equal(ref.sum(axis=0), by_array[array])


def test_a_picture_of_an_array(tmp_path):
    """Colours are where the cells are broken; the title counts them."""
    for mapping in (MAP, ArrayMapping(40, 700, "columns")):
        chip = FaultMap.record(FAULTS["composed"], network_of("FC700 FC10", (1, 6, 6)), 1, mapping=mapping)
        cells = chip.array(0)
        figure = networks.array_map(chip, 0, tmp_path / "array.png")
        image = figure.axes[0].images[0].get_array()
        np.testing.assert_array_equal(image, cells[:600, :600])
        assert f"{np.count_nonzero(cells):,} broken" in figure.axes[0].get_title()
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert labels == [f"{kind} ({(cells == k).sum():,})" for k, kind in
                          enumerate(("flipped", "stuck at 0", "stuck at 1"), 1)]
        assert (tmp_path / "array.png").stat().st_size > 1000


# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize("call, error, message", [
    (lambda: chip_of().apply(CONV), ValueError, "of a network with 3 layers, the network has 4"),
    (lambda: chip_of().apply(network_of("FC40 FC71 FC10", (1, 6, 6))), ValueError,
     "another network: its layer 1 has 70 units of 40 weights, that of the network 71 units of 40 weights"),
    (lambda: chip_of("flips", CONV).apply(network_of("C70 MP2 C9 FC20 FC3", (2, 4, 4))), ValueError,
     "70 units of 3 channels, taps 3 x 3, that of the network 70 units of 2 channels"),
    (lambda: chip_of().apply(3), TypeError, "network must be a PackedNetwork"),
    (lambda: chip_of() | chip_of("flips", CONV), ValueError, "3 layers, the other map has 4"),
    (lambda: chip_of() | FaultMap.record(BitFlips(0.1), DENSE, mapping=ArrayMapping(3, 3)), ValueError, "one mapping"),
    (lambda: chip_of() | 3, TypeError, "unsupported operand"),
    (lambda: chip_of().at(0.1), ValueError, "one chip and has no rate .* Compose"),
    (lambda: chip_of().counts("row"), ValueError, "per must be one of 'layer', 'array'"),
    (lambda: chip_of().line_counts(0, "cell"), ValueError, "per must be one of 'row', 'column'"),
    (lambda: chip_of().array(10**6), ValueError, "array must be in"),
    (lambda: FaultMap.record(BitFlips(0.1), DENSE).array(0), ValueError, "no mapping to arrays: give one"),
    (lambda: FaultMap.record(BitFlips(0.1), DENSE, 0, -1), ValueError, "trial must be >= 0"),
    (lambda: FaultMap([]), ValueError, "the number of layers of a fault map must be in"),
    (lambda: FaultMap([LayerErrors(65, np.zeros((2, 1), np.uint64), np.zeros((2, 1), np.uint64))]), ValueError,
     r"layers\[0\] f01 must have shape \(units, 2\)"),
    (lambda: FaultMap([LayerErrors(3, np.zeros((2, 1), np.uint64), np.zeros((3, 1), np.uint64))]), ValueError,
     r"layers\[0\] f10 must have shape .* that of f01"),
    (lambda: FaultMap([LayerErrors(3, np.zeros((2, 1), np.int64), np.zeros((2, 1), np.uint64))]), TypeError,
     "f01 must have dtype uint64"),
    (lambda: FaultMap([LayerErrors(3, np.full((2, 1), 8, np.uint64), np.zeros((2, 1), np.uint64))]), ValueError,
     "f01 must have 0 in every padding bit"),
    (lambda: FaultMap(chip_of().layers, (3, 4)), TypeError, "mapping must be a bnnsim.faults.ArrayMapping"),
    (lambda: FaultMap(chip_of().layers, MAP, {"seed": 3}), TypeError, "metadata must be a dict of str to str"),
    (lambda: networks.array_map(FaultMap.record(BitFlips(0.1), DENSE), 0), ValueError, "no mapping"),
])
def test_bad_maps(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_map_cannot_be_written_to():
    """It is what its checksum says."""
    with pytest.raises(ValueError, match="read-only"):
        chip_of().layers[0].f01[0, 0] = 1
    mask = np.zeros((2, 1), np.uint64)
    chip = FaultMap([LayerErrors(9, mask, mask)])
    mask[0] = 1
    assert not chip.layers[0].f01.any() and not chip.layers[0].f10.any()


# ---------------------------------------------------------------- files

@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "chip.h5"
    chip_of().save(path)
    return path


@pytest.fixture
def copy(good, tmp_path):
    return shutil.copy(good, tmp_path / "chip.h5")


def test_files_are_told_apart(copy, tmp_path):
    assert isinstance(load(copy), FaultMap)
    with pytest.raises(ValueError, match="wanted a 'bnnsim-network' file, but this is a fault map: open it"):
        PackedNetwork.load(copy)
    DENSE.save(tmp_path / "net.h5")
    with pytest.raises(ValueError, match="wanted a 'bnnsim-faults' file, but this is a packed network"):
        FaultMap.load(tmp_path / "net.h5")


def test_the_same_map_gives_the_same_arrays_whatever_was_there(copy):
    """Written whole over an older one; a map without a mapping stays one."""
    chip = FaultMap.record(BitFlips(0.3), CONV, 5)
    chip.save(copy)
    kept = FaultMap.load(copy)
    assert kept == chip and kept.mapping is None and [layer.n_in for layer in kept.layers] == [3, 70, 36, 20]
    assert FaultMap(chip.layers, MAP) != chip != FaultMap.record(BitFlips(0.3), CONV, 6)


@pytest.mark.parametrize("seed", range(3))
def test_damage_is_noticed_or_harmless(copy, seed):
    """Cut off, or with a bit flipped anywhere: one ValueError with the path, or the very map."""
    rng, whole, wanted = np.random.default_rng(seed), copy.read_bytes(), chip_of()
    n_noticed = 0
    for position in rng.integers(0, 8 * len(whole), 100):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        if position % 5 == 0:
            damaged = damaged[:position // 8]
        copy.write_bytes(damaged)
        try:
            assert FaultMap.load(copy) == wanted
        except ValueError as error:
            assert str(copy) in str(error)
            n_noticed += 1
    assert n_noticed > 40


def attribute(where, name, value):
    def change(file):
        if name in file[where].attrs:
            del file[where].attrs[name]
        if value is not None:
            file[where].attrs.create(name, value)
    return change


def dataset(name, **arguments):
    return lambda file: replace_dataset(file, name, **arguments)


def of_type(name, dtype, layout=h5py.h5d.CONTIGUOUS):
    return lambda file: low_level_dataset(file, name, h5py.h5t.py_create(np.dtype(dtype)),
                                          file[name][...].astype(dtype), layout)


def link(name, target):
    def change(file):
        del file[name]
        file[name] = target
    return change


def padding_bit(file):
    file["layer0/f10"][0, 0] |= np.uint64(1 << 40)


def other_bit(file):
    file["layer1/f01"][3, 0] ^= np.uint64(1)


def one_layer_many_times(file):
    for i in range(3, 300):
        file[f"layer{i}"] = file["layer0"]
    file.attrs["n_layers"] = np.int64(300)


F01 = "layer0/f01"
HOSTILE = {
    "later version": (attribute("/", "format_version", np.int64(2)), "format_version must be 1.*upgrade"),
    "no layers": (attribute("/", "n_layers", np.int64(0)), "n_layers must be in"),
    "many layers": (attribute("/", "n_layers", np.int64(2**60)), "n_layers must be in"),
    "fewer layers": (attribute("/", "n_layers", np.int64(2)), "unknown: 'layer2'"),
    "one layer 300 times": (one_layer_many_times, "got several names for one thing"),
    "rows": (attribute("/", "rows", np.int64(0)), r"rows must be in \[1, 65536\], got 0"),
    "huge rows": (attribute("/", "rows", np.int64(2**40)), "rows must be in"),
    "columns": (attribute("/", "columns", np.int64(-3)), "columns must be in"),
    "units": (attribute("/", "units_on", np.bytes_("diagonals")), "units_on must be one of"),
    "another mapping": (attribute("/", "rows", np.int64(17)), "does not have the checksum"),
    "no mapping but rows": (attribute("/", "units_on", np.bytes_("none")), "units_on must be one of"),
    "extra attribute": (attribute("layer0", "note", np.int64(3)), "exactly the attributes"),
    "n_in": (attribute("layer0", "n_in", np.int64(37)), "checksum|padding"),
    "n_in of another width": (attribute("layer0", "n_in", np.int64(65)), r"f01 must have shape \(units, 2\)"),
    "n_in negative": (attribute("layer0", "n_in", np.int64(-1)), r"layers\[0\] n_in must be in"),
    "n_in float": (attribute("layer0", "n_in", np.float64(36)), "wanted int64"),
    "extra dataset": (lambda file: file.create_dataset("layer0/f11", data=np.zeros(3)), "unknown: 'f11'"),
    "missing dataset": (lambda file: file.pop("layer0/f10"), "missing: f10"),
    "huge, not stored": (dataset(F01, shape=(2**45, 1), dtype="u8"), "announces .* but 0 are stored"),
    "chunked": (dataset(F01, shape=(40, 1), dtype="u8", chunks=(8, 1)), "contiguous and uncompressed"),
    "compressed": (dataset(F01, data=np.zeros((40, 1), np.uint64), compression="gzip"), "contiguous and uncompressed"),
    "shapes differ": (dataset(F01, data=np.zeros((41, 1), np.uint64)), "f10 must have shape .* that of f01"),
    "three axes": (dataset(F01, data=np.zeros((40, 1, 1), np.uint64)), "f01 must have shape"),
    "empty": (dataset(F01, data=np.zeros((0, 1), np.uint64)), "f01 must have shape|f01"),
    "signed": (of_type(F01, "i8"), "dtype uint64, got int64|must have dtype"),
    "big-endian": (of_type(F01, ">u8"), "got another type"),
    "soft link": (link(F01, h5py.SoftLink("/layer0/f10")), "soft or an external link"),
    "external link": (link(F01, h5py.ExternalLink("x.h5", "/f")), "soft or an external link"),
    "padding": (padding_bit, r"layers\[0\] f10 must have 0 in every padding bit"),
    "other bit": (other_bit, "the fault map does not have the checksum"),
    "metadata": (dataset("metadata", data=np.bytes_('{"a":"b"}')), "the metadata does not have the checksum"),
    "metadata bomb": (dataset("metadata", data=np.bytes_("x" * 2**21)), "at most"),
}


@pytest.mark.parametrize("row", HOSTILE)
def test_hostile_files_are_refused(copy, row):
    change, message = HOSTILE[row]
    with h5py.File(copy, "r+", libver="v110") as file:
        change(file)
    with pytest.raises(ValueError, match=message) as caught:
        FaultMap.load(copy)
    assert str(copy) in str(caught.value)


def test_metadata_of_numbers_is_refused(copy):
    text = '{"a":3}'
    with h5py.File(copy, "r+", libver="v110") as file:
        replace_dataset(file, "metadata", data=np.bytes_(text))
        file.attrs["metadata_checksum"] = np.bytes_(hashlib.sha256(text.encode()).hexdigest())
    with pytest.raises(ValueError, match="metadata must be a JSON object of strings"):
        FaultMap.load(copy)


def test_a_map_of_huge_arrays_takes_no_memory(tmp_path):
    """A stranger's mapping of 65536 x 65536 cells must not be allocated for a small network."""
    chip = FaultMap.record(BitFlips(0.2), DENSE, mapping=ArrayMapping(65536, 65536))
    chip.save(tmp_path / "chip.h5")
    kept = FaultMap.load(tmp_path / "chip.h5")
    assert kept.array(0).shape == (40, 36) and len(kept.counts("array")) == 3
    assert count(kept.mapping.arrays(DENSE.layers[0])) == count(DENSE.layers[0].words)
    for per in ("row", "column"):
        assert kept.line_counts(1, per).sum() == kept.counts()[1].sum()
