"""Networks of every geometry, evaluated tap by tap, and written as other programs do; imports nothing from bnnsim.

A plan is (shape of an image, settings of its layers): channels, kernel, and what is not plain of stride, pads, value,
replicate, dilation, groups, pool (size, stride, pads), total ("sum", "mean"), norm_first; or units.
"""

import foreign_files as foreign
import foreign_onnx
import naive_geometry as naive
import numpy as np

NONE = (0, 0, 0, 0)
DENSE = [{"units": 9}, {"units": 4}]
PLANS = {
    "by axis": ((2, 8, 7), [{"channels": 6, "kernel": (3, 2), "stride": (2, 1), "pads": (1, 0, 2, 3)},
                            {"channels": 5, "kernel": (1, 3), "pads": (0, 2, 0, 1)}, *DENSE]),
    "dilation": ((1, 9, 8), [{"channels": 6, "kernel": (2, 3), "dilation": (3, 2), "pads": (1, 2, 1, 2)},
                             {"channels": 5, "kernel": (2, 2), "dilation": (2, 1)}, *DENSE]),
    "replicate": ((2, 7, 6), [{"channels": 6, "kernel": (3, 3), "pads": (1, 1, 1, 1), "replicate": True,
                               "pool": ((2, 2), (2, 2), NONE), "norm_first": True},
                              {"channels": 7, "kernel": (3, 2), "pads": (1, 0, 2, 1), "replicate": True}, *DENSE]),
    "plus and minus": ((1, 6, 7), [{"channels": 6, "kernel": (3, 3), "pads": (1, 2, 1, 0), "value": 1},
                                   {"channels": 5, "kernel": (2, 2), "pads": (1, 1, 0, 1), "value": -1}, *DENSE]),
    "groups": ((4, 6, 5), [{"channels": 6, "kernel": (3, 3), "groups": 2, "pads": (1, 1, 1, 1)},
                           {"channels": 9, "kernel": (2, 2), "groups": 3}, *DENSE]),
    "depthwise": ((3, 6, 6), [{"channels": 70, "kernel": (3, 3)},
                              {"channels": 70, "kernel": (3, 3), "groups": 70, "pads": (1, 1, 1, 1)},
                              {"channels": 8, "kernel": (1, 1)}, *DENSE]),
    "pools": ((2, 9, 10), [{"channels": 6, "kernel": (2, 2), "pool": ((3, 2), (2, 1), (1, 0, 2, 1)),
                           "norm_first": True},
                           {"channels": 5, "kernel": (2, 2), "pool": ((2, 2), (1, 3), NONE), "norm_first": True},
                           *DENSE]),
    "sum": ((2, 7, 7), [{"channels": 6, "kernel": (3, 3)},
                        {"channels": 4, "kernel": (2, 2), "pads": (1, 1, 0, 0), "total": "sum"}]),
    "sum behind a norm": ((2, 7, 7), [{"channels": 6, "kernel": (3, 3)},
                                      {"channels": 4, "kernel": (2, 2), "total": "sum", "norm_first": True}]),
    "mean": ((2, 7, 6), [{"channels": 6, "kernel": (3, 3), "groups": 2},
                         {"channels": 4, "kernel": (2, 2), "total": "mean"}]),
    "mean alone": ((2, 6, 6), [{"channels": 4, "kernel": (3, 3), "total": "mean", "norm_first": True}]),
    "along columns": ((3, 1, 40), [{"channels": 6, "kernel": (1, 7), "stride": (1, 2), "pads": (0, 3, 0, 3),
                                    "pool": ((1, 3), (1, 2), NONE)},
                                   {"channels": 5, "kernel": (1, 3), "dilation": (1, 2), "pads": (0, 2, 0, 0)},
                                   {"channels": 4, "kernel": (1, 2), "total": "mean"}]),
}
SAME = {                                                        # what Keras has: its "same", worked out by hand
    "same": ((2, 8, 7), [{"channels": 6, "kernel": (3, 3), "stride": (2, 2), "pads": (0, 1, 1, 1), "same": True,
                          "pool": ((3, 3), (2, 2), (0, 0, 1, 1))},
                         {"channels": 5, "kernel": (2, 2), "pads": (0, 0, 1, 1), "same": True}, *DENSE]),
    "same and dilation": ((1, 7, 6), [{"channels": 6, "kernel": (3, 2), "dilation": (2, 3), "pads": (2, 1, 2, 2),
                                       "same": True}, *DENSE]),
    "same, in groups": ((4, 7, 6), [{"channels": 8, "kernel": (3, 3), "groups": 4, "pads": (1, 1, 1, 1), "same": True},
                                    {"channels": 8, "kernel": (3, 3), "groups": 8, "stride": (2, 2), "same": True,
                                     "pads": (1, 0, 1, 1)},
                                    {"channels": 4, "kernel": (2, 2), "groups": 2, "total": "mean"}]),
    "same along columns": ((2, 1, 30), [{"channels": 6, "kernel": (1, 5), "stride": (1, 2), "pads": (0, 1, 0, 2),
                                         "same": True, "pool": ((1, 3), (1, 3), NONE)},
                                        {"channels": 12, "kernel": (1, 2), "groups": 6},
                                        {"channels": 4, "kernel": (1, 2), "total": "mean"}]),
}
SAME["causal"] = ((2, 1, 20), [{"channels": 6, "kernel": (1, 3), "dilation": (1, 2), "pads": (0, 4, 0, 0),
                                "causal": True},
                               {"channels": 4, "kernel": (1, 2), "pads": (0, 1, 0, 0), "causal": True,
                                "total": "mean"}])
ALL = {**PLANS, **SAME}


def made(name, seed=0):
    """(layers, images, sums of each layer (N, K, OH, OW) or (N, U), scores)."""
    rng = np.random.default_rng(seed)
    shape, plan = ALL[name]
    images = foreign.images_of(rng, 10, shape)
    layers, sums, x = [], [], images.astype(np.int64)
    for i, settings in enumerate(plan):
        if "units" in settings:
            weight = rng.choice([-1.0, 1.0], (settings["units"], x[0].size))
            h = x.reshape(len(x), -1) @ weight.T
        else:
            groups = settings.get("groups", 1)
            weight = rng.choice([-1.0, 1.0], (settings["channels"], x.shape[1] // groups, *settings["kernel"]))
            h = convolved(x, weight, settings)
        sums.append(h)
        layers.append({**settings, "weight": weight, "norm": norm_of(rng, h)})
        y = behind(h, layers[-1])
        x = np.where(y > 0, 1, -1)
    return layers, images, sums, y


def convolved(x, weight, settings):
    given = [settings.get(key, plain) for key, plain in (("stride", (1, 1)), ("pads", NONE), ("value", 0), (
        "replicate", False), ("dilation", (1, 1)), ("groups", 1))]
    h = naive.conv(x.transpose(0, 2, 3, 1), weight.transpose(0, 2, 3, 1).astype(np.int64), *given)
    return h.transpose(0, 3, 1, 2)


def norm_of(rng, h):
    """About sums that occur, and between them; gamma of both signs."""
    rows = np.moveaxis(h, 1, -1).reshape(-1, h.shape[1])
    mean = rows[rng.integers(len(rows), size=h.shape[1]), np.arange(h.shape[1])] + 0.25
    parts = {"gamma": rng.uniform(0.5, 2, len(mean)) * rng.choice([-1, 1], len(mean)), "mean": mean,
             "beta": rng.normal(0, 0.01, len(mean)), "var": rng.uniform(0.5, 2, len(mean))}
    return {key: value.astype("f4") for key, value in parts.items()}


def behind(h, layer):
    """What pools, adds up and normalises sums."""
    def normed(y):
        norm, axis = {key: value.astype("f8") for key, value in layer["norm"].items()}, (1, -1) + (1,) * (y.ndim - 2)
        y = (y - norm["mean"].reshape(axis)) / np.sqrt(norm["var"] + foreign.EPS).reshape(axis)
        return y * norm["gamma"].reshape(axis) + norm["beta"].reshape(axis)

    def gathered(y):
        if "total" in layer:
            return y.sum((2, 3)) if layer["total"] == "sum" else y.mean((2, 3))
        return naive.pool(y.transpose(0, 2, 3, 1), *layer["pool"]).transpose(0, 3, 1, 2) if "pool" in layer else y
    return gathered(normed(h)) if layer.get("norm_first") else normed(gathered(h))


# ---------------------------------------------------------------- as a spec, and as a layer list

def spec_of(layers, same=False):
    words = []
    for layer in layers:
        if "units" in layer:
            words.append(f"FC{layer['units']}")
            continue
        words.append(f"C{layer['channels']}k{by_x(layer['kernel'])}s{by_x(layer.get('stride', (1, 1)))}")
        words[-1] += "same" if same and "same" in layer else f"p{by_x(layer.get('pads', NONE))}"
        words[-1] += f"d{by_x(layer['dilation'])}" if "dilation" in layer else ""
        words[-1] += f"g{layer['groups']}" if "groups" in layer else ""
        words[-1] += {1: "plus", -1: "minus", 0: "rep" if layer.get("replicate") else ""}[layer.get("value", 0)]
        if "pool" in layer:
            size, stride, pads = map(by_x, layer["pool"])
            words.append(f"MP{size}s{stride}" + ("same" if same and layer["pool"][2] != NONE else f"p{pads}"))
        words += ["SUM"] * ("total" in layer)
    return " ".join(words)


def by_x(numbers):
    return "x".join(map(str, numbers))


def listed(layers):
    """Dicts of PackedNetwork.from_arrays, with names of foreign.state_dict instead of arrays."""
    found = []
    for i, layer in enumerate(layers):
        names = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
        fields = {"weight": f"features.{2 * i}.weight", "eps": foreign.EPS,
                  **{key: f"features.{2 * i + 1}.{name}" for key, name in names.items()}}
        if "units" in layer:
            fields |= {"flatten": "CHW"} if "units" not in layers[i - 1] else {}
        else:
            fields |= {"order": "CHW", "stride": layer.get("stride", 1), "padding": layer.get("pads", 0),
                       "dilation": layer.get("dilation", 1), "groups": layer.get("groups", 1)}
            fields |= {"pad_value": "replicate"} if layer.get("replicate") else {"pad_value": layer.get("value", 0)}
            if "pool" in layer:
                fields |= dict(zip(("pool", "pool_stride", "pool_padding"), layer["pool"]))
        found.append(fields)
    return found


# ---------------------------------------------------------------- ONNX

def onnx_of(layers, shape, along_columns=False, auto=False, shifts=None):
    """A chain; along columns its tensors have one axis of places. shifts : (C, 1, 1), taken from the input."""
    nodes, constants, at, cut = [], {}, "x", 1 if along_columns else 0
    n_axes, opened = 2 - cut, True
    if shifts is not None:
        nodes, constants, at = [foreign_onnx.node("Sub", ["x", "shifts"], "shifted")], {"shifts": shifts}, "shifted"
    for i, layer in enumerate(layers):
        constants |= {f"{key}{i}": value for key, value in layer["norm"].items()}
        constants[f"w{i}"] = layer["weight"].astype("f4")
        steps = []
        if "units" in layer:
            if opened:
                nodes.append(foreign_onnx.node("Flatten", [at], f"f{i}", axis=1))
                at, opened = f"f{i}", False
            steps.append(("Gemm", [f"w{i}"], {"transB": 1}))
        else:
            if along_columns:
                constants[f"w{i}"] = constants[f"w{i}"][:, :, 0]
            steps += onnx_conv(i, layer, constants, cut, auto)
        norm = ("BatchNormalization", [f"{key}{i}" for key in ("gamma", "beta", "mean", "var")],
                {"epsilon": foreign.EPS})
        gathered = []
        if "pool" in layer:
            size, stride, pads = layer["pool"]
            around = {"auto_pad": "SAME_UPPER"} if auto and layer.get("same") and pads != NONE else \
                {"pads": onnx_pads(pads, cut)}
            gathered = [("MaxPool", [], {"kernel_shape": size[cut:], "strides": stride[cut:], **around})]
        elif layer.get("total") == "mean":
            gathered = [("GlobalAveragePool", [], {}), ("Flatten", [], {"axis": 1})]
        elif "total" in layer:
            constants["axes"] = np.arange(2, 2 + n_axes)
            gathered = [("ReduceSum", ["axes"], {"keepdims": 0})]
        steps += [norm, *gathered] if layer.get("norm_first") else [*gathered, norm]
        if layer is not layers[-1]:
            steps.append(("Sign", [], {}))
        for j, (op, inputs, attributes) in enumerate(steps):
            nodes.append(foreign_onnx.node(op, [at, *inputs], f"{op}_{i}_{j}", **attributes))
            at = f"{op}_{i}_{j}"
    return foreign_onnx.model(nodes, constants, (shape[0], shape[2]) if along_columns else shape, at)


def onnx_conv(i, layer, constants, cut, auto):
    """Pad, if it is no number 0, and Conv."""
    pads, more = layer.get("pads", NONE), {}
    steps = []
    if layer.get("replicate") or layer.get("value"):
        constants |= {f"pads{i}": np.array([0, 0, *pads[cut:2], 0, 0, *pads[2 + cut:]]),
                      f"value{i}": np.array(layer.get("value", 0), "f4")}
        steps.append(("Pad", [f"pads{i}", f"value{i}"], {"mode": "edge"} if layer.get("replicate") else {}))
        pads = NONE
    more = {"auto_pad": "SAME_UPPER"} if auto and layer.get("same") else {"pads": onnx_pads(pads, cut)}
    if "groups" in layer:
        more["group"] = layer["groups"]
    return [*steps, ("Conv", [f"w{i}"], {"strides": layer.get("stride", (1, 1))[cut:],
                                         "dilations": layer.get("dilation", (1, 1))[cut:], **more})]


def onnx_pads(pads, cut):
    return [*pads[cut:2], *pads[2 + cut:]]


# ---------------------------------------------------------------- Keras

def keras_layers(layers, shape, along_columns=False):
    """(configurations, arrays by layer's name); paddings are "same" or none."""
    channels, height, width = shape
    cut, n = (1, "1D") if along_columns else (0, "2D")
    quantizer, configs, arrays, flat = {"class_name": "SteSign", "config": {"clip_value": 1.0}}, [], {}, False
    configs.append({"class_name": "InputLayer", "config": {
        "name": "in", "batch_input_shape": [None, *(height, width)[cut:], channels]}})
    for i, layer in enumerate(foreign.hwc(layers, shape)):
        weight, common = layer["weight"].astype("f4"), {"input_quantizer": quantizer if i else None, "use_bias": False}
        steps = []
        if "units" in layer:
            if not flat:
                configs.append({"class_name": "Flatten", "config": {"name": "flatten"}})
                flat = True
            arrays[f"l{i}"] = {"kernel": weight.T}
            steps.append(("QuantDense", f"l{i}", {"units": len(weight), "kernel_quantizer": quantizer, **common}))
        else:
            common |= {"kernel_size": layer["kernel"][cut:], "strides": layer.get("stride", (1, 1))[cut:],
                       "dilation_rate": layer.get("dilation", (1, 1))[cut:],
                       "padding": "same" if layer.get("same") else "causal" if layer.get("causal") else "valid"}
            if layer.get("groups", 1) > 1 and layer["weight"].shape[1] == 1:
                n_in = layer["groups"]                          # (C M, 1, kh, kw) as (kh, kw, C, M)
                kernel = weight.reshape(n_in, -1, *weight.shape[2:]).transpose(2, 3, 0, 1)
                arrays[f"l{i}"] = {"depthwise_kernel": kernel[0] if along_columns else kernel}
                steps.append(("DepthwiseConv1D" if along_columns else "QuantDepthwiseConv2D", f"l{i}", {
                    "depth_multiplier": kernel.shape[3], "depthwise_quantizer": quantizer, **common}))
            else:
                kernel = weight.transpose(2, 3, 1, 0)
                arrays[f"l{i}"] = {"kernel": kernel[0] if along_columns else kernel}
                steps.append((f"QuantConv{n}", f"l{i}", {"filters": len(weight), "groups": layer.get("groups", 1),
                                                         "kernel_quantizer": quantizer, **common}))
        norm = ("BatchNormalization", f"n{i}", {"epsilon": foreign.EPS, "axis": [2 if along_columns else 3]
                                                if "kernel" in layer and "total" not in layer else -1})
        gathered = []
        if "pool" in layer:
            size, stride, pads = layer["pool"]
            gathered = [(f"MaxPooling{n}", f"p{i}", {"pool_size": size[cut:], "strides": stride[cut:],
                                                     "padding": "valid" if pads == NONE else "same"})]
        elif "total" in layer:
            gathered = [(f"GlobalAveragePooling{n}", f"p{i}", {})]
        steps += [norm, *gathered] if layer.get("norm_first") else [*gathered, norm]
        arrays[f"n{i}"] = {"gamma": layer["norm"]["gamma"], "beta": layer["norm"]["beta"],
                           "moving_mean": layer["norm"]["mean"], "moving_variance": layer["norm"]["var"]}
        configs += [{"class_name": kind, "config": {"name": name, **config}} for kind, name, config in steps]
    return configs, arrays
