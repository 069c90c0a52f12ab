"""The chip tester's table, there and back: bits and faults by layer, unit, tap, feature and by array, row, column."""

import csv

import foreign_mutations
import numpy as np
import pytest

import bnnsim
from bnnsim.faults import ArrayMapping, BitFlips, Compose, FaultMap, StuckAt
from bnnsim.interop import read_cells

NETWORK = bnnsim.pack(bnnsim.architectures.build("C10k3x2 MP2 C70 FC20 FC4", (2, 5, 6), rng=3))
MAPPINGS = [ArrayMapping(16, 24), ArrayMapping(7, 65, "columns"), ArrayMapping(500, 1000),
            ArrayMapping(64, 3, "columns")]
HEAD = "# cells of 16 x 24 arrays, units on rows\n"
FAULT = Compose([StuckAt(0.02, 0.03), BitFlips(0.05)])


def same(network, other):
    return all(np.array_equal(a.words, b.words) for a, b in zip(network.layers, other.layers))


def lines_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def emptied(network):
    """The same with all bits 0."""
    return network.with_words({i: np.zeros_like(layer.words) for i, layer in enumerate(network.layers)})


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_bits_and_faults_come_back(tmp_path, mapping):
    chip = FaultMap.record(FAULT, NETWORK, rng=1, mapping=mapping)
    bnnsim.export_network(NETWORK, tmp_path / "x.csv", faults=chip)
    for told in (None, mapping):
        back = read_cells(tmp_path / "x.csv", emptied(NETWORK), told)
        assert same(back.memory, NETWORK) and back.faults == chip and back.mapping == mapping
    assert read_cells(tmp_path / "x.csv", chip.memory).faults == chip
    lines = lines_of(tmp_path / "x.csv")
    assert len(lines) == NETWORK.n_bits and len({tuple(line.values())[4:7] for line in lines}) == len(lines)


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_lines_are_what_they_say(tmp_path, mapping):
    """Each against the weight as NumPy has it, and the address that ArrayMapping gives, in the order of arrays."""
    chip = FaultMap.record(FAULT, NETWORK, rng=1)
    bnnsim.export_network(NETWORK, tmp_path / "x.csv", mapping=mapping, faults=chip)
    assert read_cells(tmp_path / "x.csv", NETWORK).faults == chip              # which has no mapping
    lines = [[int(value) for value in line.values()] for line in lines_of(tmp_path / "x.csv")]
    assert [line[4:7] for line in lines] == sorted(line[4:7] for line in lines)
    broken = chip.apply(NETWORK)
    for line in lines[::37]:
        i, unit, tap, feature, *cell, bit, fault = line
        layer = NETWORK.layers[i]
        row = layer.words.reshape(layer.units, -1, layer.words.shape[-1])[unit, tap]
        assert int(row[feature // 64]) >> feature % 64 & 1 == bit
        row = broken.layers[i].words.reshape(layer.units, -1, layer.words.shape[-1])[unit, tap]
        assert int(row[feature // 64]) >> feature % 64 & 1 == (bit, 1 - bit, 0, 1)[fault]
        assert [int(part) for part in mapping.address(NETWORK, i, unit, tap * layer.n_in + feature)] == cell


def test_features_of_a_group_are_its_own(tmp_path):
    """Each line against the array of weights (K, kh, kw, C / groups) that made the network; faults there and back."""
    rng = np.random.default_rng(1)
    weights = rng.choice([-1, 1], (6, 3, 2, 2)), rng.choice([-1, 1], (12, 2, 2, 1)), rng.choice([-1, 1], (3, 48))
    network = bnnsim.PackedNetwork.from_arrays(
        [{"weight": weights[0], "groups": 2, "threshold": np.zeros(6), "order": "HWC"},
         {"weight": weights[1], "groups": 6, "threshold": np.zeros(12), "order": "HWC"}, {"weight": weights[2]}],
        (4, 5, 4))
    mapping = ArrayMapping(5, 7, "columns")
    chip = FaultMap.record(FAULT, network, rng=1, mapping=mapping)
    bnnsim.export_network(network, tmp_path / "x.csv", faults=chip)
    back = read_cells(tmp_path / "x.csv", emptied(network))
    assert same(back.memory, network) and back.faults == chip
    lines = [[int(value) for value in line.values()] for line in lines_of(tmp_path / "x.csv")]
    assert len(lines) == network.n_bits == sum(weight.size for weight in weights)
    for i, unit, tap, feature, *cell, bit, _ in lines:
        row = weights[i].reshape(len(weights[i]), -1, weights[i].shape[-1])[unit, tap]
        assert (row[feature] > 0) == bit
        assert [int(part) for part in mapping.address(network, i, unit, tap * len(row) + feature)] == cell


def test_what_a_tester_reads_out(tmp_path):
    """array, row, column, bit, in any order of lines and columns; and layer, unit, tap, feature alone."""
    mapping, chip = MAPPINGS[0], FaultMap.record(FAULT, NETWORK, rng=2)
    broken = chip.apply(NETWORK)
    bnnsim.export_network(broken, tmp_path / "all.csv", mapping=mapping)
    lines = lines_of(tmp_path / "all.csv")
    np.random.default_rng(1).shuffle(lines)
    for names in (("bit", "column", "array", "row"), ("unit", "layer", "feature", "tap", "bit")):
        with open(tmp_path / "read.csv", "w", newline="", encoding="utf-8-sig") as file:        # as Excel does
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(lines)
        found = read_cells(tmp_path / "read.csv", NETWORK, mapping)
        assert same(found.memory, broken) and found.faults is None
        with pytest.raises(ValueError, match="does not tell the sizes of its arrays"):
            read_cells(tmp_path / "read.csv", NETWORK)


def test_cells_without_a_line_are_sound_and_keep_their_bits(tmp_path):
    (tmp_path / "x.csv").write_text(HEAD + "layer,unit,tap,feature,fault\n2,3,0,5,2\n0,9,5,1,3\n")
    found = read_cells(tmp_path / "x.csv", NETWORK)
    assert found.memory is NETWORK and found.faults.counts().tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    (tmp_path / "x.csv").write_text(HEAD + "layer,unit,tap,feature,bit\n")
    assert same(read_cells(tmp_path / "x.csv", NETWORK).memory, NETWORK)


@pytest.mark.parametrize("text, message", [
    ("", "first line must name columns: layer, unit, tap, feature, or array"),
    ("layer,unit,bit\n", "must name columns"),
    ("layer,unit,tap,feature\n", "and bit or fault"), ("layer,layer,unit,tap,feature,bit\n", "must name columns"),
    ("layer,unit,tap,feature,volt\n", "must name columns"),
    (HEAD + "layer,unit,tap,feature,bit\n0,0,0,0,2\n", r"bit must be in \[0, 1\], got 2 to 2"),
    (HEAD + "layer,unit,tap,feature,bit\n0,0,0,0,0.5\n", "could not convert"),
    (HEAD + "layer,unit,tap,feature,bit\n0,0,0,0,1\n1_0,0,0,0,1\n", "below the names of columns: .*'1_0'.* row 1"),
    (HEAD + "layer,unit,tap,feature,bit\n0,0,0,0\n", "lines of 5 numbers, got 1 of 4"),
    (HEAD + "layer,unit,tap,feature,fault\n0,0,0,0,4\n", r"fault must be in \[0, 3\]"),
    (HEAD + "layer,unit,tap,feature,bit\n0,0,6,0,1\n", r"tap of layer 0 must be in \[0, 5\], got 6"),
    (HEAD + "layer,unit,tap,feature,bit\n9,0,0,0,1\n", r"layer must be in \[0, 3\]"),
    (HEAD + "layer,unit,tap,feature,bit\n0,1,2,1,1\n0,1,2,1,1\n", "weight 5 of unit 1 in layer 0 has 2 lines"),
    (HEAD + "array,row,column,bit\n0,15,0,1\n", "array 0 holds no weight at row 15, column 0"),
    (HEAD + "array,row,column,bit\n999,0,0,1\n", r"array must be in \[0, .*\], got 999"),
    (HEAD + "layer,unit,tap,feature,array,row,column,bit\n0,0,0,1,0,0,0,1\n", "two weights: its cell holds number 0"),
    (HEAD + "layer,unit,tap,feature,bit\n" + "0,0,0,0,1\n" * (NETWORK.n_bits + 1), "wanted at most")])
def test_lines_that_are_none(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_cells(tmp_path / "x.csv", NETWORK)


def test_two_mappings(tmp_path):
    chip = FaultMap.record(FAULT, NETWORK, rng=1, mapping=MAPPINGS[0])
    with pytest.raises(ValueError, match="they must be one"):
        bnnsim.export_network(NETWORK, tmp_path / "x.csv", mapping=MAPPINGS[1], faults=chip)
    bnnsim.export_network(NETWORK, tmp_path / "x.csv")
    assert read_cells(tmp_path / "x.csv", NETWORK).mapping == ArrayMapping(64, 64)
    with pytest.raises(ValueError, match="has ArrayMapping.*got ArrayMapping"):
        read_cells(tmp_path / "x.csv", NETWORK, MAPPINGS[0])
    other = bnnsim.pack(bnnsim.architectures.build("FC4", (2, 5, 6), rng=3))
    with pytest.raises(ValueError, match="the fault map is of a network with 4 layers"):
        bnnsim.export_network(other, tmp_path / "x.csv", faults=chip)


def test_200_changed_tables(tmp_path):
    """Refused, or read; nothing else."""
    rng, ended = np.random.default_rng(2), []
    small = bnnsim.pack(bnnsim.architectures.build("FC5 FC3", (1, 2, 3), rng=0))
    chip = FaultMap.record(FAULT, small, rng=1)
    bnnsim.export_network(small, tmp_path / "good.csv", mapping=MAPPINGS[0], faults=chip)
    content = (tmp_path / "good.csv").read_bytes()
    for i in range(200):
        (tmp_path / "x.csv").write_bytes(foreign_mutations.mutated(content, rng))
        try:
            read_cells(tmp_path / "x.csv", small)
            ended.append("read")
        except ValueError as error:
            ended.append(str(error).replace(str(tmp_path / "x.csv"), "")[:20])
    assert "read" in ended and len(set(ended)) > 8
