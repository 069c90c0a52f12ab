"""Points that others published, over curves of one's own: the same reader and the same marks in every figure."""

import functools

import pytest
from matplotlib.figure import Figure
from readable import check_readable
from test_plotting import legend_of, swept

import bnnsim
import bnnsim.device_sweep as device_sweep
import bnnsim.figures.sweeps as sweeps
from bnnsim import devices
from bnnsim.figures.published import read_published

TABLE = """# read off by hand
rate,accuracy,citation,note
0.01,0.85,"Example et al., 2021, Table 2",first
0.1,0.5,"Example et al., 2021, Table 2",
0.001,0.9,"Other, 2019, Fig. 4",
"""


def test_published_points_are_drawn_with_their_citation(tmp_path):
    (tmp_path / "points.csv").write_text(TABLE)
    figure = sweeps.ber_curve(swept(n_series=1), published=tmp_path / "points.csv")
    assert legend_of(figure) == ["net 0", "Example et al., 2021, Table 2", "Other, 2019, Fig. 4"]
    points = [line for line in figure.axes[0].lines if line.get_marker() in "x+"]
    assert [line.get_xydata().tolist() for line in points] == [[[0.01, 85], [0.1, 50]], [[0.001, 90]]]
    check_readable(figure)


@pytest.mark.parametrize(("text", "message"), [
    ("", "must have the columns rate, accuracy, citation, got nothing"),
    ("rate,acuracy,citation\n", "is 'acuracy' accuracy"),
    ("rate,accuracy,citation\n", "at least one point"),
    ("rate,accuracy,citation\n0.1,85,A\n", "line 2: accuracy must be a share of 1, got 85: divide percent by 100"),
    ("rate,accuracy,citation\n# no\n0.1,0.5\n", "line 3: must have 3 values, as its head, got 2"),
    ("rate,accuracy,citation\n0.1,0.5,\n", "citation must say who"),
    ("rate,accuracy,citation\nnan,0.5,A\n", "line 2: rate must be a finite number, got 'nan'"),
    ("rate,accuracy,citation\n1_0,0.5,A\n", "line 2: rate must be a finite number, got '1_0'"),
    ("rate,accuracy,citation\n0.1,0.5,Müller\n".encode("latin-1"), "points.csv: wanted CSV in UTF-8, "),
    (f"rate,accuracy,citation\n0.1,0.5,{'A' * 140_000}\n", "points.csv: wanted CSV in UTF-8, got other text .*larger"),
])
def test_bad_tables_are_refused_by_name(text, message, tmp_path):
    (tmp_path / "points.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_published(tmp_path / "points.csv")


@functools.cache
def on_card(axis="cycles"):
    network = bnnsim.pack(bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0))
    places, at = ([1, 1e3, 1e6], {"condition": "weak"}) if axis == "cycles" else (None, {})
    return bnnsim.sweep_card(devices.load_card("teaching"), network, bnnsim.load_embedded()[1][:40], axis, places,
                             at=at, trials=2, rng=0, progress=False)


def predicted(**settings):
    network = bnnsim.pack(bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0))
    found = bnnsim.metrics.predicted_accuracy(network, bnnsim.load_embedded()[1][:40], [0.01, 0.1])
    return found.plot(**settings)


# figure, columns of the table, a point, and where the first axes have it
DRAWN = {
    "accuracy over a card's axis": (lambda **settings: on_card().plot(**settings), "cycles,accuracy", "1e4,0.85",
                                    (1e4, 85)),
    "accuracy over energy": (lambda **settings: on_card().plot_pareto(**settings), "energy_joule,accuracy",
                             "1e-5,0.85", None),
    "accuracy that is predicted": (predicted, "rate,accuracy", "0.05,0.5", (0.05, 50)),
    "error rates of a card": (lambda **settings: devices.load_card("teaching").plot(condition="weak", **settings),
                              "cycles,rate", "1e4,0.02", (1e4, 0.02)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_points_of_others_stand_where_they_say_in_every_figure(name, tmp_path):
    draw, columns, point, wanted = DRAWN[name]
    (tmp_path / "points.csv").write_text(f"{columns},citation\n{point},Somebody 2020\n")
    figure = draw(published=tmp_path / "points.csv")
    check_readable(figure)
    assert legend_of(figure)[-1] == "Somebody 2020"
    drawn, = (line.get_xydata().tolist() for line in figure.axes[0].lines if line.get_marker() == "x")
    unit = {"mJ": 1e3, "µJ": 1e6, "nJ": 1e9, "pJ": 1e12}
    if wanted is None:
        wanted = 1e-5 * next(unit[word] for word in unit if word in figure.axes[0].get_xlabel()), 85
    assert drawn == [pytest.approx(list(wanted))]
    axes = Figure(figsize=(12, 4)).subplots(1, len(figure.axes), squeeze=False)[0]
    given = axes if len(axes) > 1 else axes[0]
    assert draw(published=tmp_path / "points.csv", ax=given) is given


@pytest.mark.parametrize(("draw", "text", "message"), [
    (lambda path: sweeps.ber_curve(swept(), published=path), "rate,accuracy\n-0.1,0.5", "line 2: rate must be a prob"),
    (lambda path: sweeps.ber_curve(swept(), published=path), "rate,accuracy\n2,0.5", "line 2: rate must be a prob"),
    (lambda path: on_card().plot(published=path), "rate,accuracy\n0.1,0.5", "must have the columns cycles, accuracy"),
    (lambda path: on_card().plot(published=path), "cycles,accuracy\n0,0.5", "line 2: cycles must be > 0"),
    (lambda path: on_card("condition").plot(published=path), "condition,accuracy\nweak,0.5", "an axis of numbers"),
    (lambda path: on_card().plot_pareto(published=path), "energy_joule,accuracy\n-1,0.5", "energy_joule must be > 0"),
    (lambda path: devices.load_card("teaching").plot(condition="weak", published=path), "cycles,rate\n10,0",
     "a rate of 0 has no place"),
])
def test_points_without_a_place_on_the_axis_are_refused(draw, text, message, tmp_path):
    head, point = text.split("\n")
    (tmp_path / "points.csv").write_text(f"{head},citation\n{point},A\n")
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "points.csv")


def test_the_command_refuses_bad_points_before_the_sweep_and_draws_good_ones(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("voltage_volt,accuracy,citation\n0.6,0.9,A\n")
    words = "sram_synthetic --values 0.6,0.7 --trials 1 --limit 20 --quiet --published points.csv".split()
    assert device_sweep.main([*words, "--plot", "a.png"]) == 0
    with pytest.raises(SystemExit):
        device_sweep.main([*words, "--pareto", "b.png", "--out", "sweep.h5"])
    assert "must have the columns energy_joule, accuracy, citation" in capsys.readouterr().err
    assert (tmp_path / "a.png").exists() and not (tmp_path / "sweep.h5").exists()
    with pytest.raises(SystemExit):
        device_sweep.main(words)
    assert "--published goes with --plot or --pareto" in capsys.readouterr().err
