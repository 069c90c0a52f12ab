"""Weights as packed words, of C headers and of memory texts, against naive sums; what is not told is refused."""

import foreign_files as foreign
import numpy as np
import pytest
from test_formats import SHAPE, check, integer_network, integer_scores

import bnnsim
import bnnsim.interop as interop


@pytest.fixture(params=[3, 4])
def rng(request):
    return np.random.default_rng(request.param)


def packed_by_hand(bits, width, bit_order, run, as_number=False):
    """Words of rows of 0 and 1, runs of which begin a word; a last one filled behind its bits, or a plain number."""
    words = []
    for row in bits.reshape(-1, run):
        for part in (row[at:at + width] for at in range(0, run, width)):
            room = len(part) if as_number else width
            places = range(len(part)) if bit_order == "lsb" else range(room - 1, room - 1 - len(part), -1)
            words.append(sum(int(bit) << place for bit, place in zip(part, places)))
    return words


def c_words(kind, name, words, axes="[]"):
    return f"static const {kind} {name}{axes} = {{{', '.join(map(hex, words))}}};\n"


@pytest.mark.parametrize("bit_order, as_number", [("lsb", False), ("msb", False), ("msb", True)])
@pytest.mark.parametrize("kind, width", [("uint8_t", 8), ("const unsigned short", 16), ("std::uint32_t", 32),
                                         ("unsigned int", 32), ("uint64_t", 64), ("ap_uint<64>", 64),
                                         ("unsigned long long", 64)])
@pytest.mark.parametrize("running", [True, False])
def test_packed_words_of_c(tmp_path, rng, kind, width, bit_order, as_number, running):
    """72 is no multiple of 16, 32, 64; units begin a word, or follow each other in one row of bits."""
    first, t, last = integer_network(rng)
    images = interop.binary_images(foreign.images_of(rng))
    text = "".join(c_words(kind, name, packed_by_hand(w > 0, width, bit_order, w.size if running else w.shape[1],
                                                      as_number)) for name, w in (("w1", first), ("w2", last)))
    (tmp_path / "x.h").write_text(text + c_words("int16_t", "thr1", t))
    how = {"spec": "FC12 FC4", "input_shape": SHAPE, "input": "binary", "popcount": True}
    network = bnnsim.load_network(tmp_path / "x.h", weights="bits", bit_order=bit_order, **how)
    np.testing.assert_array_equal(network.scores(images), integer_scores(first, t, last, images.astype(int) - 1))
    with pytest.raises(ValueError, match="w1 .*say bit_order='lsb' where the lowest bit"):
        bnnsim.load_network(tmp_path / "x.h", weights="bits", **how)
    with pytest.raises(ValueError, match="weights are 0 and 1: if 0 stands for -1"):
        bnnsim.load_network(tmp_path / "x.h", bit_order=bit_order, **how)
    table = interop.read_network(tmp_path / "x.h", weights="bits", bit_order=bit_order, **how).table()
    assert table.count(f"of each word the {'lowest' if bit_order == 'lsb' else 'highest'} bit first") == 2
    opposite = bnnsim.load_network(tmp_path / "x.h", weights="sign-bits", bit_order=bit_order, **how)
    np.testing.assert_array_equal(opposite.layers[0].signs(), -network.layers[0].signs())


@pytest.mark.parametrize("bit_order", ["lsb", "msb"])
def test_packed_words_and_a_layer_list(tmp_path, rng, bit_order):
    """A layer's "shape" says that its words are packed, and how."""
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    arrays, listed, text = foreign.state_dict(layers), [], ""
    for i, fields in enumerate(layers):
        bits, norm = fields["weight"] > 0, {}
        for leaf, part in (("weight", "gamma"), ("bias", "beta"), ("running_mean", "mean"), ("running_var", "var")):
            values = ", ".join(map(repr, arrays[f"features.{2 * i + 1}.{leaf}"].astype(float).tolist()))
            text += f"const float {part}_{i}[] = {{{values}}};\n"
            norm[part] = f"{part}_{i}"
        text += c_words("uint32_t", f"w{i}", packed_by_hand(bits, 32, bit_order, bits[0].size))
        listed.append({"weight": f"w{i}", "shape": bits.shape, "eps": foreign.EPS, **norm})
        if bits.ndim == 4:
            listed[-1] |= {"order": "CHW", "padding": fields["padding"], "pool": fields.get("pool", 1)}
    listed[2]["flatten"] = "CHW"
    (tmp_path / "x.h").write_text(text)
    how = {"input_shape": SHAPE, "weights": "bits"}
    check(interop.read_network(tmp_path / "x.h", listed, bit_order=bit_order, **how), layers, images)
    with pytest.raises(ValueError, match="w0 has packed words: say bit_order="):
        interop.read_network(tmp_path / "x.h", listed, **how)
    listed[0]["shape"] = (5, 2, 3)
    with pytest.raises(ValueError, match=r"layers\[0\] shape must be that of weights"):
        interop.read_network(tmp_path / "x.h", listed, bit_order=bit_order, **how)
    listed[0]["shape"] = (5, 7, 3, 3)
    with pytest.raises(ValueError, match="w0: 5 words of 32 bits do not hold 5 x 7 x 3 x 3 weights with bit_order="):
        interop.read_network(tmp_path / "x.h", listed, bit_order=bit_order, **how)


def test_packed_words_of_kernels(tmp_path, rng):
    """Sizes of an array say where a kernel's words stand; where they do not, a layer list is asked for."""
    weight, t, last = rng.choice([-1, 1], (8, 2, 3, 3)), rng.integers(-300, 300, 8), rng.choice([-1, 1], (4, 8 * 16))
    images = foreign.images_of(rng)
    bits = np.where(foreign.convolved(images.astype(int), weight, 0) >= t[:, None, None], 1, -1)
    rows = np.moveaxis(weight, 1, -1) > 0
    others = c_words("int", "thr1", t) + c_words("uint16_t", "w2", packed_by_hand(last > 0, 16, "msb", 128))
    how = {"spec": "C8p0 FC4", "input_shape": SHAPE, "weights": "bits", "bit_order": "msb"}
    (tmp_path / "x.h").write_text(others + c_words("uint8_t", "w1", packed_by_hand(rows, 8, "msb", 2), "[8][3][3][1]"))
    with pytest.raises(ValueError, match="spec wants C8|w2"):
        bnnsim.load_network(tmp_path / "x.h", **how)                # w2 stands before w1 in the file
    (tmp_path / "x.h").write_text(c_words("uint8_t", "w1", packed_by_hand(rows, 8, "msb", 2), "[8][3][3][1]") + others)
    network = bnnsim.load_network(tmp_path / "x.h", **how)
    np.testing.assert_array_equal(network.scores(images), bits.reshape(len(images), -1) @ last.T)
    for run in (18, 2):
        (tmp_path / "x.h").write_text(c_words("uint8_t", "w1", packed_by_hand(rows, 8, "msb", run)) + others)
        with pytest.raises(ValueError, match="w1: in which order a kernel's weights .*'shape': .8, 2, 3, 3., 'order'"):
            bnnsim.load_network(tmp_path / "x.h", **how)


def test_packed_words_that_can_be_read_in_two_ways(tmp_path):
    """Ten units of 31 ones: a row of bits, or words of 31; nothing is chosen."""
    (tmp_path / "x.h").write_text(c_words("uint32_t", "w", [2**31 - 1] * 9 + [2**31 - 1]))
    how = {"spec": "FC10", "input_shape": (1, 1, 31), "weights": "bits", "bit_order": "lsb"}
    assert bnnsim.load_network(tmp_path / "x.h", **how).layers[0].signs().all()         # zeros are in a row of bits
    (tmp_path / "x.h").write_text(c_words("uint32_t", "w", [0] * 10))
    how["weights"] = "bits"
    with pytest.raises(ValueError, match="got 0 to 0"):                                 # the same network in both
        bnnsim.load_network(tmp_path / "x.h", **how)
    (tmp_path / "x.h").write_text(c_words("uint32_t", "w", [1] * 5 + [0] * 5))
    with pytest.raises(ValueError, match="w: 10 words of 32 bits can be read in 2 ways 10 x 31 weights"):
        bnnsim.load_network(tmp_path / "x.h", **how)
    (tmp_path / "x.h").write_text(c_words("long", "w", [1] * 10))
    with pytest.raises(ValueError, match="how many bits its words have is not known .* declare it as uint8_t"):
        bnnsim.load_network(tmp_path / "x.h", **how)


@pytest.mark.parametrize("digits, more", [("b", {}), ("b", {"bit_order": "lsb"}), ("h", {"bit_order": "msb"})])
def test_a_layer_list_of_memory_texts(tmp_path, rng, digits, more):
    """A convolution's rows have a shape and an order; thresholds are numbers, of popcounts where that is said."""
    weight, t, last = rng.choice([-1, 1], (8, 2, 3, 3)), rng.integers(5, 14, 8), rng.choice([-1, 1], (4, 8 * 16))
    images = interop.binary_images(foreign.images_of(rng))
    turn = -1 if more.get("bit_order") == "lsb" else 1
    for name, bits in {"1": weight.reshape(8, -1)[:, ::turn] > 0, "1_t": t[:, None] >> np.arange(7, -1, -1) & 1,
                       "2": last[:, ::turn] > 0}.items():
        (tmp_path / f"{name}.mem{digits}").write_bytes(foreign.memory_text(bits.astype(int), digits))
    listed = [{"weight": "1", "shape": weight.shape, "order": "CHW", "threshold": "1_t"},
              {"weight": "2", "shape": last.shape}]
    how = {"input_shape": SHAPE, "input": "binary", "weights": "bits", "popcount": True, **more}
    if not more:
        with pytest.raises(ValueError, match="1 has packed words: say bit_order="):
            bnnsim.load_network(tmp_path, listed, **how)
        how["bit_order"] = "msb"
    h = foreign.convolved(images.astype(int) - 1, weight, 0)
    bits = np.where(h >= (2 * t - 18)[:, None, None], 1, -1)
    np.testing.assert_array_equal(bnnsim.load_network(tmp_path, listed, **how).scores(images),
                                  bits.reshape(len(images), -1) @ last.T)              # flatten is PyTorch's, CHW
    del listed[1]["shape"]
    with pytest.raises(ValueError, match=r"2 has packed words: give layers\[1\] the 'shape' of its weights, and say"):
        bnnsim.load_network(tmp_path, listed, **how)
    listed[0] |= {"padding": 1}
    with pytest.raises(ValueError, match="1: thresholds of popcounts say nothing where a padding of 0 is no bit"):
        bnnsim.load_network(tmp_path, listed, **how)
