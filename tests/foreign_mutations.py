"""Files of other programs, changed on purpose, inside of their containers too: what an attacker would send."""

import io
import zipfile

import foreign_files as foreign
import foreign_geometry as geometry
import foreign_graphs as graphs
import foreign_keras as keras_graphs
import foreign_onnx
import numpy as np
from mutations import VALUES

SHAPE = (2, 6, 6)
SPEC = {"spec": "C5k3x3p1 MP2 C7k1x2p0 FC9 FC4", "input_shape": SHAPE, "eps": foreign.EPS}
DENSE = {"spec": "FC9 FC4", "input_shape": SHAPE}


def good_files():
    """{name: (content, how it is read)}: one of each format."""
    rng = np.random.default_rng(0)
    layers = foreign.plan(rng)
    arrays, keras = foreign.state_dict(layers), foreign.keras_layers(layers, SHAPE)
    dense = {"w1": rng.choice([-1, 1], (9, 72)), "thr1": rng.integers(30, 42, 9), "w2": rng.choice([-1, 1], (4, 9))}
    onnx = {f"{sign}.onnx": (foreign_onnx.chain(layers, SHAPE, sign), {}) for sign in ("BipolarQuant", "Larq", "Where")}
    bits = foreign.memory_text((dense["w1"] > 0).astype(int))
    return {"zip.pt": (foreign.torch_zip(arrays), SPEC), "legacy.pt": (foreign.torch_legacy(arrays), SPEC),
            "x.safetensors": (foreign.safetensors(arrays), SPEC), "x.npz": (foreign.npz(arrays), SPEC),
            "packed.npz": (foreign.npz(arrays, True), SPEC), "x.h5": (foreign.keras_h5(*keras), {}),
            "weights.h5": (foreign.keras_h5(*keras, topology=False), SPEC), "x.keras": (foreign.keras_zip(*keras), {}),
            "x.h": (foreign.c_header(dense), DENSE), "x.txt": (bits, {**DENSE, "spec": "FC9", "weights": "bits"}),
            **packed(dense), **onnx, **geometries(), **graph_files()}


def graph_files():
    """Graphs with branches and real-valued parts."""
    files = {f"{name}.onnx": (g.file(g.output), {"input": "unit"}) for name, g in graphs.good_graphs().items()}
    return {**files, "functional.h5": (keras_graphs.written(*keras_graphs.model(np.random.default_rng(0))), {})}


def packed(dense):
    """Packed words of a C header, the lowest bit first."""
    text = "".join(f"const uint32_t {name}[] = {{{', '.join(foreign.c_words(weight > 0))}}};\n"
                   for name, weight in dense.items() if name != "thr1")
    thresholds = foreign.c_header({"thr1": dense["thr1"]})
    return {"packed.h": (text.encode() + thresholds, {**DENSE, "weights": "bits", "bit_order": "lsb"})}


def geometries():
    """Files whose layers have more than plain geometry."""
    found = {}
    for name in ("replicate", "pools", "along columns", "same, in groups"):
        layers, images, *_ = geometry.made(name)
        shape, columns = images.shape[1:], name == "along columns"
        found[f"{name}.onnx"] = geometry.onnx_of(layers, shape, columns, auto=name.startswith("same")), {}
        found[f"{name}.pt"] = foreign.torch_zip(foreign.state_dict(layers)), {
            "spec": geometry.spec_of(layers), "input_shape": shape, "norm_first": True}
    keras = geometry.keras_layers(layers, shape)
    return {**found, "geometry.h5": (foreign.keras_h5(*keras), {}),
            "chunks.h5": (foreign.keras_h5(*keras, compression="gzip", shuffle=True), {})}


def mutated(content, rng):
    """A changed copy; of a zip file often one of its members, packed anew with its right checksum."""
    if content[:2] == b"PK" and rng.random() < 0.7:
        return _repacked(content, rng)
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if len(content) > 8:
            content = _changed(content, rng)
    return bytes(content)


def _repacked(content, rng):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {info: file.read(info) for info in file.infolist()}
    chosen = list(members)[rng.integers(len(members))]
    if rng.random() < 0.5:                                       # the largest or the first, which have the structure
        chosen = max(members, key=lambda info: info.file_size) if rng.random() < 0.5 else next(iter(members))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for info, data in members.items():
            changed = info is chosen and rng.random() < 0.95
            if not (info is chosen and not changed):             # left out, one time in twenty
                file.writestr(info.filename, mutated(data, rng) if changed and len(data) > 8 else data,
                              info.compress_type)
    return out.getvalue()


def _changed(content, rng):
    at, kind, n = int(rng.integers(len(content))), rng.integers(9), int(rng.choice([1, 2, 4, 8]))
    if rng.random() < 0.5:
        at = int(rng.integers(min(len(content), 2500)))          # where structure is densest
    if kind < 3:
        content[at] ^= 1 << int(rng.integers(8))
    elif kind < 4:
        content[at] = int(rng.integers(256))
    elif kind < 6:
        value = int(rng.choice(np.array(VALUES, np.uint64))) % 2**(8 * n)
        content[at:at + n] = value.to_bytes(n, "little")
    elif kind < 7:
        source = int(rng.integers(len(content)))
        piece = bytes(content[source:source + int(rng.integers(1, 64))])
        content[at:at + len(piece)] = piece
    elif kind < 8:                                               # a digit: of a size in a text
        content[at:at + 1] = bytes(rng.choice(list(b"0123456789[]{}\"-.,"), n).astype(np.uint8))
    else:
        content = content[:len(content) - int(rng.integers(1, 300))] if rng.random() < 0.5 else content + bytes(64)
    return content
