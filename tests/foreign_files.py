"""Small networks, evaluated naively, and written in the formats of other programs without any of their code.

A plan is a list of layers: weight +-1, (K, C, kh, kw) or (U, F) with features in C, H, W order, norm (gamma, beta,
mean, var), and of convolutions padding and pool.
"""

import io
import json
import pickle
import struct
import zipfile

import h5py
import numpy as np

EPS = 1e-3


# ---------------------------------------------------------------- networks

def plan(rng, conv=True, shape=(2, 6, 6), classes=4):
    """A convolution with pooling, one with a kernel that is no square, two dense layers; or dense ones alone."""
    layers, (channels, height, width) = [], shape
    if conv:
        layers = [layer(rng, (5, channels, 3, 3), 300, padding=1, pool=2),
                  layer(rng, (7, 5, 1, 2), 4, padding=0, pool=1)]
        n_in = 7 * (height // 2) * (width // 2 - 1)
    else:
        n_in = channels * height * width
    return [*layers, layer(rng, (9, n_in), 5 if conv else 800), layer(rng, (classes, 9), 3)]


def layer(rng, shape, size, **more):
    """A layer whose sums are of this size; gamma is positive."""
    units = shape[0]
    norm = {"gamma": rng.uniform(0.5, 2, units), "beta": rng.normal(0, 1, units), "mean": rng.normal(0, size, units),
            "var": rng.uniform(0.5, 2, units) * size ** 2}
    return {"weight": rng.choice([-1.0, 1.0], shape), "norm": {key: value.astype("f4") for key, value in norm.items()},
            **more}


def sums(layers, x, at_zero=1, norm_first=False):
    """Sums of each layer, (N, K, OH, OW) or (N, U), and the scores, of x (N, C, H, W)."""
    found, x = [], np.asarray(x, np.float64)
    for i, fields in enumerate(layers):
        weight, norm, pool = fields["weight"], fields["norm"], fields.get("pool", 1)
        if weight.ndim == 4:
            h = convolved(x, weight, fields["padding"])
        else:
            h = x.reshape(len(x), -1) @ weight.T
        found.append(h)
        if pool > 1 and not norm_first:
            h = pooled(h, pool)
        axis = (1, -1) + (1,) * (h.ndim - 2)
        y = (h - norm["mean"].astype("f8").reshape(axis)) / np.sqrt(norm["var"].astype("f8") + EPS).reshape(axis)
        y = y * norm["gamma"].astype("f8").reshape(axis) + norm["beta"].astype("f8").reshape(axis)
        if pool > 1 and norm_first:
            y = pooled(y, pool)
        x = np.where(y > 0, 1.0, np.where(y == 0, at_zero, -1.0))
    return found, y


def convolved(x, weight, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    kh, kw = weight.shape[2:]
    return np.array([[[[np.sum(image[:, i:i + kh, j:j + kw] * kernel) for j in range(x.shape[3] - kw + 1)]
                       for i in range(x.shape[2] - kh + 1)] for kernel in weight] for image in x])


def pooled(h, size):
    n, k, height, width = h.shape
    h = h[:, :, :height // size * size, :width // size * size]
    return h.reshape(n, k, height // size, size, width // size, size).max((3, 5))


def spec_of(layers):
    words = []
    for fields in layers:
        weight = fields["weight"]
        if weight.ndim == 2:
            words.append(f"FC{len(weight)}")
        else:
            words.append(f"C{len(weight)}k{weight.shape[2]}x{weight.shape[3]}p{fields['padding']}")
            words += [f"MP{fields['pool']}"] * (fields["pool"] > 1)
    return " ".join(words)


def images_of(rng, n=12, shape=(2, 6, 6)):
    bright = rng.random((n, *shape)) < rng.random((n, 1, 1, 1))
    return rng.integers(0, 64, (n, *shape), np.uint8) + np.uint8(191) * bright


def state_dict(layers):
    """Arrays by PyTorch's names, in order."""
    found = {}
    for i, fields in enumerate(layers):
        found[f"features.{2 * i}.weight"] = fields["weight"].astype("f4")
        names = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
        found |= {f"features.{2 * i + 1}.{names[key]}": value for key, value in fields["norm"].items()}
        found[f"features.{2 * i + 1}.num_batches_tracked"] = np.array(7, np.int64)
    return found


def hwc(layers, shape):
    """The same layers, the first dense one's features in H, W, C order."""
    layers, before = [dict(fields) for fields in layers], None
    for fields in layers:
        if fields["weight"].ndim == 4:
            before = len(fields["weight"])
        else:
            channels = before or shape[0]
            places = fields["weight"].shape[1] // channels
            fields["weight"] = fields["weight"].reshape(-1, channels, places).transpose(0, 2, 1).reshape(
                len(fields["weight"]), -1)
            break
    return layers


# ---------------------------------------------------------------- PyTorch, safetensors, npz

class Pickled:
    """Opcodes of protocol 2, one by one."""

    def __init__(self, persistent):
        self.out, self.persistent = io.BytesIO(b""), persistent
        self.out.write(b"\x80\x02")

    def text(self, value):
        data = value.encode()
        self.out.write(b"X" + struct.pack("<I", len(data)) + data)

    def whole(self, value):
        self.out.write(b"J" + struct.pack("<i", value))

    def name(self, module, name):
        self.out.write(f"c{module}\n{name}\n".encode())

    def wholes(self, values):
        self.out.write(b"(")
        for value in values:
            self.whole(value)
        self.out.write(b"t")

    def tensor(self, key, array):
        types = {"float32": "Float", "float64": "Double", "int64": "Long", "int8": "Char"}
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.out.write(b"((")
        self.text("storage")
        self.name("torch", f"{types[array.dtype.name]}Storage")
        self.text(key)
        self.text("cpu")
        self.whole(array.size)
        self.out.write(b"N" * self.persistent + b"tQ")
        self.whole(0)
        self.wholes(array.shape)
        self.wholes([int(np.prod(array.shape[i + 1:])) for i in range(array.ndim)])
        self.out.write(b"\x89")
        self.name("collections", "OrderedDict")
        self.out.write(b")RtR")

    def state(self, arrays):
        self.name("collections", "OrderedDict")
        self.out.write(b")R(")
        for i, (name, array) in enumerate(arrays.items()):
            self.text(name)
            self.tensor(str(i), array)
        self.out.write(b"u")

    def done(self):
        return self.out.getvalue() + b"."


def torch_zip(arrays, checkpoint=False):
    made = Pickled(persistent=0)
    if checkpoint:
        made.out.write(b"}(")
        made.text("epoch")
        made.whole(3)
        made.text("state_dict")
    made.state(arrays)
    if checkpoint:
        made.out.write(b"u")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("archive/data.pkl", made.done())
        file.writestr("archive/byteorder", "little")
        for i, array in enumerate(arrays.values()):
            file.writestr(f"archive/data/{i}", array.tobytes())
        file.writestr("archive/version", "3\n")
    return out.getvalue()


def torch_legacy(arrays):
    made = Pickled(persistent=1)
    made.state(arrays)
    parts = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}]
    out = b"".join(pickle.dumps(part, 2) for part in parts) + made.done()
    out += pickle.dumps([str(i) for i in range(len(arrays))], 2)
    return out + b"".join(struct.pack("<q", array.size) + array.tobytes() for array in arrays.values())


def safetensors(arrays):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    types = {"float32": "F32", "float64": "F64", "int64": "I64", "int8": "I8"}
    for name, array in arrays.items():
        header[name] = {"dtype": types[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in arrays.values())


def npz(arrays, compressed=False):
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


# ---------------------------------------------------------------- text and FINN

def c_header(arrays):
    def body(values):
        if values.ndim == 0:
            return f"{values:g}"
        return "{" + ", ".join(map(body, values)) + "}"
    lines = ["/* weights[2] = {3}; */", "#define CLASSES 4"]
    for name, values in arrays.items():
        kind = "int8_t" if values.dtype.kind == "i" else "float"
        axes = "".join(f"[{'CLASSES' if n == 4 else n}]" for n in values.shape)
        lines.append(f"static const {kind} {name.replace('.', '_')}{axes} = {body(values)};  // {values.shape}")
    return "\n".join(lines).encode()


def c_words(bits, width=32):
    """Rows of bits as hexadecimal literals, the lowest bit first, each row in words of its own."""
    return [hex(sum(int(bit) << place for place, bit in enumerate(row[at:at + width])))
            for row in bits for at in range(0, len(row), width)]


def memory_text(bits, digits="b"):
    """Words of bits (N, width), the first bit highest."""
    if digits == "h":
        bits = np.pad(bits, ((0, 0), (-bits.shape[1] % 4, 0)))
        words = ["".join(f"{int(''.join(map(str, row[i:i + 4])), 2):x}" for i in range(0, len(row), 4)) for row in bits]
    else:
        words = ["".join(map(str, row)) for row in bits]
    return ("// made by a test\n" + "\n".join(words) + "\n").encode()


def put_finn(folder, weights, thresholds, elements, simds):
    """FINN's files: weights +-1 (U, F), thresholds (U,) or None; units go round the elements."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, (weight, threshold, n, simd) in enumerate(zip(weights, thresholds, elements, simds)):
        for element in range(n):
            words = [sum(int(value > 0) << bit for bit, value in enumerate(row[at:at + simd]))
                     for row in weight[element::n] for at in range(0, weight.shape[1], simd)]
            (folder / f"{i}-{element}-weights.bin").write_bytes(np.array(words, "<u8").tobytes())
            if threshold is not None:
                (folder / f"{i}-{element}-thres.bin").write_bytes(threshold[element::n].astype("<i8").tobytes())


# ---------------------------------------------------------------- Keras

def keras_layers(layers, shape, quantized=True, sign=True):
    """(configurations, arrays by layer's name) of a Sequential, features in H, W, C order."""
    channels, height, width = shape
    configs = [{"class_name": "InputLayer",
                "config": {"name": "in", "batch_input_shape": [None, height, width, channels]}}]
    arrays = {}
    quantizer = {"class_name": "SteSign", "config": {"clip_value": 1.0}}
    flat = False
    for i, fields in enumerate(hwc(layers, shape)):
        weight = fields["weight"].astype("f4")
        common = {"use_bias": False, "kernel_quantizer": quantizer if quantized else None,
                  "input_quantizer": quantizer if i and sign else None, "activation": "linear"}
        if weight.ndim == 4:
            configs.append({"class_name": "QuantConv2D", "config": {
                "name": f"conv{i}", "filters": len(weight), "kernel_size": list(weight.shape[2:]), "strides": [1, 1],
                "padding": "same" if fields["padding"] else "valid", "pad_values": 0.0, **common}})
            arrays[f"conv{i}"] = {"kernel": weight.transpose(2, 3, 1, 0)}
        else:
            if not flat:
                configs.append({"class_name": "Flatten", "config": {"name": "flatten"}})
                flat = True
            configs.append({"class_name": "QuantDense",
                            "config": {"name": f"dense{i}", "units": len(weight), **common}})
            arrays[f"dense{i}"] = {"kernel": weight.T}
        if fields.get("pool", 1) > 1:
            configs.append({"class_name": "MaxPooling2D", "config": {
                "name": f"pool{i}", "pool_size": [fields["pool"]] * 2, "strides": [fields["pool"]] * 2,
                "padding": "valid"}})
        configs.append({"class_name": "BatchNormalization", "config": {
            "name": f"norm{i}", "axis": [3 if weight.ndim == 4 else 1],
            "epsilon": EPS, "scale": True, "center": True}})
        arrays[f"norm{i}"] = {"gamma": fields["norm"]["gamma"], "beta": fields["norm"]["beta"],
                              "moving_mean": fields["norm"]["mean"], "moving_variance": fields["norm"]["var"]}
    configs.append({"class_name": "Activation", "config": {"name": "softmax", "activation": "softmax"}})
    return configs, arrays


def keras_h5(configs, arrays, topology=True, **stored):
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        if topology:
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": configs}})
            file.attrs["keras_version"] = "2.15.0"
        root = file.create_group("model_weights") if topology else file
        root.attrs["layer_names"] = list(arrays)
        for name, parts in arrays.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{part}:0" for part in parts]
            for part, values in parts.items():
                group.create_dataset(f"{name}/{part}:0", data=values, **stored)
    return out.getvalue()


def keras_zip(configs, arrays, separator="/", compression=zipfile.ZIP_STORED):
    """Keras 3: variables are numbered, layers called by their classes."""
    inner, counts = io.BytesIO(), {}
    with h5py.File(inner, "w") as file:
        for config in configs:
            name = config["config"]["name"]
            words = {"QuantConv2D": "quant_conv2d", "QuantDense": "quant_dense"}
            word = words.get(config["class_name"], "batch_normalization")
            if name in arrays:
                n = counts.get(word, 0)
                counts[word] = n + 1
                group = file.create_group(separator.join(["layers", f"{word}_{n}" if n else word, "vars"]))
                for i, values in enumerate(arrays[name].values()):
                    group.create_dataset(str(i), data=values)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        file.writestr("metadata.json", "{}")
        file.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": configs}}))
        file.writestr("model.weights.h5", inner.getvalue())
    return out.getvalue()
