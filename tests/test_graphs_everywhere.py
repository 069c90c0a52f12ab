"""Everything public that takes a network, given one with branches: right, or refused by an error that names graphs."""

import importlib
import inspect

import graph_models
import numpy as np
import pytest
import random_graphs
from training_run import small_split

import bnnsim
import bnnsim.campaign as campaign
import bnnsim.certify as certify
import bnnsim.devices as devices
import bnnsim.faults as faults
import bnnsim.metrics as metrics
import bnnsim.packed as packed
import bnnsim.proofs as proofs
import bnnsim.training as training
from bnnsim.packed.memory import of_model
from bnnsim.packed.network_file import load_network

PACKAGES = "campaign metrics proofs interop faults packed training devices figures".split()
TAKES = {"network", "networks", "model"}
NOT_ASKED = {"Evaluation.__init__", "Imported.__init__", "DeviceFit.__init__",         # records of what was made of one
             "Protected.memory", "SpareColumns.memory", "Remapped.memory", "PairDevices.memory",      # asked by apply
             "ProgressiveFlips.__init__",                                              # a record, too
             "sweep_measurements",                                                     # by sweep_card
             "devices.fit"}                                                            # another sort of model
MODEL, SPLIT = graph_models.dense_blocks(), small_split(40)
GRAPH, IMAGES = bnnsim.pack(MODEL), SPLIT.images
N_BITS = sum(layer.n_bits for layer in MODEL.weighted)
ANSWERED = bnnsim.Split(IMAGES, GRAPH.predict(IMAGES), "as it says", GRAPH.n_classes)
CARD, BITS = devices.load_card("hfo2_2t2r"), faults.BitFlips(0.1)
ARRAYS, STUCK = faults.ArrayMapping(16, 16), faults.StuckAt(0.1, 0.2)


def public():
    """'name' or 'Class.method' of what has such a parameter, in all packages."""
    for package in PACKAGES:
        module = importlib.import_module(f"bnnsim.{package}")
        for name in module.__all__:
            what = getattr(module, name)
            rows = [(name, what)] if inspect.isfunction(what) else [
                (f"{name}.{key}", getattr(value, "__func__", value)) for key, value in vars(what).items()
                if key == "__init__" or not key.startswith("_")] if inspect.isclass(what) else []
            for full, function in rows:
                if inspect.isfunction(function) and TAKES & set(inspect.signature(function).parameters):
                    yield full if (name, package) != ("fit", "devices") else "devices.fit"


def broken_twin(fault, trial=0):
    """Scores of a graph whose layers' words are those that the fault leaves of plain stored bits."""
    words = {i: layer.words for i, layer in enumerate(fault.apply(of_model(MODEL), 3, trial).layers)}
    return GRAPH.with_words(words).scores(IMAGES)


def broken_answers():
    """Which images each of two chips, 0 and 1, has otherwise than without errors."""
    return np.stack([BITS.apply(GRAPH, 3, trial).predict(IMAGES) != ANSWERED.labels for trial in (0, 1)])


# name: (what it gives, what that must be); for some what takes long or a folder, the tests of that package
WORKS = {
    "pack": (lambda: bnnsim.pack(MODEL).scores(IMAGES), lambda: MODEL.scores(IMAGES)),
    "checksum": (lambda: packed.checksum(GRAPH._fields()), lambda: GRAPH.checksum),
    "n_devices": (lambda: devices.n_devices(GRAPH), lambda: 2 * N_BITS),
    "programming_energy_joule": (lambda: devices.programming_energy_joule(GRAPH, 2.0), lambda: 2.0 * N_BITS),
    "read_energy_joule": (lambda: devices.read_energy_joule(GRAPH, 3.0), lambda: 3.0 * N_BITS),
    "DeviceCard.n_devices": (lambda: CARD.n_devices(GRAPH, "2T2R"), lambda: 2 * N_BITS),
    "Protected.cost": (lambda: faults.Protected(BITS, "secded(72,64)").cost(GRAPH).n_bits, lambda: N_BITS),
    "SpareColumns.cost": (lambda: faults.SpareColumns(BITS, ARRAYS, 1).cost(GRAPH).n_bits, lambda: N_BITS),
    "ensemble": (lambda: metrics.ensemble(GRAPH, SPLIT, faults.EachRead(BITS), 3, 5).scores[2],
                 lambda: faults.EachRead(BITS).apply(GRAPH, 5, 0, 2).scores(IMAGES)),
    "rare_failures": (lambda: campaign.rare_failures(GRAPH, SPLIT, faults.BitFlips(0.5), 1.0, 4, 2, 0).share.share,
                      lambda: 1.0),
    "RefreshSchedule.cost": (lambda: devices.RefreshSchedule(2, 6).cost(GRAPH, faults.ReadDisturb(9, 9), 5.0, 0, 1)[2],
                             lambda: 3 * 5.0 * N_BITS),
    "Remapped.cost": (lambda: faults.Remapped(STUCK).cost(GRAPH).n_cells, lambda: N_BITS),
    "FaultMap.record": (lambda: faults.FaultMap.record(BITS, GRAPH, 3).apply(GRAPH).scores(IMAGES),
                        lambda: BITS.apply(GRAPH, 3).scores(IMAGES)),
    "hard_images": (lambda: metrics.hard_images(GRAPH, ANSWERED, BITS, 2, rng=3).failures, broken_answers),
    "sweep": (lambda: bnnsim.sweep(GRAPH, SPLIT, [0.1], 2, 3, predictions=True, progress=False).predictions[0, 0, 1],
              lambda: BITS.apply(GRAPH, 3, 1).predict(IMAGES))}
FAULTS = (BITS, STUCK, faults.AsymmetricFlips(0.1, 0.2), faults.Clusters(ARRAYS, 0.1),
          faults.StuckLines(ARRAYS, "row", 0.1, 0.1), faults.EachRead(BITS), faults.Protected(BITS, "secded(72,64)"),
          faults.SpareColumns(BITS, ARRAYS, 1), faults.ArrayVariation(BITS, ARRAYS, 0.1, 1.0),
          faults.Remapped(STUCK, permute="units", n_spare=2), faults.ReadDisturb(10, 20, reads=3),
          devices.WornOut([np.full(layer.parameters["weight"].shape, 9) for layer in MODEL.weighted],
                          weibull=devices.Weibull(20, 1.0)),
          faults.Compose([BITS, faults.StuckAt(0.01, 0.02)]), faults.BitFlips(0.3, layers=(1, 4)))
ELSEWHERE = {"with_ternary_weights": "tests/training/test_ternary_layers.py",
             "with_read_errors": "refused: tests/training/test_read_errors_in_training.py",
             "fit": "tests/training/test_graph_training.py", "reestimate_batch_norm": "the same",
             "sweep_card": "below, as sweep", "DeviceCard.energy_joule": "energies above, times the card's",
             "DeviceCard.read_energy_joule": "energies above, times the card's",
             "save_network": "below", "export_network": "tests/interop", "fault_map": "tests/figures",
             "first_layer_weights": "tests/figures", "network_graph": "tests/figures",
             "take_real_weights": "tests/training", "with_real_weights": "tests/training",
             "bit_error_tolerance": "tests/metrics/test_graph_metrics.py", "margins": "the same",
             "critical_bits": "the same", "compare_sums": "tests/interop",
             "rare_yields": "tests/campaign/test_chip_yields.py: it asks a network for its bits alone",
             "InThresholds.n_bits": "tests/faults/test_stored_numbers.py", "InThresholds.stages": "the same",
             "layer_failures": "tests/campaign/test_chip_yields.py: it breaks a network's bits alone",
             "AnalogColumns.reading": "refused: tests/faults/test_analog_columns.py",
             "AnalogColumns.rates_when_read": "the same",
             "InOutput.n_bits": "the same", "InOutput.stages": "the same"}

# name: calls that are refused
REFUSED = {
    "importance": [lambda n, m=m: metrics.importance(n, SPLIT, m) for m in ("ablate", "readout", "taylor")],
    "predicted_accuracy": [lambda n: metrics.predicted_accuracy(n, SPLIT, [0.1])],
    "real_thresholds": [lambda n: metrics.real_thresholds(n)],
    "breaking_flips": [lambda n: proofs.breaking_flips(n, IMAGES, 0)],
    "certified_flips": [lambda n: proofs.certified_flips(n, IMAGES)],
    "progressive_flips": [lambda n: proofs.progressive_flips(n, SPLIT)],
    "rescale_thresholds": [lambda n: training.rescale_thresholds(n, 0.0, 0.1)],
    "unpack": [lambda n: training.unpack(n, SPLIT)],
    "CleanPass.__init__": [lambda n: packed.CleanPass(n, IMAGES)]}


def test_the_table_has_everything_public():
    found = set(public()) - NOT_ASKED
    assert found == (set(WORKS) | set(ELSEWHERE) | set(REFUSED)) & found, "give the new one a row"


@pytest.mark.parametrize("name", WORKS)
def test_what_works_is_right(name):
    came, wanted = WORKS[name]
    np.testing.assert_array_equal(came(), wanted())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_does_to_a_graph_what_it_does_to_its_memory(fault):
    assert (fault.apply(GRAPH, 3).scores(IMAGES) != GRAPH.scores(IMAGES)).any()
    for trial in (0, 1):
        np.testing.assert_array_equal(fault.apply(GRAPH, 3, trial).scores(IMAGES), broken_twin(fault, trial))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("given", [GRAPH, MODEL], ids=["packed", "model"])
def test_what_is_not_defined_is_refused_by_name(name, given):
    for call in REFUSED[name]:
        with pytest.raises((TypeError, ValueError), match="Graph") as caught:
            call(given)
        assert "object" not in str(caught.value) and len(str(caught.value)) > 40


@pytest.mark.parametrize("call", [lambda: bnnsim.sweep(MODEL, SPLIT, [0.1]), lambda: BITS.apply(MODEL, 1),
                                  lambda: bnnsim.pack(GRAPH), lambda: bnnsim.fit(GRAPH, SPLIT, 1),
                                  lambda: bnnsim.reestimate_batch_norm(GRAPH, SPLIT), lambda: GRAPH.run(0, IMAGES)])
def test_a_model_is_no_memory_and_a_memory_no_model(call):
    with pytest.raises(TypeError, match="raph"):
        call()


@pytest.mark.parametrize("method", ["ablate", "taylor"])
def test_a_chain_that_was_built_as_a_graph_is_a_graph(method):
    """Nothing is taken for a chain by chance."""
    chain = training.architectures.build("FC9 FC10", (1, 6, 6), rng=0)
    graph = training.Graph([training.Wired(layer, (i - 1,)) for i, layer in enumerate(chain.layers)], (1, 6, 6))
    assert metrics.importance(chain, SPLIT, method).layers
    with pytest.raises(TypeError, match="Graph"):
        metrics.importance(graph, SPLIT, method)


def test_plain_data_of_a_graph_is_saved_and_read(tmp_path):
    packed.save_network(tmp_path / "g.h5", GRAPH._fields())
    assert packed.checksum(load_network(tmp_path / "g.h5")) == GRAPH.checksum
    with pytest.raises(TypeError, match="got PackedGraph"):
        packed.save_network(tmp_path / "h.h5", GRAPH)


def test_a_card_breaks_a_graph_as_it_does_its_memory():
    fault = CARD.fault(condition="ultra-low power")
    np.testing.assert_array_equal(fault.apply(GRAPH, 3).scores(IMAGES), broken_twin(fault))


def test_a_card_is_swept_on_a_graph():
    swept = bnnsim.sweep_card(CARD, GRAPH, SPLIT, "condition", trials=3, rng=3, predictions=True, progress=False)
    place = swept.result.settings["axis"] if "axis" in swept.result.settings else "condition"
    fault = CARD.fault(condition="ultra-low power")
    found = [fault.apply(GRAPH, 3, trial).predict(IMAGES) for trial in range(3)]
    assert place and any((swept.result.predictions[0, r] == found).all() for r in range(len(swept.result.rates)))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A graph for images of 28 x 28."""
    path = tmp_path_factory.mktemp("graph") / "g.h5"
    random_graphs.for_fashion().save(path)
    return str(path)


def test_certificates_say_that_they_are_not_for_graphs(file, capsys):
    with pytest.raises(SystemExit) as ended:
        certify.main([file, "--dataset", "fashion-subset", "--limit", "5"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and "got a PackedGraph" in error and "bnnsim.sweep" in error
