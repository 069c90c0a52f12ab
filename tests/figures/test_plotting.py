"""Figures: what a reader must be able to see on them."""

import warnings

import numpy as np
import pytest
from readable import check_readable, texts

import bnnsim
import bnnsim.figures.networks as networks
import bnnsim.figures.sweeps as sweeps
import bnnsim.figures.training as training
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.result_file import NOT_RUN
from bnnsim.figures.proofs import tightness
from bnnsim.training import History

RATES = np.array([0, 1e-4, 1e-3, 1e-2, 0.3])
TOTALS = np.array([250, 150, 400])


def swept(rates=RATES, n_series=2, n_trials=3, names=None, split="small-test"):
    """Random right answers of 800 images in 3 classes."""
    names = names or [f"net {s}" for s in range(n_series)]
    rng = np.random.default_rng(0)
    right = rng.integers(0, TOTALS + 1, (len(names), len(rates), n_trials, len(TOTALS)))
    right[:, np.asarray(rates) == 0] = right[:, np.asarray(rates) == 0, :1]
    settings = {"series": [{"name": name, "network": "a", "split": split, "split_sha256": "b",
                            "n_images": int(TOTALS.sum()), "fault": "BitFlips(0.0)"} for name in names],
                "seed": "0", "stopping": None, "predictions": False}
    return SweepResult(settings, np.asarray(rates, float), right, np.tile(TOTALS, (len(names), 1)),
                       np.zeros(right.shape[:3]))


def with_holes():
    """Three chips at the first rates, two and one at the last, as sequential stopping leaves them."""
    result = swept()
    result.right[:, 3, 2:] = NOT_RUN
    result.right[:, 4, 1:] = NOT_RUN
    return result


def test_more_panels_than_colours_are_all_drawn():
    """Those behind the seventh were empty."""
    figure = tightness({f"layer {i}": ([1, 2], [2, 4]) for i in range(9)})
    assert [len(axes.lines) for axes in figure.axes] == [2] * 9 and "layer 8" in figure.axes[8].get_title()


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def curves(axes):
    """Lines with points at several places: not those at rate 0."""
    return [line for line in axes.lines if line.get_marker() not in ("None", None) and line.get_linestyle() != "None"]


def test_the_check_of_readability_can_fail():
    figure = sweeps.ber_curve(swept())
    figure.axes[0].set_title("a title that is far too long " * 9)
    with pytest.raises(AssertionError, match="is cut off"):
        check_readable(figure)
    figure = sweeps.ber_curve(swept())
    figure.axes[0].xaxis.set_major_formatter(lambda x, _: f"{x:.18f}")
    with pytest.raises(AssertionError, match="is over"):
        check_readable(figure)


# ---------------------------------------------------------------- accuracy over bit error rate

@pytest.mark.tiny
def test_ber_curve_shows_the_means_in_percent_and_names_everything():
    result = swept()
    figure = sweeps.ber_curve(result)
    axes = figure.axes[0]
    for line, mean in zip(curves(axes), result.mean(), strict=True):
        assert np.allclose(line.get_ydata(), 100 * mean[1:])
    assert "bit error rate" in axes.get_xlabel() and "%" in axes.get_ylabel()
    assert "800 images" in axes.get_title() and "3 chips" in axes.get_title()
    assert legend_of(figure) == list(result.names)


def test_rate_0_has_a_place_of_its_own_on_the_log_axis():
    axes = sweeps.ber_curve(swept()).axes[0]
    assert axes.get_xscale() == "log"
    curve, at_zero = axes.lines[1:3]
    assert np.allclose(curve.get_xdata(), RATES[1:]) and at_zero.get_xdata() == pytest.approx([1e-5])
    assert at_zero.get_linestyle() == "None" and at_zero.get_color() == curve.get_color()
    label = axes.xaxis.get_major_formatter()
    assert label(axes.get_xticks()[0], 0) == "0" and label(1e-3, 0) == "$10^{-3}$"
    assert axes.get_xticks()[0] == pytest.approx(1e-5)


def test_the_band_is_what_the_title_says():
    result = with_holes()
    few = result.n_trials()[0, 1:] > 1                                  # one chip has no interval
    bounds = {"interval": 100 * result.interval()[0, 1:].T,
              "range": 100 * np.array([np.nanmin(result.accuracy[0, 1:], 1), np.nanmax(result.accuracy[0, 1:], 1)])}
    for band, words in (("interval", "95 % confidence interval of the mean"), ("range", "least to largest chip")):
        axes = sweeps.ber_curve(result, band=band).axes[0]
        assert words in axes.get_title() and "1 to 3 chips" in axes.get_title()
        corners = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
        for rate, low, high in zip(RATES[1:][few], *bounds[band][:, few]):
            at_rate = corners[np.isclose(corners[:, 0], rate, rtol=1e-9), 1]
            assert at_rate.min() == pytest.approx(low) and at_rate.max() == pytest.approx(high)
        assert not np.any(np.isclose(corners[:, 0], 0.3, rtol=1e-9))


def test_one_chip_has_no_band_and_the_title_does_not_promise_one():
    axes = sweeps.ber_curve(swept(n_trials=1)).axes[0]
    assert "1 chip" in axes.get_title() and "band" not in axes.get_title()
    assert all(len(path.vertices) == 0 for band in axes.collections for path in band.get_paths())


def test_rates_out_of_order_are_drawn_in_order():
    places = curves(sweeps.ber_curve(swept(RATES[[3, 0, 4, 1, 2]])).axes[0])[0].get_xdata()
    assert np.all(np.diff(places) > 0) and len(places) == 4


@pytest.mark.parametrize("rates", [[0.0], [0.1], [1e-3, 0.1], [0.0, 0.05], [0.02, 0.03], [0, 0.2, 0.201, 0.202]])
def test_few_rates_can_be_drawn_and_read(rates, tmp_path):
    figure = sweeps.ber_curve(swept(rates), tmp_path / "few.png")
    assert (tmp_path / "few.png").read_bytes().startswith(b"\x89PNG")
    check_readable(figure)
    axes = figure.axes[0]
    shown = [text for text, _ in texts(figure) if text == f"{rates[-1]:g}" or text.startswith("$10")]
    assert shown or len(rates) == 4, f"no rate can be read off the axis, {axes.get_xticks()}"


def test_several_results_share_a_figure_with_rates_of_their_own():
    figure = sweeps.ber_curve({"a": swept(), "b": swept([1e-3, 0.5], n_series=1)})
    assert legend_of(figure) == ["a: net 0", "a: net 1", "b: net 0"]
    assert np.allclose(curves(figure.axes[0])[2].get_xdata(), [1e-3, 0.5])
    with pytest.raises(ValueError, match="empty dict"):
        sweeps.ber_curve({})
    with pytest.raises(TypeError, match="result must be a result of bnnsim.sweep .*{'first': results.0., .*, got list"):
        sweeps.ber_curve([swept(), swept()])


@pytest.mark.parametrize("names", [["a", "b"], [f"network {i}" for i in range(9)],
                                   [f"{i}: " + "a name as long as a folder " * 5 for i in range(6)],
                                   ["_hidden", "costs $5", "costs $6$ \\frac", "100 %"]])
def test_the_legend_covers_nothing_and_shows_names_as_they_are(names):
    figure = sweeps.ber_curve(swept(names=names))
    assert [text.replace(r"\$", "$").replace("\n", " ").strip() for text in legend_of(figure)] == \
        [name.strip() for name in names]
    check_readable(figure)
    (legend,) = figure.legends
    axes_box = figure.axes[0].get_window_extent()
    assert not legend.get_window_extent().overlaps(axes_box) and axes_box.height > 200


def test_lines_differ_in_more_than_colour():
    """A grey print tells ten lines apart by marker, filled or hollow, and line style."""
    result = swept(n_series=10, n_trials=1)
    looks = {(line.get_marker(), line.get_linestyle(), line.get_markerfacecolor() == "white")
             for line in curves(sweeps.ber_curve(result).axes[0])}
    assert len(looks) == 10


def test_an_unknown_band_is_refused():
    with pytest.raises(ValueError, match="did you mean 'range'"):
        sweeps.ber_curve(swept(), band="rang")


# ---------------------------------------------------------------- classes and chips

def test_class_curves_have_a_line_a_class_and_the_mean_of_all():
    result = with_holes()
    result.class_totals[1, 2] = 0                                       # a class without images has no accuracy
    result.right[1, ..., 2] = np.where(result.right[1, ..., 2] == NOT_RUN, NOT_RUN, 0)
    figure = sweeps.class_curves(result, "net 1", class_names=["cat", "dog", "cow"])
    assert legend_of(figure) == ["all classes", "cat", "dog"]
    lines = curves(figure.axes[0])
    for c, line in enumerate(lines):
        right = np.where(result.right[1, 1:, :, c] == NOT_RUN, np.nan, result.right[1, 1:, :, c])
        assert np.allclose(line.get_ydata(), 100 * np.nanmean(right, axis=1) / TOTALS[c])
    assert len(lines) == 2 and "net 1" in figure.axes[0].get_title() and "%" in figure.axes[0].get_ylabel()
    check_readable(figure)


def test_classes_have_names_where_the_split_is_known():
    result = swept()
    assert legend_of(sweeps.class_curves(result))[1:] == ["class 0", "class 1", "class 2"]
    with pytest.raises(ValueError, match="must be 3 strings"):
        sweeps.class_curves(result, class_names=["cat"])
    with pytest.raises(ValueError, match="name must be one of net 0, net 1"):
        sweeps.class_curves(result, "net 7")


@pytest.mark.parametrize("n_trials", [1, 5, 60])
def test_all_chips_are_counted_once(n_trials):
    result = swept(n_trials=n_trials)
    figure = sweeps.chip_histogram(result, 0.01)
    assert "BER 0.01" in figure.get_suptitle()
    for s, axes in enumerate(figure.axes):
        accuracy = 100 * result.accuracy[s, 3]
        assert f"median {np.median(accuracy):.2f} % of {n_trials} chip" in axes.get_title(loc="left")
        if n_trials <= sweeps.MAX_STRIP:
            assert np.allclose(np.sort(axes.lines[0].get_xdata()), np.sort(accuracy))
        else:
            assert sum(bar.get_height() for bar in axes.patches) == n_trials
    check_readable(figure)


def test_chips_that_did_not_run_are_left_out_and_equal_chips_are_all_seen():
    figure = sweeps.chip_histogram(with_holes(), 0.01)
    assert all("of 2 chips" in axes.get_title(loc="left") for axes in figure.axes)
    points = sweeps.chip_histogram(swept(), 0).axes[0].lines[0]       # without errors all chips are alike
    assert len(set(zip(points.get_xdata(), points.get_ydata()))) == 3


def test_a_rate_as_tables_print_it_is_found_and_another_is_refused():
    result = swept([0, 1.949e-4, 0.3])
    assert "0.0001949" in sweeps.chip_histogram(result, 0.000195).get_suptitle()
    for other in (0.2, 0.31):                                    # close by, but in no table the same
        with pytest.raises(ValueError, match=f"0, 0.0001949, 0.3; got {other}"):
            sweeps.chip_histogram(result, other)


# ---------------------------------------------------------------- networks

def packed(spec, shape=(1, 6, 5)):
    return bnnsim.pack(bnnsim.architectures.build(spec, shape, rng=0))


def test_first_layer_weights_of_a_dense_layer_are_images():
    rng = np.random.default_rng(0)
    images = rng.choice([-1, 1], (5, 6, 4, 2))                          # units, H, W, C
    network = bnnsim.PackedNetwork.from_arrays([{"weight": images.reshape(5, -1)}], (2, 6, 4))
    figure = networks.first_layer_weights(network)
    mosaic = figure.axes[0].images[0].get_array()
    for channel in (0, 1):
        wanted = (images[0, :, :, channel] + 1) / 2
        assert np.array_equal(mosaic[2:8, 2 + 5 * channel:6 + 5 * channel], wanted)
    title = figure.axes[0].get_title()
    assert "units 0 to 4 of 5" in title and "6 x 4 weights" in title and "2 channels" in title
    check_readable(figure)


def test_first_layer_weights_of_a_conv_layer_are_kernels():
    rng = np.random.default_rng(0)
    kernels = rng.choice([-1, 1], (9, 2, 3, 1))
    network = bnnsim.PackedNetwork.from_arrays(
        [{"weight": kernels, "threshold": np.zeros(9, np.int32)}, {"weight": rng.choice([-1, 1], (3, 9 * 4 * 3))}],
        (1, 5, 5))
    figure = networks.first_layer_weights(network, n_units=4)
    mosaic = figure.axes[0].images[0].get_array()
    assert np.array_equal(mosaic[1:3, 1:4], (kernels[0, ..., 0] + 1) / 2)
    assert sum(np.isin(mosaic, (0, 1)).ravel()) == 4 * 6                # the rest is grey
    check_readable(figure)


def test_kernels_of_groups_have_the_channels_that_they_read():
    rng = np.random.default_rng(0)
    kernels = rng.choice([-1, 1], (4, 2, 3, 2))
    network = bnnsim.PackedNetwork.from_arrays(
        [{"weight": kernels, "threshold": np.zeros(4, np.int32), "groups": 2, "order": "HWC"},
         {"weight": rng.choice([-1, 1], (3, 4 * 4 * 3))}], (4, 5, 5))
    figure = networks.first_layer_weights(network)
    mosaic = figure.axes[0].images[0].get_array()
    for channel in (0, 1):
        wanted = (kernels[0, ..., channel] + 1) / 2
        assert np.array_equal(mosaic[2:4, 2 + 4 * channel:5 + 4 * channel], wanted)
    assert "2 x 3 weights each of 2 channels" in figure.axes[0].get_title()
    broken = bnnsim.faults.BitFlips(0.3).apply(network, rng=0)
    drawn = networks.fault_map(network, broken, 0)
    assert drawn.axes[0].images[0].get_array().shape == (4, 12) and "2 x 3 x 2 kernel" in drawn.axes[0].get_xlabel()


@pytest.mark.parametrize(("spec", "layer", "cells", "block"), [
    ("FC70 FC10", 0, (70, 30), None),
    ("C70 C65 FC10", 1, (65, 315), "1 unit x 2 weights"),
    ("FC1300 FC1400 FC10", 1, (467, 434), "3 units x 3 weights"),       # the last block in each direction is smaller
    ("FC1300 FC10", 1, (10, 434), "1 unit x 3 weights")])
def test_every_flip_is_on_the_fault_map(spec, layer, cells, block):
    network = packed(spec)
    broken = bnnsim.faults.BitFlips(0.01).apply(network, rng=1)
    flips = int(np.bitwise_count(network.layers[layer].words ^ broken.layers[layer].words).sum())
    figure = networks.fault_map(network, broken, layer)
    counts = figure.axes[0].images[0].get_array()
    assert counts.sum() == flips and counts.shape == cells
    assert f"{flips:,} of {network.layers[layer].n_bits:,} bits flipped" in figure.axes[0].get_title()
    bars = [axes.get_ylabel().replace("\n", " ") for axes in figure.axes[1:]]
    assert bars == ([f"density: flipped bits in a block of {block}"] if block else [])
    check_readable(figure)


def test_a_flip_is_drawn_where_it_is():
    network = packed("FC70 FC10")
    words = network.layers[0].words.copy()
    words[41, 0] ^= np.uint64(1) << np.uint64(17)
    image = networks.fault_map(network, network.with_words({0: words}), 0).axes[0].images[0]
    assert np.argwhere(image.get_array()).tolist() == [[41, 17]]
    left, right, bottom, top = image.get_extent()
    assert (left, right, bottom, top) == (-0.5, 29.5, 69.5, -0.5)


def test_a_flip_in_a_large_layer_is_dark_in_the_written_file(tmp_path):
    """One wrong bit of four million, drawn with 150 dots an inch, must not fall between two dots."""
    from matplotlib.image import imread

    network = packed("FC2048 FC2048 FC10")
    words = network.layers[1].words.copy()
    words[1001, 20] ^= np.uint64(1)
    dark = []
    for i, broken in enumerate((network, network.with_words({1: words}))):
        networks.fault_map(network, broken, 1, tmp_path / f"{i}.png")
        picture = imread(tmp_path / f"{i}.png")[..., :3].mean(axis=2)
        dark.append(picture[120:880, 100:700])
    assert np.count_nonzero(dark[1] < 0.6) > np.count_nonzero(dark[0] < 0.6)


def test_no_flip_is_a_white_map_and_another_network_is_refused():
    network = packed("FC70 FC10")
    assert "0 of 2,100 bits flipped" in networks.fault_map(network, network, 0).axes[0].get_title()
    with pytest.raises(ValueError, match="broken must have the layers of network"):
        networks.fault_map(network, packed("FC64 FC10"), 0)
    with pytest.raises(ValueError, match=r"layer must be in \[0, 1\], got 2"):
        networks.fault_map(network, network, 2)


# ---------------------------------------------------------------- training, files

def history(validation):
    return History([1.0, 0.5], [0.6, 0.8], validation, [1e-3, 0.0])


def test_training_curves_show_loss_and_both_accuracies():
    left, right = training.training_curves(history([0.55, 0.7])).axes
    assert left.lines[0].get_ydata().tolist() == [1.0, 0.5]
    assert [line.get_ydata().tolist() for line in right.lines] == [[60, 80], [pytest.approx(55), 70]]
    assert "loss" in left.get_ylabel() and "%" in right.get_ylabel()


def test_training_without_validation_has_one_line():
    assert len(training.training_curves(history([None, None])).axes[1].lines) == 1


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_ending_chooses_the_format(ending, start, tmp_path):
    network = packed("FC70 FC10")
    for i, draw in enumerate((lambda path: training.training_curves(history([0.5, 0.6]), path),
                              lambda path: sweeps.ber_curve(swept(), path),
                              lambda path: networks.first_layer_weights(network, path))):
        path = tmp_path / f"{i}.{ending}"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            draw(path)
        assert path.read_bytes().startswith(start)


def test_an_unknown_ending_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"\.png, \.svg or \.pdf"):
        training.training_curves(history([0.5, 0.6]), tmp_path / "curve.jpg")
    assert not list(tmp_path.iterdir())
