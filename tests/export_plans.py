"""Networks that tests export: of layers in all their forms, with images; and a C compiler's word on a header."""

import shutil
import subprocess

import foreign_files as foreign
import foreign_geometry as geometry
import numpy as np
import pytest
import random_networks

import bnnsim
from bnnsim.interop.export_scores import integer_scores

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
STRICT = ["-std=c99", "-O1", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wconversion", "-Wno-sign-conversion"]


def network_of(plan):
    model, images = random_networks.build(plan)
    return bnnsim.pack(model), images


def plan(seed=0, **more):
    """Pooling, strides, kernels that are no squares, words that are not full; constant and inverted units."""
    conv = {"channels": 10, "kernel": (3, 2), "stride": 1, "padding": 1, "pad_value": "zero", "pool": 2}
    return {"input_shape": (2, 9, 8), "convs": [conv, {**conv, "channels": 70, "kernel": (2, 2), "pool": 1}],
            "dense": [70], "classes": 7, "offset": 128, "norm": True, "seed": seed, **more}


CONV = plan()["convs"][0]
PLANS = {
    "convolutions": plan(), "padded with +1": plan(1, convs=[{**CONV, "pad_value": "plus", "padding": 2}] * 2),
    "padded with -1": plan(2, convs=[{**CONV, "pad_value": "minus"}, {**CONV, "pad_value": "minus", "stride": 2}],
                           offset=0),
    "dense": plan(3, convs=[], dense=[130, 64], offset=0), "logits": plan(4, norm=False), "one layer": plan(
        5, convs=[], dense=[]), "offset 255": plan(6, offset=255, convs=[{**CONV, "pad_value": "plus"}])}


def geometry_of(name):
    """A network of any geometry with its images; signs behind a last dense layer."""
    if name != "signs":
        layers, images, *_ = geometry.made(name)
        arrays = foreign.state_dict(layers)
        return bnnsim.PackedNetwork.from_arrays(
            [{key: arrays.get(value, value) if isinstance(value, str) else value for key, value in fields.items()}
             for fields in geometry.listed(layers)], images.shape[1:], 7), images
    rng = np.random.default_rng(1)
    weights = rng.choice([-1, 1], (9, 12)), rng.choice([-1, 1], (5, 9))
    fields = [{"weight": weight, "threshold": rng.integers(-size, size, len(weight)),
               "inverted": rng.random(len(weight)) < 0.5} for weight, size in zip(weights, (900, 3))]
    return bnnsim.PackedNetwork.from_arrays(fields, (1, 3, 4)), rng.integers(0, 256, (20, 1, 3, 4), np.uint8)


MAIN = """
#include <stdio.h>
#include "network.h"

int main(void)
{
    static uint8_t image[NETWORK_VALUES];
    int64_t scores[NETWORK_CLASSES];
    int k;

    while (fread(image, 1, NETWORK_VALUES, stdin) == NETWORK_VALUES) {
        printf("%d %d", (int)network_predict(image, scores), (int)network_predict(image, 0));
        for (k = 0; k < NETWORK_CLASSES; k++)
            printf(" %lld", (long long)scores[k]);
        printf("\\n");
    }
    return 0;
}
"""


def check_c(folder, network, images):
    """The compiled header's classes are the network's, and its integer scores are what `integer_scores` says."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    bnnsim.export_network(network, folder / "network.h")
    (folder / "main.c").write_text(MAIN)
    done = subprocess.run([COMPILER, *STRICT, "-Wno-long-long", "-o", "main", "main.c"], cwd=folder,
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    out = subprocess.run([folder / "main"], input=images.tobytes(), capture_output=True, check=True).stdout
    found = np.array([list(map(int, line.split())) for line in out.splitlines()])
    np.testing.assert_array_equal(found[:, 0], network.predict(images))
    np.testing.assert_array_equal(found[:, 1], found[:, 0])
    made, scores, last = integer_scores(network.stages[-1]), network.scores(images), network.layers[-1]
    whole = found[:, 2:]
    h = network.stages[-1].sums(network.run(0, images, len(network.layers) - 1)).sum(1, dtype=np.int64)
    if last.threshold is not None:
        h = np.where((h >= last.threshold) ^ last.inverted, 1, -1)
    np.testing.assert_array_equal(whole, made.factor * h + made.term)
    np.testing.assert_allclose(np.ldexp(whole.astype(float), -made.exponent), scores, rtol=1e-12,
                               atol=1e-12 * np.abs(scores).max())
    assert np.array_equal(np.argsort(whole, kind="stable"), np.argsort(scores, kind="stable"))
