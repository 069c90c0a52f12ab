"""Campaigns that go on from what is there, along what axes they run, and when they have enough chips."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from campaign_run import SEED, networks, run, split
from test_campaign import SMALL, same

import bnnsim.campaign.cells as cells
import bnnsim.campaign.engine as engine
from bnnsim import threads
from bnnsim.campaign.result import SweepResult
from bnnsim.faults import BitFlips


@pytest.fixture
def finished(tmp_path):
    run(out=tmp_path / "s.h5", **SMALL)
    return tmp_path / "s.h5"


def counted(monkeypatch):
    """The cells that are evaluated from now on, as (series, rate, trial)."""
    found, whole = [], cells.run_cell
    monkeypatch.setattr(cells, "run_cell", lambda context, *cell: found.append(cell[:3]) or whole(context, *cell))
    return found


def test_a_rate_of_0_is_evaluated_once(monkeypatch):
    """Without errors all chips are alike."""
    found = counted(monkeypatch)
    result = run(**SMALL)
    assert sorted(found) == sorted((s, rate, t) for s in range(2) for rate in SMALL["rates"]
                                   for t in range(1 if rate == 0 else 4))
    assert np.all(result.right[:, 0] == result.right[:, 0, :1]) and result.right.shape == (2, 3, 4, 10)
    same(run(rates=[-0.0, 0.1, 0.3], trials=4), result)


def test_a_resumed_finished_campaign_is_the_same(finished, monkeypatch):
    found = counted(monkeypatch)
    same(run(out=finished, resume=True, **SMALL), run(**SMALL))
    n_cells = len(found)
    assert n_cells == 18                                         # those of the second only
    same(SweepResult.load(finished), run(**SMALL))
    assert os.listdir(finished.parent) == ["s.h5"]


@pytest.mark.parametrize("changes, n_new", [
    (dict(trials=7), 12), (dict(rates=[0.0, 0.05, 0.1, 0.3]), 8), (dict(rates=[0.0, 0.05, 0.1, 0.3], trials=6), 20)])
def test_an_appended_campaign_is_the_one_run_at_once(finished, monkeypatch, changes, n_new):
    old, wanted = SweepResult.load(finished), run(**{**SMALL, **changes})
    found = counted(monkeypatch)
    result = run(out=finished, resume=True, **{**SMALL, **changes})
    assert len(found) == n_new
    assert same(result, wanted) and same(SweepResult.load(finished), wanted)
    places = [result.rates.tolist().index(rate) for rate in old.rates]
    np.testing.assert_array_equal(result.right[:, places, :4], old.right)


def test_a_smaller_grid_keeps_what_is_there(finished, monkeypatch):
    """A resume never throws away: other rates and chips stay, and are completed."""
    result = run(out=finished, resume=True, rates=[0.2], trials=2)
    same(result, run(rates=[0.0, 0.1, 0.2, 0.3], trials=4))
    found = counted(monkeypatch)
    backwards = run(out=finished, resume=True, rates=[0.3, 0.2], trials=2)
    assert not found and backwards.rates.tolist() == [0.3, 0.2, 0.0, 0.1]
    np.testing.assert_array_equal(backwards.right, result.right[:, [3, 2, 0, 1]])


def test_networks_in_another_order_are_the_same_campaign(finished, monkeypatch):
    wanted, found = run(**SMALL), counted(monkeypatch)
    result = run(nets=dict(reversed(networks().items())), out=finished, resume=True, **SMALL)
    assert not found and result.names == ("net 1", "net 0")
    np.testing.assert_array_equal(result.right, wanted.right[::-1])


def test_what_goes_wrong_before_the_work_leaves_no_file(tmp_path):
    """A second, right try would find a journal of the first one's."""
    with pytest.raises(ValueError, match="resume needs out"):
        run(resume=True, **SMALL)
    with pytest.raises(ValueError, match="workers must be in|workers must be >= 1"):
        run(out=tmp_path / "s.h5", workers=0, executor=ThreadPoolExecutor(1), **SMALL)
    assert not os.listdir(tmp_path)


# ---------------------------------------------------------------- axes

def test_series_are_networks_times_splits_times_faults():
    data = {"few": split(5), "many": split(16)}
    faults = {"all": BitFlips(0), "last": BitFlips(0, layers=(1,))}
    found = run(data=data, faults=faults, predictions=True, **SMALL)
    names = [f"net {n}, {part}, {fault}" for n in range(2) for part in ("few", "many") for fault in ("all", "last")]
    assert list(found.names) == names and found.right.shape == (8, 3, 4, 10)
    assert found.n_images == 16 and found.class_totals.sum(axis=1).tolist() == [5, 5, 16, 16] * 2
    for s, name in enumerate(names):
        net, part, fault = name.split(", ")
        alone = run(nets=networks()[net], data=data[part], faults=faults[fault], predictions=True, **SMALL)
        np.testing.assert_array_equal(found.right[s], alone.right[0])
        np.testing.assert_array_equal(found.predictions[s, ..., :len(data[part])], alone.predictions[0])
        assert np.all(found.predictions[s, ..., len(data[part]):] == 255)
    last = found.accuracy[found.names.index("net 0, many, last")]
    assert np.any(last != found.accuracy[found.names.index("net 0, many, all")])


def test_images_of_a_user_s_own_class_do(finished):
    """What is read of a split is enough: images, labels, name, sha256 and the length."""
    class Own:
        images, labels, name, sha256 = split().images, split().labels, split().name, split().sha256

        def __len__(self):
            return 16

    same(run(data=Own(), **SMALL), SweepResult.load(finished))


def test_pixels_are_summed_up_once_however_many_series_there_are(monkeypatch):
    """A million images take half a second: not for each of a hundred fault settings anew."""
    asked, data = [], split()

    class Counted(type(data)):
        @property
        def sha256(self):
            asked.append(self.name)
            return super().sha256

    counted = Counted(data.images, data.labels, data.name)
    found = run(data={"a": counted, "b": data}, faults={str(i): BitFlips(0.0) for i in range(5)}, **SMALL)
    assert asked == [data.name] and {one["split_sha256"] for one in found.settings["series"]} == {data.sha256}


def test_splits_of_different_sizes_with_predictions_can_be_resumed(tmp_path):
    settings = {"data": {"few": split(5), "many": split(16)}, "predictions": True, "rates": [0, 0.2]}
    run(out=tmp_path / "s.h5", trials=2, **settings)
    same(run(out=tmp_path / "s.h5", trials=4, resume=True, **settings), run(trials=4, **settings))


@pytest.mark.parametrize("layers", [(0,), (1,), (0, 1)])
def test_only_the_layers_asked_for_have_errors(layers):
    network = networks()["net 0"]
    broken, everywhere = (BitFlips(0.3, each).apply(network, 0) for each in (layers, None))
    for i, layer in enumerate(broken.layers):
        np.testing.assert_array_equal(layer.words, (everywhere if i in layers else network).layers[i].words)
        assert np.any(everywhere.layers[i].words != network.layers[i].words)


def test_predictions_and_per_class_are_those_of_the_network():
    data, nets = split(40), networks()
    found = run(data=data, predictions=True, **SMALL)
    for s, network in enumerate(nets.values()):
        for r, rate in enumerate(SMALL["rates"]):
            for t in range(4):
                predicted = BitFlips(rate).apply(network, SEED, t).predict(data.images)
                np.testing.assert_array_equal(found.predictions[s, r, t], predicted)
                for c in range(10):
                    wanted = np.mean(predicted[data.labels == c] == c)
                    assert found.per_class[s, r, t, c] == pytest.approx(wanted, abs=1e-15)
    assert found.predictions.dtype == np.uint8 and run(data=data, **SMALL).predictions is None
    few = run(data=split(3), **SMALL)
    assert np.array_equal(np.isnan(few.per_class[0, 0, 0]), np.bincount(split(3).labels, minlength=10) == 0)


@pytest.mark.parametrize("changes, error, message", [
    (dict(faults={}), TypeError, "faults must be a fault such as"),
    (dict(faults="flips"), TypeError, "faults must be a fault such as .* got str"),
    (dict(faults=BitFlips(0, layers=(2,))), ValueError, r"layers must be in 0..1, got \(2,\)"),
    (dict(data={}), TypeError, "split must be a Split or a dict of name to Split, got an empty dict"),
    (dict(data={"a": 3}), TypeError, r"split\['a'\] must be a Split, got int"),
    (dict(faults={"a": BitFlips(0), "b": 3}), TypeError, r"faults\['b'\] must be a fault such as .* got int"),
    (dict(nets={"a": networks()["net 0"], "a, b": networks()["net 0"]},
          faults={"b": BitFlips(0), "": BitFlips(0)}), ValueError, "series must have names that differ"),
    (dict(max_trials=5), ValueError, "max_trials goes with ci_width"),
    (dict(ci_width=0.0), ValueError, "ci_width must be >= 1e-06"),
    (dict(ci_width=0.1, trials=1), ValueError, "ci_width needs a pilot of trials >= 2 chips, got 1"),
    (dict(ci_width=0.1, max_trials=3), ValueError, "max_trials must be in .4, "),
])
def test_bad_campaigns(changes, error, message, tmp_path):
    with pytest.raises(error, match=message):
        run(out=tmp_path / "s.h5", **{**SMALL, **changes})
    assert not os.listdir(tmp_path)


# ---------------------------------------------------------------- sequential stopping

def test_rates_in_any_order_tolerate_the_same():
    """They stand in the result as they were asked for; 0 need not be the first."""
    found, wanted = (run(rates=rates, trials=20) for rates in ([0.3, 0, 0.02, 0.1], [0, 0.02, 0.1, 0.3]))
    assert [found.tolerated(0.05, s) for s in (0, 1)] == [wanted.tolerated(0.05, s) for s in (0, 1)]


def test_series_of_other_images_are_not_compared():
    """Of one name and one size they are, all the same, others: chips of both would be paired image by image."""
    found = run(data={"a": split(), "b": split(seed=1)}, rates=[0.0, 0.1], trials=3)
    with pytest.raises(ValueError, match="'net 0, a' and 'net 0, b' must be of the same images to be compared"):
        found.compare("net 0, a", "net 0, b")
    clean, broken = found.compare("net 0, a", "net 1, a")
    assert np.ptp(clean.paired[:2]) == 0 < np.ptp(broken.paired[:2]), "without errors chips do not vary"


STOPPING = {"rates": [0.0, 0.02, 0.1, 0.3], "trials": 5, "ci_width": 0.12, "max_trials": 25}


@pytest.fixture(scope="module")
def stopped():
    return run(**STOPPING)


def test_stopping_reaches_the_width_or_the_cap(stopped):
    """Chips are added where they are needed: up to the width, at most 25; what was not asked for is nan."""
    n_trials, widths = stopped.n_trials(), np.ptp(stopped.interval(), axis=2)
    assert np.all((n_trials[:, 1:] >= 5) & (n_trials[:, 1:] <= 25))
    assert np.all((widths <= 0.12 + 1e-12) | (n_trials == 25))
    assert len(np.unique(n_trials[:, 1:])) > 2 and np.any(n_trials == 25) and np.any((5 < n_trials) & (n_trials < 25))
    for s in range(2):
        for r in range(1, 4):
            accuracy = stopped.accuracy[s, r]
            assert not np.isnan(accuracy[:n_trials[s, r]]).any() and np.isnan(accuracy[n_trials[s, r]:]).all()
            assert stopped.std()[s, r] == pytest.approx(np.std(accuracy[:n_trials[s, r]], ddof=1))
    assert np.all(np.ptp(stopped.interval()[:, 0], axis=1) == 0) and np.all(n_trials[:, 0] == 5)


def test_the_cap_is_ten_times_the_pilot_where_none_is_given():
    """Another default is another campaign: files of before could not be gone on from."""
    found = run(rates=[0.1], trials=3, ci_width=1e-6)
    assert found.settings["stopping"] == {"ci_width": 1e-6, "pilot": 3, "level": 0.95, "max_trials": 30}
    assert np.all(found.n_trials() == 30)


def test_chips_of_a_stopped_campaign_are_those_of_any_other(stopped):
    whole = run(rates=STOPPING["rates"], trials=25)
    there = ~np.isnan(stopped.accuracy)
    np.testing.assert_array_equal(stopped.accuracy[there], whole.accuracy[:, :, :stopped.right.shape[2]][there])


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_number_of_chips_hangs_on_the_pilot_alone(stopped, n_threads, tmp_path, monkeypatch):
    """Neither on threads nor on where a run was cut off."""
    with threads(n_threads):
        same(run(**STOPPING), stopped)
    whole, n_done = cells.run_cell, []

    def failing(*arguments):
        n_done.append(1)
        if len(n_done) % 20 == 0:
            raise OSError("a power cut")
        return whole(*arguments)

    monkeypatch.setattr(cells, "run_cell", failing)
    monkeypatch.setattr(engine, "BATCH_SECONDS", 1e-9)
    for n_runs in range(50):
        try:
            with threads(n_threads):
                result = run(out=tmp_path / "s.h5", resume=n_runs > 0, **STOPPING)
            break
        except OSError:
            pass
    assert n_runs > 2 and same(result, stopped)
    same(SweepResult.load(tmp_path / "s.h5"), stopped)
