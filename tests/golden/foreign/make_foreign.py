"""Files that other programs wrote, and what they compute: for the readers of bnnsim.interop.

    pip install keras==3.15.1 scipy onnx==1.23.2 safetensors==0.8.0
    python tests/golden/foreign/make_foreign.py

Keras (3.15.1) runs on NumPy here; its two quantized layers stand for Larq's, which it cannot run, with Larq's names of
settings. expected.npz has images and what Keras, ONNX's reference evaluator and NumPy compute of them.
"""

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "numpy"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import safetensors.numpy  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

HERE = Path(__file__).resolve().parent
SIGN = {"class_name": "SteSign", "config": {"clip_value": 1.0}}
BatchNorm = keras.layers.BatchNormalization


def signs(values):
    return keras.ops.where(values >= 0, 1.0, -1.0)


class Quantized:
    """What Larq's layers add to Keras's."""

    def __init__(self, *arguments, input_quantizer=None, kernel_quantizer=None, **more):
        super().__init__(*arguments, use_bias=False, **more)
        self.quantizers = {"input_quantizer": input_quantizer, "kernel_quantizer": kernel_quantizer}

    def get_config(self):
        return {**super().get_config(), **self.quantizers, "pad_values": 0.0}

    def quantized(self, x):
        return (signs(x) if self.quantizers["input_quantizer"] else x), signs(self._kernel)


class QuantConv2D(Quantized, keras.layers.Conv2D):
    def call(self, x):
        x, kernel = self.quantized(x)
        return keras.ops.conv(x, kernel, self.strides, self.padding)


class QuantDense(Quantized, keras.layers.Dense):
    def call(self, x):
        x, kernel = self.quantized(x)
        return x @ kernel


def keras_model(rng):
    """A convolution with "same" padding and pooling, one that is no square, two dense layers, norms of three kinds."""
    both = {"input_quantizer": SIGN, "kernel_quantizer": SIGN}
    model = keras.Sequential([
        keras.layers.Input((6, 6, 2)), QuantConv2D(5, 3, padding="same", kernel_quantizer=SIGN),
        keras.layers.MaxPooling2D(2), BatchNorm(), QuantConv2D(4, (1, 2), **both), BatchNorm(scale=False),
        keras.layers.Flatten(), QuantDense(8, **both), BatchNorm(center=False), QuantDense(3, **both), BatchNorm(),
        keras.layers.Activation("softmax")])
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            layer.set_weights([rng.uniform(0.5, 2, 1)[0] * np.ones(w.shape) if "var" in w.path or "gamma" in w.path
                               else rng.normal(0, 3, w.shape) for w in layer.weights])
    return model


def onnx_model(rng):
    """A dense layer, a bias, a comparison that gives 0 or 1, and a dense layer whose weights stand in float_data."""
    last = rng.choice([-1.0, 1.0], 15)
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w1"], ["h"]),
             helper.make_node("Constant", [], ["bias"], value=helper.make_tensor("b", 1, [5], [99.5, -8, 0.5, 300, 1])),
             helper.make_node("Add", ["h", "bias"], ["z"]), helper.make_node("GreaterOrEqual", ["z", "zero"], ["g"]),
             helper.make_node("Cast", ["g"], ["bits"], to=1), helper.make_node("MatMul", ["bits", "w2"], ["y"])]
    weights = [numpy_helper.from_array(rng.choice([-1, 1], (16, 5)).astype("f4"), "w1"),
               helper.make_tensor("w2", 1, [5, 3], last.tolist()), numpy_helper.from_array(np.zeros(1, "f4"), "zero")]
    model = helper.make_model(helper.make_graph(nodes, "graph", [helper.make_tensor_value_info("x", 1, ["N", 1, 4, 4])],
                                                [helper.make_tensor_value_info("y", 1, ["N", 3])], weights))
    onnx.checker.check_model(model)
    return model


def main():
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    model = keras_model(rng)
    model.save(HERE / "keras.keras")
    model.save(HERE / "keras.h5")
    images = rng.integers(0, 256, (8, 2, 6, 6), np.uint8)
    logits = keras.Model(model.inputs, model.layers[-2].output)
    scores = logits.predict(np.moveaxis(images, 1, 3).astype("f4"), verbose=0)

    graph, small = onnx_model(rng), rng.integers(0, 256, (20, 1, 4, 4), np.uint8)
    onnx.save(graph, HERE / "model.onnx")
    arrays = {f"{2 * i}.weight": rng.choice([-1, 1], shape).astype("f4") for i, shape in enumerate([(12, 16), (3, 12)])}
    arrays |= {f"1.{name}": value.astype("f4") for name, value in (
        ("weight", rng.uniform(0.5, 2, 12)), ("bias", rng.normal(0, 1, 12)), ("running_mean", rng.normal(0, 300, 12)),
        ("running_var", rng.uniform(1e4, 1e5, 12)))}
    safetensors.numpy.save_file(arrays, HERE / "model.safetensors")
    h = small.reshape(20, -1) @ arrays["0.weight"].T.astype("f8")
    y = (h - arrays["1.running_mean"]) / np.sqrt(arrays["1.running_var"] + 1e-5) * arrays["1.weight"] + arrays["1.bias"]
    np.savez(HERE / "expected.npz", keras_images=images, keras_scores=scores, images=small,
             onnx_scores=ReferenceEvaluator(graph).run(None, {"x": small.astype("f4")})[0],
             safetensors_scores=np.where(y >= 0, 1, -1) @ arrays["2.weight"].T)


if __name__ == "__main__":
    main()
