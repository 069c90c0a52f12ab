"""Commands on a file of a graph: each does its work, or says in one line that it is a graph and what can be done."""

import json

import pytest
import small_graphs

import bnnsim
import bnnsim.ber_sweep as ber_sweep
import bnnsim.certify as certify
import bnnsim.device_sweep as device_sweep
import bnnsim.evaluate as evaluate
import bnnsim.explain as explain
import bnnsim.plot as plot
from bnnsim.faults import ArrayMapping, BitFlips, FaultMap


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_graphs.packed().save("g.h5")
    return tmp_path


def test_evaluate(here, capsys):
    assert evaluate.main(["g.h5", "--confusion", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "g" in json.dumps(found)
    assert evaluate.main(["g.h5", "--fault", "RealBits(0.01, ['real-conv'], ['weight'])"]) == 0
    assert "RealBits" in capsys.readouterr().out


def test_sweeps_by_layer_and_their_figures(here, capsys):
    assert ber_sweep.main(["g.h5", "--rates", "0.1", "--layers", "0", "--layers", "2,3", "--trials", "2", "--out",
                           "s.h5", "--quiet"]) == 0
    assert "g, layers 2,3" in capsys.readouterr().out
    for i, words in enumerate(([], ["--kind", "classes", "--network", "g, layers 0"],
                               ["--kind", "chips", "--rate", "0.1"])):
        assert plot.main(["s.h5", "--out", f"{i}.png", *words]) == 0
    assert ber_sweep.main(["g.h5", "--fault", "RealBits(0, ['affine'])", "--rates", "0.1", "--trials", "2",
                           "--quiet"]) == 0


def test_a_memory_technology(here, capsys):
    assert device_sweep.main(["teaching", "--networks", "g.h5", "--trials", "2", "--axis", "cycles", "--values", "1e6",
                              "--cell", "1T1R", "--at", "condition=weak", "--quiet"]) == 0
    assert "1T1R" in capsys.readouterr().out


def test_fault_maps_and_their_arrays(here, capsys):
    graph, mapping = small_graphs.packed(), ArrayMapping(16, 64)
    chip = FaultMap.record(BitFlips(0.05), graph, 0, 0, mapping)
    chip.save("chip.h5")
    assert chip.apply(graph).checksum == BitFlips(0.05).apply(graph, 0, 0).checksum
    assert chip.counts("array").shape[0] == mapping.n_arrays(graph) == graph.sizes(mapping)[-1].arrays
    assert plot.main(["chip.h5", "--array", "2", "--out", "array.png"]) == 0


@pytest.mark.parametrize("main, words, said", [
    (certify.main, ["g.h5"], "got a PackedGraph: this is defined for layers each of which reads the one before alone"),
    (explain.main, ["g.h5", "--what", "importance"], "g is a graph, and these are defined for layers in a row"),
    (ber_sweep.main, ["g.h5", "--layers", "9", "--quiet", "--rates", "0.1"], "layers must be in 0..3"),
    (evaluate.main, ["g.h5", "--fault", "RealBits(0.1, [4])"], "by number or by word, got 4")])
def test_what_is_refused_is_said_in_one_line(here, capsys, main, words, said):
    with pytest.raises(SystemExit) as ended:
        main(words)
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert ended.value.code == 2 and len(errors) == 1 and said in errors[0]


def test_critical_bits_of_a_layer(here, capsys, monkeypatch):
    few = bnnsim.load_embedded()[1][:30]
    monkeypatch.setattr("bnnsim.commands.inputs.load_test", lambda *args, **more: few)
    assert explain.main(["g.h5", "--what", "critical", "--layer", "0"]) == 0
    assert "layer 0, 36 bits, each flipped alone" in capsys.readouterr().out
