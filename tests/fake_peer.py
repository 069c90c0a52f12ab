"""A peer for dense networks that speaks the protocol of bnnsim.benchmarks.peer, in NumPy; it imports nothing of bnnsim.

The environment variable FAKE_PEER makes it misbehave: "wrong", "error", "dies", "garbage".
"""

import json
import os
import sys
import time

import numpy as np

MOOD = os.environ.get("FAKE_PEER", "")


def read(path):
    """(images minus the offset (N, F), labels, list of dicts of arrays)."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    network = json.loads(str(arrays["network"]))
    layers = [{key.split(".")[1]: value for key, value in arrays.items() if key.startswith(f"{i}.")}
              for i in range(len(network["layers"]))]
    assert all(layer["kind"] == "dense" for layer in network["layers"])
    images = arrays["images"].transpose(0, 2, 3, 1).reshape(len(arrays["images"]), -1)
    return images - float(network["input_offset"]), arrays["labels"], layers


def predictions(path):
    x, _, layers = read(path)
    for layer in layers[:-1]:
        h = x @ layer["weight"].T
        x = np.where((h >= layer["threshold"]) != layer["inverted"], 1.0, -1.0)
    h = x @ layers[-1]["weight"].T
    return ((h - layers[-1]["mean"]) * layers[-1]["scale"] + layers[-1]["shift"]).argmax(1).tolist()


def first_loss(path, batch):
    x, labels, layers = read(path)
    x, labels = x[:batch], labels[:batch]
    for layer in layers:
        h = x @ np.where(layer["weight"] >= 0, 1.0, -1.0).T
        y = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5) + layer["beta"]
        x = np.where(y >= 0, 1.0, -1.0)
    y -= y.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(y).sum(1)) - y[np.arange(len(y)), labels]))


def answer(request):
    if request["do"] == "hello":
        return {"name": "Fake", "version": "1", "setups": ["default", "best"]}
    if request["do"] == "prepare":
        if MOOD == "error":
            return {"error": "it has no such layer"}
        if MOOD == "dies":
            sys.exit(7)
        if MOOD == "garbage":
            return "what?"
        found = {"setup": request["setup"], "seconds": 0.5, "gflops": 12.3}
        if request["work"] == "training":
            return {**found, "loss": first_loss(request["file"], request["batch"]) + (0.1 if MOOD == "wrong" else 0)}
        classes = predictions(request["file"])
        return {**found, "predictions": classes}
    if request["do"] == "run":
        time.sleep(0.001)
        return {"seconds": 0.25 if request["setup"] == "default" else 0.125}
    return {}


assert sys.argv[1:] == ["--serve"]
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
