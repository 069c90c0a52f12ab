"""The command line and the figures of certificates and constructions."""

import csv

import numpy as np
import pytest
from test_certificates import case, wide

import bnnsim.certify as certify
import bnnsim.figures.proofs as proofs
import bnnsim.proofs.universal as universal
from bnnsim.proofs.certificates import Certificates, certified_flips


def test_the_shipped_network_by_default(capsys, tmp_path):
    """Table, CSV and figure; the last layer's column and the least row agree with the library."""
    out, plot = tmp_path / "c.csv", tmp_path / "c.png"
    argv = ["--limit", "40", "--flips", "0,5,100", "--attack", "--out", str(out), "--plot", str(plot)]
    assert certify.main(argv) == 0
    text = capsys.readouterr().out
    assert "fashion_fcnn, fashion-subset-test[:40], 40 images" in text and "median" in text
    rows = list(csv.DictReader(out.read_text().splitlines()))
    right = np.array([row["label"] == row["class"] for row in rows])
    for k, line in zip((0, 5, 100), text.splitlines()[3:6]):
        shares = [100 * np.mean(right & (np.array([int(row[name]) for row in rows]) >= k))
                  for name in ("layer 0", "layer 1", "layer 2", "anywhere")]
        assert [float(cell) for cell in line.split()[1:]] == pytest.approx(shares, abs=0.006)
    for row in rows:
        for name in ("layer 0", "layer 1", "layer 2", "anywhere"):
            assert int(row[name]) < int(row[f"{name}, broken by"]) or row[f"{name}, broken by"] == "-1"
    assert plot.stat().st_size > 10_000


@pytest.mark.parametrize("argv, message", [
    (["--flips", "1,x"], "flips must be integers >= 0"), (["--flips", "-1"], "flips must be integers >= 0"),
    (["--limit", "0"], "limit must be >= 1"), (["--out", "x.txt"], "must end in .csv"),
    (["--plot", "x.gif"], "must end in .png or .svg or .pdf"), (["none.h5"], "none.h5")])
def test_bad_input_is_one_line(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        certify.main(argv)
    text = capsys.readouterr().err
    assert stop.value.code == 2 and message in text and text.count("\n") == 1


def test_figures(tmp_path):
    """Curves fall from the clean accuracy; panels hold all images; maps hold the measured error."""
    network, images = wide()
    found = certified_flips(network, images)
    figure = proofs.certified_accuracy(found, np.arange(3), tmp_path / "curve.svg", "three images")
    assert len(figure.axes[0].lines) == 4
    for line in figure.axes[0].lines:
        assert line.get_ydata()[0] == 100 and (np.diff(line.get_ydata()) <= 0).all() and line.get_ydata()[-1] == 0
    figure = proofs.tightness({"a": ([0, 3], [2, 4]), "b": ([1, 1], [1, 9])}, tmp_path / "tight.png")
    assert [len(axes.lines[1].get_xdata()) for axes in figure.axes] == [2, 2] and "0.38" in figure.axes[0].get_title()
    for d in (1, 2):
        network = universal.lipschitz(lambda x: x[:, 0], 1.0, 0.3, [(0, 1)] * d)
        figure = universal.draw(network, lambda x: x[:, 0], tmp_path / f"{d}.pdf", 31)
        assert "largest error here" in figure.get_suptitle() and len(figure.axes) == (2 if d == 1 else 6)


@pytest.mark.parametrize("call, error, message", [
    (lambda: proofs.certified_accuracy([1, 2], [1, 2]), TypeError, "certificates must be a result of bnnsim.proofs"),
    (lambda: proofs.certified_accuracy(Certificates(np.ones((2, 1)), np.ones(2), np.ones(2)), [1]), ValueError,
     "labels must have shape"),
    (lambda: proofs.tightness({}), ValueError, "at least one entry"),
    (lambda: universal.draw(case("one hidden", 0)[0], universal.saddle), ValueError,
     "must be one that bnnsim.universal made"),
    (lambda: universal.draw(universal.boolean([0, 1] * 4, 3), universal.saddle), ValueError,
     "one or two inputs")])
def test_bad_figures(call, error, message):
    with pytest.raises(error, match=message):
        call()
