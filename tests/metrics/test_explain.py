"""What metrics print and draw, what they refuse, and ``python -m bnnsim.explain``."""

import numpy as np
import pytest
from test_metrics import CNN, FCNN, case
from readable import check_readable

import bnnsim
import bnnsim.metrics as metrics
from bnnsim.campaign.result_file import NOT_RUN
from bnnsim.figures.metrics import importance_curves, margin_histograms, tolerance_curves
from bnnsim.training.packing import pack


def test_figures_and_tables_name_what_they_show(tmp_path):
    network, split = case(CNN, 40)
    other, _ = case(CNN, 40, seed=1)
    found = [metrics.margins(network, split.images), metrics.bit_error_tolerance(network, split.images),
             metrics.importance(network, split), metrics.critical_bits(network, split, 3),
             metrics.predicted_accuracy(network, split, [0, 0.001, 0.01, 0.1])]
    for i, one in enumerate(found):
        figure = one.plot(tmp_path / f"{i}.png")
        assert (tmp_path / f"{i}.png").read_bytes().startswith(b"\x89PNG")
        check_readable(figure)
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes if axes.get_visible())
        assert len(one.table().splitlines()) >= 4
        assert i != 2 or "reliability" in figure.legends[0].get_texts()[0].get_text()
    assert "bound" in found[1].table() and "exact" in found[1].table()
    assert "noise-free" in found[2].table() and "reliability" in found[2].table()
    for draw, measure in ((margin_histograms, metrics.margins),
                          (tolerance_curves, metrics.bit_error_tolerance)):
        check_readable(draw({"one": measure(network, split.images), "two": measure(other, split.images)}))
    with pytest.raises(ValueError, match="empty dict"):
        importance_curves({})
    shorter = metrics.margins(case(FCNN)[0], split.images)
    with pytest.raises(ValueError, match="same number of hidden layers"):
        margin_histograms({"a": found[0], "b": shorter})


def test_the_predicted_curve_stands_beside_the_injected_one():
    network, split = case(FCNN, 40)
    rates = [0, 1e-3, 1e-2, 0.1]
    result = bnnsim.sweep(network, split, rates, trials=3, rng=0, progress=False)
    figure = metrics.predicted_accuracy(network, split, rates).plot(result=result)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["predicted from statistics of flips", "injected, mean over 3 chips"]
    check_readable(figure)


def test_a_campaign_that_stops_by_itself_has_places_with_fewer_chips():
    """The most of them were told of all; and the band of one chip was from 0 to 1."""
    network, split = case(FCNN, 40)
    result = bnnsim.sweep(network, split, [0, 0.01, 0.1], trials=3, rng=0, progress=False)
    result.right[0, 1, 1:] = NOT_RUN
    figure = metrics.predicted_accuracy(network, split, [0, 0.01, 0.1]).plot(result=result)
    assert figure.legends[0].get_texts()[1].get_text() == "injected, mean over 1 to 3 chips"
    injected = figure.axes[0].collections[1].get_paths()
    assert all(np.ptp(path.vertices[:, 1]) < 60 for path in injected)


# ---------------------------------------------------------------- bad input

NETWORK, SPLIT = case(FCNN, 4)
LONE = case("FC4", 4)[0]
STUCK = bnnsim.faults.StuckAt(0.0, 0.5)


def predicted_beside(rates):
    return metrics.predicted_accuracy(NETWORK, SPLIT, rates)


def swept(rates, faults=None):
    return bnnsim.sweep(NETWORK, SPLIT, rates, trials=2, rng=0, progress=False, faults=faults)


BAD = [
    (lambda: metrics.margins("net", SPLIT.images), TypeError, "network must be a PackedNetwork"),
    (lambda: metrics.margins(LONE, SPLIT.images), ValueError, "must have a hidden layer"),
    (lambda: metrics.margins(NETWORK, SPLIT.images[:0]), ValueError, "at least one image"),
    (lambda: metrics.margins(NETWORK, SPLIT.images / 255), TypeError, "must be a uint8 array"),
    (lambda: metrics.margins(NETWORK, np.zeros((2, 1, 5, 5), np.uint8)), ValueError, "images must have shape"),
    (lambda: metrics.margins(NETWORK, SPLIT.images).layers[0].in_spreads(0), ValueError, "p must be above 0"),
    (lambda: metrics.bit_error_tolerance(NETWORK, SPLIT.images, [np.zeros(70)]), ValueError, "one array for each"),
    (lambda: metrics.bit_error_tolerance(NETWORK, SPLIT.images, [np.zeros(70), np.zeros(3)]), ValueError,
     r"thresholds\[1\] must have shape"),
    (lambda: metrics.bit_error_tolerance(NETWORK, SPLIT.images, [np.zeros(70), np.full(65, np.nan)]), ValueError,
     "must be finite"),
    (lambda: metrics.real_thresholds(NETWORK), TypeError, "must be a Sequential"),
    (lambda: metrics.importance(NETWORK, SPLIT, "ablation"), ValueError, "did you mean 'ablate'"),
    (lambda: metrics.importance(NETWORK, SPLIT, "taylor"), TypeError, "pass the trained model"),
    (lambda: metrics.importance(*case("C3 FC4"), "readout"), ValueError, "use 'ablate'"),
    (lambda: metrics.importance(LONE, SPLIT), ValueError, "must have a hidden layer"),
    (lambda: metrics.importance(NETWORK, SPLIT.images), TypeError, "split must be a Split"),
    (lambda: metrics.importance(case("FC5 FC3")[0], bnnsim.Split(SPLIT.images, [0, 1, 2, 3], "x")), ValueError,
     "below the network's 3 classes"),
    (lambda: metrics.critical_bits(NETWORK, SPLIT, 3), ValueError, r"layer must be in \[0, 2\], got 3"),
    (lambda: metrics.critical_bits(NETWORK, SPLIT, 1).worst(0), ValueError, "count must be >= 1"),
    (lambda: metrics.predicted_accuracy(NETWORK, SPLIT, [0, 1.2]), ValueError, r"rates\[1\] must be a probability"),
    (lambda: predicted_beside([0, 0.1]).table(swept([0])), ValueError, "result must have the rates of the prediction"),
    (lambda: predicted_beside([0]).table(swept([0, 0.1])), ValueError, "result must have the rates of the prediction"),
    (lambda: predicted_beside([0, 0.1]).table(swept([0, 0.1], STUCK)), ValueError, "over bit error rates.*share_of_st"),
    (lambda: predicted_beside([0, 0.1]).error(swept([0, 0.1], STUCK)), ValueError, "over bit error rates.*share_of_st"),
    (lambda: predicted_beside([0, 0.1]).plot(result=swept([0, 0.1], STUCK)), ValueError, "over bit error rates"),
    (lambda: metrics.predicted_accuracy(NETWORK, SPLIT, [0.1], draws=0), ValueError, "draws must be in"),
    (lambda: metrics.predicted_accuracy(*case("FC4", 4), [0.1]), ValueError, "must have a hidden layer"),
]


@pytest.mark.parametrize(("call", "error", "part"), BAD)
def test_bad_input_is_answered_by_name(call, error, part):
    with pytest.raises(error, match=part):
        call()


# ---------------------------------------------------------------- the command line

def test_explain_prints_and_draws_all_it_is_asked_for(tmp_path, capsys, monkeypatch):
    import bnnsim.explain as explain

    model = bnnsim.architectures.build("FC16 FC8 FC10", (1, 28, 28), rng=0)
    pack(model, {"dataset": "fashion-subset"}).save(tmp_path / "net.h5")
    monkeypatch.chdir(tmp_path)
    assert explain.main(["net.h5", "--what", "margins,tolerance,importance,prediction,critical", "--rates", "0.01,0.1",
                         "--check", "2", "--layer", "2", "--plot", "e.svg"]) == 0
    printed = capsys.readouterr().out
    for part in ("all 2,000 images", "mean |h - s|", "network T =", "variance of all shares", "noise-free",
                 "reliability", "mean absolute difference", "worst bits"):
        assert part in printed
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == [
        f"e-{what}.svg" for what in ("critical", "importance", "margins", "prediction", "tolerance")]


@pytest.mark.parametrize(("args", "part"), [(["--what", "margin"], "did you mean 'margins'"),
                                            (["--check", "0"], "check must be >= 1"),
                                            (["--plot", "e.jpg"], "must end in .png"),
                                            (["--rates", "2"], "must be a probability")])
def test_explain_answers_bad_input_with_one_line(args, part, capsys):
    import bnnsim.explain as explain

    with pytest.raises(SystemExit) as stop:
        explain.main(args if "--what" in args else ["--what", "prediction", *args])
    printed = capsys.readouterr().err
    assert stop.value.code == 2 and part in printed and printed.count("\n") == 1


@pytest.mark.parametrize(("args", "part"), [
    (["--what", "margins,critical", "--layer", "3"], "--layer must be in [0, 2], got 3"),
    (["--what", "margins,importance", "--method", "readout"], "needs a last hidden layer that is dense")])
def test_explain_refuses_what_the_network_has_not_before_it_measures(args, part, tmp_path, capsys):
    """Margins had been measured and printed before, and --dry-run knew nothing of it."""
    import bnnsim.explain as explain

    model = bnnsim.architectures.build("C2 C2 FC10", (1, 28, 28), rng=0)
    pack(model, {"dataset": "fashion-subset"}).save(tmp_path / "net.h5")
    for more in ([], ["--dry-run"]):
        with pytest.raises(SystemExit):
            explain.main([str(tmp_path / "net.h5"), *args, *more])
        printed = capsys.readouterr()
        assert part in printed.err and not printed.out
