"""Every hint of an error message leads to the right result: the table's calls fail, and what they say is then done.

A row: the call that fails, what the message must have in it, and the names that its code reads. The code behind "pass"
is taken out of the message and run; `right` is what it must give.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bnnsim
from bnnsim import PackedBits, PackedNetwork, Split
from bnnsim.checks import check_choice, check_images, check_labels, nearest

RNG = np.random.default_rng(12)
PIXELS = RNG.integers(0, 256, (5, 3, 6, 7), np.uint8)
SIGNS = RNG.choice([-1, 1], (4, 12))
KERNELS = RNG.choice([-1, 1], (4, 3, 2, 2))
SHAPE = (3, 6, 7)


def code_of(message):
    """The expression behind "pass": the longest that parses."""
    text = message.split(" pass ", 1)[1]
    for stop in range(len(text), 0, -1):
        try:
            found = ast.parse(text[:stop].strip(), mode="eval").body
        except SyntaxError:
            continue
        return ast.get_source_segment(text, found.elts[0] if isinstance(found, ast.Tuple) else found)
    raise AssertionError(f"no code in {message!r}")


def refused(call, part):
    with pytest.raises((ValueError, TypeError), match=part) as caught:
        call()
    return str(caught.value)


def labelled(images):
    return Split(images, np.zeros(len(images), int), "mine")


FOLLOWED = {
    "integers of another type": (PIXELS.astype(np.int64), "of values 0 to 255"),
    "float levels": (PIXELS.astype(np.float32), "of values 0 to 255"),
    "float levels that are not whole": (np.clip(PIXELS + 0.3, 0, 255), "np.round.images."),
    "shares of 1": (PIXELS / np.float32(255), "of values 0 to 1"),
    "another order": (PIXELS.transpose(0, 2, 3, 1), "in N, H, W, C order"),
    "rows": (PIXELS.reshape(5, -1), "reshape"),
    "lists": (PIXELS.tolist(), "nested lists"),
}


@pytest.mark.parametrize("row", FOLLOWED)
def test_images_become_what_they_were(row):
    """A hint leads on to the next until the pixels are right: `* 255` on levels 0..255 cost 54 points of accuracy."""
    images, part = FOLLOWED[row]
    message = refused(lambda: check_images(images, SHAPE), part)
    for _ in range(3):
        images = eval(code_of(message), {"np": np, "images": images})
        try:
            images = check_images(images, SHAPE)
            break
        except (ValueError, TypeError) as error:
            message = str(error)
    np.testing.assert_array_equal(images, PIXELS)


@pytest.mark.parametrize("images, shape, right", [
    (PIXELS[0], SHAPE, PIXELS[:1]),
    (PIXELS[0].astype(np.float64), SHAPE, PIXELS[:1]),
    (PIXELS[0].transpose(1, 2, 0), SHAPE, PIXELS[:1]),
    (PIXELS[0].ravel(), SHAPE, PIXELS[:1]),
    (PIXELS[:1, 0], (1, 6, 7), PIXELS[:1, :1]),                  # one image of one channel, or of grey ones the only
    (PIXELS[:, 0], (1, 6, 7), PIXELS[:, :1]),
    (PIXELS[0, 0], (1, 6, 7), PIXELS[:1, :1]),
    (PIXELS[:, 0, :, :, None], (1, 6, 7), PIXELS[:, :1])])
def test_one_image_becomes_a_batch(images, shape, right):
    for _ in range(2):
        message = refused(lambda: check_images(images, shape), "images must")
        images = eval(code_of(message), {"np": np, "images": images})
        if images.shape == right.shape:
            break
    np.testing.assert_array_equal(check_images(images, shape), right)


def test_of_an_image_alone_the_network_s_shape_tells_what_it_is():
    """(6, 6, 6) of a network of 3 x 6 x 6 is neither one image nor grey ones; of no network it may be either."""
    assert "pass" not in refused(lambda: check_images(np.zeros((6, 6, 6), np.uint8), (3, 6, 6)), "must have shape")
    message = refused(lambda: labelled(PIXELS[0]), "for grey images pass")
    assert message.endswith("for one image in C, H, W order images[None]")


def test_grey_and_black_and_white_images():
    grey = PIXELS[:, 0]
    np.testing.assert_array_equal(eval(code_of(refused(lambda: check_images(grey, (1, 6, 7)), "grey")),
                                       {"images": grey}), PIXELS[:, :1])
    code = code_of(refused(lambda: check_images(PIXELS > 99), "True is white"))
    white = eval(code, {"np": np, "images": PIXELS > 99})
    np.testing.assert_array_equal(check_images(white), np.where(PIXELS > 99, 255, 0))


@pytest.mark.parametrize("images, part", [
    (PIXELS / 128 - 1, "of values -1 to .*, which are no pixels: undo"),
    (PIXELS.astype(int) * 2, "of values 0 to 510, which are no pixels"),
    (np.where(PIXELS < 9, np.nan, PIXELS), "of values nan to nan"),
    ((PIXELS > 99).astype(int), "whether 1 is the second darkest level or white is not known"),
    (np.ma.masked_greater(PIXELS, 250), "images must have no masked values, got .* is not known")])
def test_what_images_are_not_known_to_be_is_said(images, part):
    assert " 255)" not in refused(lambda: check_images(images, SHAPE), part)


@pytest.mark.parametrize("shape", [(2, 28, 28, 1), (2, 32, 32, 3)])
def test_a_split_in_another_order_is_refused(shape):
    """A Split knows no network: the shape alone tells."""
    images = RNG.integers(0, 256, shape, np.uint8)
    message = refused(lambda: labelled(images), "looks like N, H, W, C")
    np.testing.assert_array_equal(labelled(eval(code_of(message), {"images": images})).images,
                                  np.moveaxis(images, 3, 1))
    assert labelled(np.zeros((2, 28, 1, 1), np.uint8)) and labelled(np.zeros((2, 3, 28, 3), np.uint8))


# ---------------------------------------------------------------- weights

def packed(weight, **norm):
    hidden = {"weight": weight, "threshold": np.zeros(4)} if not norm else {"weight": weight, **norm}
    return PackedNetwork.from_arrays([hidden, {"weight": SIGNS[:2, :4]}], (3, 2, 2))


BITS = {
    "bits": (np.where(SIGNS == 1, 1, 0), "for bits, where 1 stands for .1"),
    "bits as uint8": (np.where(SIGNS == 1, 1, 0).astype(np.uint8), "for bits"),
    "bits as floats": (np.where(SIGNS == 1, 1.0, 0.0), "for bits"),
    "wrapped": (SIGNS.astype(np.uint8), "for -1 that became 255 as uint8"),
    "bool": (SIGNS == 1, "if True stands for .1"),
    "white and black": (np.where(SIGNS == 1, 255, 0), "there are 0 and 255, and which stands for .1 is not known"),
    "latent": (SIGNS * RNG.uniform(0.1, 1, SIGNS.shape), "for latent weights .* trained to compute with their signs"),
}


@pytest.mark.parametrize("row", BITS)
def test_weights_become_what_they_were(row):
    """np.where(w >= 0, 1, -1) makes +1 of every bit."""
    weight, part = BITS[row]
    code = code_of(refused(lambda: packed(weight), part))
    np.testing.assert_array_equal(eval(code, {"np": np, "w": weight}), SIGNS)
    if row != "bool":                                           # of which PackedBits.pack knows what True is
        code = code_of(refused(lambda: PackedBits.pack(weight), part))
        np.testing.assert_array_equal(eval(code, {"np": np, "v": weight}), SIGNS)


@pytest.mark.parametrize("weight, part", [
    (SIGNS * (RNG.random(SIGNS.shape) < 0.7), "there are -1, 0 and 1: 0 has no bit"),
    (SIGNS * 0.3 * (RNG.random(SIGNS.shape) < 0.7), "ternary weights no exact form"),
    (SIGNS * np.array([[1], [2], [3], [.5]]) * (RNG.random(SIGNS.shape) < 0.7), "ternary weights no exact form"),
    (RNG.integers(-127, 128, SIGNS.shape), "weights of several bits"),
    (0 * SIGNS, "all are 0: whether they are bits, or not set yet, is not known"),
    (np.where(SIGNS == 1, np.nan, 1), "must be finite, got nan"),
    (np.ma.masked_equal(SIGNS, 1), "weight must have no masked values")])
def test_weights_that_have_no_signs_get_none(weight, part):
    assert "np.where" not in refused(lambda: packed(weight), part)
    assert "np.where" not in refused(lambda: PackedBits.pack(weight), part.replace("weight must", "values must"))


def scaled_norm(s):
    return {"gamma": RNG.normal(size=4), "beta": RNG.normal(size=4), "mean": s * RNG.normal(0, 400, 4),
            "var": s**2 * RNG.uniform(1e4, 1e6, 4), "eps": 0.1}


@pytest.mark.parametrize("s", [np.full(4, 0.02), np.array([0.5, 2, 0.01, 3])])
def test_the_scale_of_weights_goes_into_the_batch_norm(s):
    """As the message says to do it; what the network computes is what the scaled one does."""
    w, norm, bias = SIGNS * s[:, None], scaled_norm(s), s * np.array([150, -300, 80, 400])
    message = refused(lambda: packed(w, **norm), "each unit has .-s: the scale belongs into batch norm")
    names = {"np": np, "w": w, "bias": bias, **norm}
    names["s"] = eval(re.search(r"with s = (.*?) pass", message)[1], names)
    hidden = {name: eval(re.search(rf"\b{name} as (.*?)(?:,| and|$)", message)[1], names)
              for name in ("w", "bias", "mean", "var", "eps")}
    network = packed(hidden.pop("w"), gamma=norm["gamma"], beta=norm["beta"], **hidden)
    images = RNG.integers(0, 256, (50, 3, 2, 2), np.uint8)
    h = images.transpose(0, 2, 3, 1).reshape(50, -1) @ w.T + bias
    y = (h - norm["mean"]) / np.sqrt(norm["var"] + norm["eps"]) * norm["gamma"] + norm["beta"]
    np.testing.assert_array_equal(network.scores(images), np.where(y >= 0, 1, -1) @ SIGNS[:2, :4].T)
    theta = s * RNG.normal(0, 400, 4)
    network = packed(np.sign(w), bias=bias / s, threshold=eval(re.search(r"threshold as (.*?);", message)[1],
                                                               {"s": s, "threshold": theta}))
    np.testing.assert_array_equal(network.scores(images), np.where(h >= theta, 1, -1) @ SIGNS[:2, :4].T)
    last = eval(f"dict({message.split('where neither follows, ')[1]})", {"s": s})
    network = PackedNetwork.from_arrays([{"weight": np.sign(w), "bias": bias / s, **last}], (3, 2, 2))
    np.testing.assert_allclose(network.scores(images), h, rtol=1e-12, atol=1e-9)


def conv_network(weight, channels=3, **more):
    return PackedNetwork.from_arrays([{"weight": weight, "threshold": np.zeros(4), **more},
                                      {"weight": np.ones((2, 4 * 5 * 6))}], (channels, 6, 7))


def test_kernels_in_another_order():
    wanted = conv_network(KERNELS.transpose(0, 2, 3, 1)).checksum
    message = refused(lambda: conv_network(KERNELS), r"looks like PyTorch's .K, C, kh, kw.")
    assert conv_network(eval(code_of(message), {"w": KERNELS})).checksum == wanted
    assert conv_network(KERNELS, order="CHW").checksum == wanted


def test_kernels_that_may_be_in_either_order_are_asked_about():
    """(16, 3, 3, 3) on three channels: no shape tells; nothing is assumed in silence."""
    weight = RNG.choice([-1, 1], (4, 3, 3, 3))

    def network(weight, **more):
        return PackedNetwork.from_arrays([{"weight": weight, "threshold": np.zeros(4), **more},
                                          {"weight": np.ones((2, 4 * 4 * 5))}], (3, 6, 7))

    with pytest.warns(UserWarning, match=r"taken as .K, kh, kw, C., but may as well .* order='HWC' or order='CHW'"):
        assumed = network(weight).checksum
    assert assumed == network(weight, order="HWC").checksum
    turned = network(weight.transpose(0, 2, 3, 1), order="HWC").checksum
    assert network(weight, order="CHW").checksum == turned != assumed


# ---------------------------------------------------------------- names

@pytest.mark.parametrize("word, choices, meant", [
    ("fasion", ("fashion", "mnist"), "fashion"), ("CIFAR-10", ("cifar10",), "cifar10"), ("mlh", ("mhl",), "mhl"),
    ("cross_entropy", ("cross-entropy",), "cross-entropy"), ("row", ("rows", "columns"), "rows"),
    ("resistence_ohm", ("resistance_ohm",), "resistance_ohm"), ("ablation", ("ablate",), "ablate"),
    ("device", ("resistance_ohm", "state"), None), ("hrs_mean_ohm", ("hrs_median_ohm",), None),
    ("lrs_median_ohm", ("hrs_median_ohm",), None), ("cifar100", ("cifar10",), None), ("p01", ("p10",), None),
    ("best", ("last",), None), ("fashion-mnist", ("fashion", "mnist"), None),
    ("float16", ("float32", "fixed16"), None)])
def test_only_slips_of_the_pen_get_a_name(word, choices, meant):
    assert nearest(word, choices) == meant
    message = refused(lambda: check_choice("x", word, choices), "x must be one of")
    assert message.endswith(f"did you mean {meant!r}?") if meant else "did you mean" not in message


# ---------------------------------------------------------------- labels

def test_labels_beyond_the_classes_are_refused():
    """They would count as wrong answers."""
    network = packed(SIGNS)
    model = bnnsim.architectures.build("FC4 FC2", (3, 2, 2), rng=0)
    split = Split(RNG.integers(0, 256, (3, 3, 2, 2), np.uint8), [0, 1, 2], "mine")
    for each in (network, model):
        refused(lambda each=each: each.accuracy(split), r"labels must be in 0\.\.1, got 0\.\.2")


def test_masked_arrays_are_refused():
    hidden = np.ma.masked_equal(np.arange(4), 2)
    refused(lambda: check_labels(hidden, 4, 10), "labels must have no masked values, got 1 of 4")
    norm = {"gamma": hidden, "beta": np.ones(4), "mean": np.ones(4), "var": np.ones(4)}
    refused(lambda: packed(SIGNS, **norm), "gamma must have no masked values")
    assert check_labels(np.ma.array(np.arange(4)), 4, 10).tolist() == [0, 1, 2, 3]


# ---------------------------------------------------------------- files and processes

SCRIPT = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import bnnsim
from bnnsim.commands.inputs import shipped_file

def work():
    test = bnnsim.load_dataset("fashion-subset")[1][:20]
    network = bnnsim.PackedNetwork.load(shipped_file())
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        print(bnnsim.sweep(network, test, [0.1], 1, rng=0, executor=pool, progress=False).accuracy.size)
"""


def test_the_main_guard_that_is_missing(tmp_path):
    """"A worker process died" sent the user to look for want of memory."""
    def run(last):
        (tmp_path / "script.py").write_text(SCRIPT + last)
        return subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)

    error = run("work()\n").stderr
    guard = re.search('needs (if __name__ == "__main__":) around what it does', error)
    assert guard, error[-2000:]
    assert run(f"{guard[1]}\n    work()\n").stdout == "1\n"


def test_no_hint_says_to_delete_what_may_be_the_user_s():
    """A remedy is to move away, or to take another name."""
    for path in Path(bnnsim.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise):
                text = " ".join(part.value for part in ast.walk(node)
                                if isinstance(part, ast.Constant) and isinstance(part.value, str))
                assert not re.search("delete|remove (it|the)", text), (path, node.lineno)


def test_masked_samples_are_refused():
    """What a measurement's mask hides, an overflow code for one, was taken for a resistance."""
    samples = np.ma.masked_greater(np.array([1e3, 2e3, 9.91e37]), 1e30)
    refused(lambda: bnnsim.devices.Empirical(samples), "samples_ohm must have no masked values, got 1 of 3")
