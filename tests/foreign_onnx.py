"""ONNX models, written as protocol buffers without any code of ONNX: messages, nodes, and the chain of a plan's layers.

Plans are those of `foreign_files`.
"""

import struct

import numpy as np
from foreign_files import EPS


def varint(value):
    value %= 2**64
    out = b""
    while value > 127:
        out, value = out + bytes([value % 128 + 128]), value >> 7
    return out + bytes([value])


def field(number, value):
    """A field of a message: an integer, a float, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, array, apart=None):
    """Its values in it, or behind those that are apart, of a file x.data beside the model's."""
    code = {"float32": 1, "int64": 7, "float64": 11, "int8": 3}[array.dtype.name]
    head = b"".join(field(1, n) for n in array.shape) + field(2, code) + field(8, name)
    if apart is None:
        return head + field(9, array.tobytes())
    entries = {"location": "x.data", "offset": str(len(apart)), "length": str(array.nbytes)}
    apart += array.tobytes()
    return head + b"".join(field(13, field(1, key) + field(2, text)) for key, text in entries.items()) + field(14, 1)


def attribute(name, value):
    out = field(1, name)
    if isinstance(value, float):
        return out + field(2, value) + field(20, 1)
    if isinstance(value, int):
        return out + field(3, value) + field(20, 2)
    if isinstance(value, str):
        return out + field(4, value) + field(20, 3)
    if isinstance(value, np.ndarray):
        return out + field(5, tensor("", value)) + field(20, 4)
    return out + field(8, b"".join(varint(n) for n in value)) + field(20, 7)


def node(op, inputs, output, domain="", name="", **attributes):
    return (b"".join(field(1, each) for each in inputs) + field(2, output) + field(3, name or f"{op}_{output}")
            + field(4, op) + b"".join(field(5, attribute(key, value)) for key, value in attributes.items())
            + (field(7, domain) if domain else b""))


def model(nodes, constants, shape, output, apart=None):
    def info(name, sizes):
        dims = field(1, field(2, "N")) + b"".join(field(1, field(1, n)) for n in sizes)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))
    graph = b"".join(field(1, each) for each in nodes) + field(2, "graph")
    graph += b"".join(field(5, tensor(name, array, apart)) for name, array in constants.items())
    graph += field(11, info("x", shape)) + field(12, info(output, ()))
    return field(1, 8) + field(2, "a test") + field(7, graph) + field(8, field(1, "") + field(2, 13))


def chain(layers, shape, sign="Sign", apart=None):
    """A chain; sign: "Sign", "BipolarQuant", "MultiThreshold", "Where", "Larq" or ""; apart: a bytearray for values."""
    nodes, constants, at, flat = [], {}, "x", False
    for i, fields in enumerate(layers):
        weight, last = fields["weight"].astype("f4"), i == len(layers) - 1
        constants[f"w{i}"] = weight
        if weight.ndim == 4:
            nodes.append(node("Conv", [at, f"w{i}"], f"h{i}", pads=[fields["padding"]] * 4, strides=[1, 1],
                              kernel_shape=list(weight.shape[2:])))
        else:
            if not flat:
                nodes.append(node("Flatten", [at], "flat", axis=1))
                at, flat = "flat", True
            if i % 2:
                nodes.append(node("Gemm", [at, f"w{i}"], f"h{i}", transB=1))
            else:
                nodes += [node("Transpose", [f"w{i}"], f"t{i}", perm=[1, 0]), node("MatMul", [at, f"t{i}"], f"h{i}")]
        at = f"h{i}"
        if fields.get("pool", 1) > 1:
            pool = [fields["pool"]] * 2
            nodes.append(node("MaxPool", [at], f"p{i}", kernel_shape=pool, strides=pool))
            at = f"p{i}"
        constants |= {f"{key}{i}": value for key, value in fields["norm"].items()}
        parts = [f"{key}{i}" for key in ("gamma", "beta", "mean", "var")]
        nodes.append(node("BatchNormalization", [at, *parts], f"n{i}", epsilon=EPS))
        at = f"n{i}"
        if not last:
            nodes += sign_nodes(sign, at, i, constants)
            at = f"s{i}" if sign else at
    return model(nodes, constants, shape, at, apart)


def sign_nodes(sign, at, i, constants):
    qonnx = "qonnx.custom_op.general"
    constants |= {"zero": np.zeros(1, "f4"), "one": np.ones(1, "f4"), "minus": -np.ones(1, "f4"),
                  "tenth": np.full(1, 0.1, "f4"), "zeros": np.zeros((1, 1), "f4")}
    return {"": [], "Sign": [node("Sign", [at], f"s{i}")],
            "BipolarQuant": [node("BipolarQuant", [at, "one"], f"s{i}", qonnx)],
            "MultiThreshold": [node("MultiThreshold", [at, "zeros"], f"s{i}", qonnx, out_scale=2.0, out_bias=-1.0)],
            "Where": [node("Greater", [at, "zero"], f"g{i}"), node("Where", [f"g{i}", "one", "minus"], f"s{i}")],
            "Larq": [node("Sign", [at], f"a{i}"), node("Add", [f"a{i}", "tenth"], f"b{i}"),
                     node("Sign", [f"b{i}"], f"s{i}")]}[sign]
