"""Random small networks of every kind that can be built, for hypothesis; their thresholds are met exactly."""

import numpy as np
from hypothesis import strategies as st

import bnnsim.training.layers as layers
from bnnsim.training.model import Sequential

CHANNELS = (1, 3, 10, 64, 70, 96, 130)


@st.composite
def plans(draw):
    """A plain dict that says what to build; `build` makes it."""
    convs = draw(st.lists(st.fixed_dictionaries({
        "channels": st.sampled_from(CHANNELS), "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "stride": st.integers(1, 2), "padding": st.integers(0, 2),
        "pad_value": st.sampled_from(("zero", "plus", "minus")), "pool": st.sampled_from((1, 2))}),
        max_size=3))
    return {"input_shape": (draw(st.integers(1, 3)), draw(st.integers(3, 9)), draw(st.integers(3, 9))),
            "convs": convs, "dense": draw(st.lists(st.sampled_from(CHANNELS), max_size=2)),
            "classes": draw(st.integers(1, 11)),
            "offset": draw(st.sampled_from((0, 128, 255))), "norm": draw(st.booleans()),
            "seed": draw(st.integers(0, 2**20))}


def stack_of(plan, rng):
    """Layers; a conv or pool that does not fit any more is left out."""
    shape, stack = plan["input_shape"], []

    def add(layer):
        nonlocal shape
        shape = layer.output_shape(shape)
        stack.append(layer)

    for conv in plan["convs"]:
        settings = [conv[name] for name in ("channels", "kernel", "stride", "padding", "pad_value")]
        try:
            add(layers.Conv2d(shape[2], *settings, generator=rng) if stack else
                layers.InputConv2d(shape[0], *settings, offset=plan["offset"], generator=rng))
        except ValueError:
            continue
        if min(shape[:2]) >= conv["pool"] > 1:
            add(layers.MaxPool2d(conv["pool"]))
        add(layers.BatchNormSign(shape[-1]))
    for units in (*plan["dense"], plan["classes"]):
        if len(shape) == 3 and stack:
            add(layers.Flatten(shape[-1]))
        add(layers.Dense(shape[0], units, rng) if stack
            else layers.InputDense(shape, units, plan["offset"], rng))
        add(layers.BatchNormSign(units))
    stack[-1] = layers.BatchNorm(plan["classes"]) if plan["norm"] else layers.Logits(plan["classes"])
    return stack


def fill(model, images, rng):
    """Random weights; gamma of both signs and zero; means are integers that h does take: ties occur."""
    x = images
    for layer in model.layers:
        if "weight" in layer.parameters:
            layer.parameters["weight"][...] = rng.uniform(-1, 1, layer.parameters["weight"].shape)
            layer.refresh()
        elif "gamma" in layer.parameters:
            rows = x.reshape(-1, layer.units)
            met = rows[rng.integers(len(rows), size=layer.units), np.arange(layer.units)]
            layer.parameters["gamma"][:] = rng.normal(0, 1, layer.units) * (rng.random(layer.units) < 0.8)
            layer.parameters["beta"][:] = rng.normal(0, 1, layer.units) * (rng.random(layer.units) < 0.5)
            layer.running["mean"][:] = met
            layer.running["variance"][:] = np.exp(rng.normal(2, 2, layer.units))
        x = layer.forward(x)


def build(plan, n_images=9):
    """(model, images)."""
    rng = np.random.default_rng(plan["seed"])
    model = Sequential(stack_of(plan, rng), plan["input_shape"])
    images = rng.integers(0, 256, (n_images, *plan["input_shape"]), np.uint8)
    fill(model, images, rng)
    return model, images
