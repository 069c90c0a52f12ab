"""Networks that others have published, by one call each: their own counts and scores, exactly."""

import gzip

import numpy as np
import published
import pytest
from PIL import Image

import bnnsim
import bnnsim.convert as convert
import bnnsim.interop as interop

CNV = "C64p0 C64p0 MP2 C128p0 C128p0 MP2 C256p0 C256p0 FC512 FC512 FC43"
TFC = "qonnx/models/MNIST/Brevitas_FINN_TFC/TFC"


@pytest.fixture(scope="module")
def test_set():
    return bnnsim.load_dataset("mnist", folder=published.mnist())[1]


def read(name, target, path, *spec, **how):
    """The network, and what is expected of it; the scores of the images that came with it are right."""
    files = published.unpacked(name, target)
    imported = interop.read_network(files / path, *spec, **how)
    with np.load(files / "expect.npz") as expected:
        expected = dict(expected)
    np.testing.assert_allclose(imported.network.scores(expected["x"]), expected["scores"], rtol=1.3e-7, atol=1.3e-7)
    return imported, expected


def n_right(network, images, test):
    return int(np.sum(network.predict(images) == test.labels))


def test_qonnx_tfc(tmp_path, test_set):
    imported, _ = read("qonnx_tfc", tmp_path, f"{TFC}/TFC_1W1A.onnx", input="unit")
    assert imported.form == "QONNX" and imported.code.level == 128
    assert n_right(imported.network, interop.binary_images(test_set.images, imported.code.level), test_set) == 9296
    with pytest.raises(ValueError, match=r"TFC_1W2A.onnx: Quant_13 \(Quant\) quantizes to 2 bit"):
        bnnsim.load_network(tmp_path / f"{TFC}/TFC_1W2A.onnx", input="unit")


def test_ttsky_larq(tmp_path, test_set):
    imported, expected = read("ttsky_larq", tmp_path, "ttsky/src/Python311_training/mnist_bnn_unconverted.h5")
    assert imported.network.checksum == expected["checksum"]
    assert n_right(imported.network, (test_set.images > 127).astype(np.uint8), test_set) == 8284


def test_pynq_cnv(tmp_path):
    imported, expected = read("pynq_cnv_road-signs", tmp_path, "pynq/bnn/params/road-signs/cnvW1A1", CNV,
                              input_shape=(3, 32, 32))
    assert imported.network.checksum == expected["checksum"] and imported.network.input_offset == 128
    image = thumbnail(tmp_path / "pynq/tests/Test_image/stop.jpg")
    last = imported.network.stages[-1]
    sums = last.sums(imported.network.run(0, image, last.index))[0, 0]
    assert sums.argmax() == 14 and (sums[14] + last.layer.fan_in) / 2 == 406                # 14 is "stop", of 43 signs


def thumbnail(path):
    """A picture as the authors prepare it [M, recalled]: small, on white, 2 p / 255 - 1 in steps of 1 / 128."""
    with Image.open(path) as picture:
        picture.thumbnail((32, 32), Image.Resampling.LANCZOS)
        square = Image.new("RGBA", (32, 32), (255, 255, 255, 0))
        square.paste(picture, tuple(int((32 - size) / 2) for size in picture.size))
    pixels = np.asarray(square)[:, :, :3].transpose(2, 0, 1)[None]
    return np.clip(np.rint(np.ascontiguousarray(pixels) * (256 / 255)), 0, 255).astype(np.uint8)


def test_courage(tmp_path, test_set):
    """7,347 right, of pixels above the mean (33.3); the count less that of the authors' log is 2 in each row."""
    imported, expected = read("courage", tmp_path, "courage/Verilog/data", "FC256 FC10", input_shape=(1, 28, 28),
                              input="binary", weights="bits", popcount=True)
    assert imported.network.checksum == expected["checksum"]
    right = imported.network.predict(interop.binary_images(test_set.images, 34)) == test_set.labels
    assert right.sum() == 7347
    rows = [line.split() for line in (tmp_path / "courage/Python/accuracy_log.txt").read_text().splitlines()]
    n, percent = np.array([int(row[0]) for row in rows]), np.array([float(row[1]) for row in rows])
    assert len(n) == 9999 and set(right.cumsum()[n - 1] - np.rint(percent / 100 * n).astype(int)) == {2}


def test_by_one_command(tmp_path, capsys):
    """The command line does what the calls above do."""
    files = published.unpacked("courage", tmp_path)
    out = tmp_path / "net.h5"
    words = ["--spec", "FC256 FC10", "--input-shape", "1,28,28", "--input", "binary", "--weights", "bits", "--popcount"]
    assert convert.main([str(files / "courage/Verilog/data"), *words, "--out", str(out)]) == 0
    assert "fc1_weight_bin, fc1_threshold_bin" in capsys.readouterr().out
    with np.load(files / "expect.npz") as expected:
        assert bnnsim.PackedNetwork.load(out).checksum == expected["checksum"]


def test_the_test_images_are_mnist_s(test_set):
    """The counts above are of these."""
    with gzip.open(published.mnist() / "t10k-labels-idx1-ubyte.gz") as file:
        assert np.array_equal(np.frombuffer(file.read()[8:], np.uint8), test_set.labels)
