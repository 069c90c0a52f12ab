"""What notebooks show: small, escaped, whole HTML that fetches nothing."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import bnnsim
import bnnsim.files.html_text as html_text
from bnnsim import devices

EVIL = "<img src=x onerror=alert(1)> & $x$"


class Whole(HTMLParser):
    """Every tag that is opened is closed; none fetches or runs anything."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag in ("div", "b", "table", "tr", "th", "td", "pre")
        assert {name for name, _ in attrs} <= {"style"}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def shown():
    model = bnnsim.architectures.build("C8 MP4 FC32 FC10", (1, 28, 28), rng=0)
    network = bnnsim.pack(model)
    test = replace(bnnsim.load_embedded()[1][:40], name=EVIL)
    card = devices.load_card("teaching")
    result = bnnsim.sweep({EVIL: network}, test, [0, 0.1], 2, 0, progress=False)
    on_card = bnnsim.sweep_card(card, {EVIL: network}, test, "cycles", [1, 1e6], trials=2, rng=0,
                                at={"condition": "weak"}, progress=False)
    return {"Sequential": model, "PackedNetwork": network, "Split": test, "DeviceCard": card, "SweepResult": result,
            "CardSweep": on_card, "History": bnnsim.training.History([2.0, 1.5], [0.25, 0.5], [0.4, None], [1e-3, 1e-4],
                                                                     [[0.1], [0.1]], 2),
            "DeviceFit": devices.fit(bnnsim.datasets.data_file("devices/sample_measurements.csv"), n_resamples=100),
            "evil card": replace(card, description=EVIL, licence=EVIL), **measured(network, test)}


def measured(network, test):
    """What metrics find, each under its class's name."""
    metrics = bnnsim.metrics
    found = (metrics.margins(network, test.images), metrics.bit_error_tolerance(network, test.images),
             metrics.importance(network, test), metrics.critical_bits(network, test, 2),
             metrics.predicted_accuracy(network, test, [0.01, 0.1], rng=0),
             metrics.Evaluation(EVIL, network, test, network.predict(test.images)))
    return {type(each).__name__: each for each in found}


WORDS = {"Sequential": ["BatchNormSign", "28 x 28 x 8", "1 x 28 x 28 to 10 classes"],
         "PackedNetwork": ["binary MACs", "0 conv"],
         "Split": ["40 images"], "DeviceCard": ["teaching", "programming cycles"],
         "SweepResult": ["95 % interval", "seed 0"],
         "CardSweep": ["teaching along cycles", "accuracy %"], "evil card": [EVIL],
         "Margins": ["Margins", "layer"], "Tolerance": ["Tolerance", "layer"], "Importance": ["Importance", "layer"],
         "CriticalBits": ["CriticalBits", "bits"], "PredictedAccuracy": ["0.01", "0.1"],
         "Evaluation": ["balanced accuracy", "macro F1", EVIL],
         "History": ["2 epochs", "1.5", "left at epoch 2"], "DeviceFit": ["2 places", "condition weak", "log-normal"]}


@pytest.mark.parametrize("name", WORDS)
def test_html_is_small_whole_and_escaped(shown, name):
    text = shown[name]._repr_html_()
    found = "\n".join(Whole(text).texts)
    assert len(text) < 6000 and all(word in found for word in WORDS[name]), found
    if name in ("Split", "SweepResult", "CardSweep"):
        assert EVIL in found


def test_a_result_tells_its_means(shown):
    result = shown["SweepResult"]
    cells = Whole(result._repr_html_()).texts
    assert [f"{100 * mean:.2f}" in cells for mean in result.mean()[0]] == [True, True]


def test_results_are_short_at_a_prompt(shown):
    assert repr(shown["SweepResult"]) == "<SweepResult: 1 series, 2 places on bit_error_rate, up to 2 chips each>"
    assert repr(shown["CardSweep"]) == "<CardSweep of teaching: 1 series at 2 places along cycles>"


def test_long_tables_and_texts_are_cut():
    text = html_text.table("many", [(i, "x" * 500) for i in range(1000)])
    assert text.count("<tr>") == html_text.MOST_ROWS and "and 960 more rows" in text and "x" * 200 not in text


def test_a_split_tells_its_classes(shown):
    cells = Whole(shown["Split"]._repr_html_()).texts
    counts = np.bincount(shown["Split"].labels, minlength=10)
    assert all(str(count) in cells for count in counts)
