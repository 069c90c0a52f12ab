"""PyTorch doing what bnnsim does: train, evaluate and break binarized networks, emulated in float32 or in int8.

    python examples/peers/torch_peer.py --network fcnn --work training --setup default
    python examples/peers/torch_peer.py --network cnn --work inference --setup best --repetitions 5
    python examples/peers/torch_peer.py --network cnn --work sweep --setup once+inference+compile
    python -m bnnsim.bench --compare examples/peers/torch_peer.py --peer-python ENVIRONMENT/bin/python

It needs PyTorch and NumPy alone, so it can run in an environment of its own. By itself it takes random images: only its
times mean something then. With --serve it is measured by bnnsim.bench, which says what to do (the protocol is in
bnnsim/benchmarks/peer.py), and both must get the same results from the same weights.

A setup is "default" (eager), "best" (the fastest of CANDIDATES on a part of the work, tried anew for each network and
CPU), or some of these, joined by "+":

    compile         torch.compile, with the default mode
    fused           training: fused Adam
    channels_last   the layout of images and convolutions
    once            inference: weights are made +-1 once, not in every forward pass
    inference       inference: inference_mode in place of no_grad
    int8            inference: weights and activations are int8, through torch._int_mm; exact in int32
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time

import numpy as np

try:
    import torch
except ImportError:
    sys.exit("this peer needs PyTorch: pip install torch, in any environment (bnnsim.bench --peer-python says which)")
import torch.nn.functional as F
from torch import nn

SETUPS = ("default", "best")
CLASSIFYING = ("int8+compile+inference", "int8+inference", "once+compile+inference",
               "once+compile+inference+channels_last")
CANDIDATES = {"training": ("compile+fused", "compile+fused+channels_last", "fused+channels_last"),
              "inference": CLASSIFYING, "sweep": CLASSIFYING}
FLAGS = ("compile", "fused", "channels_last", "once", "inference", "int8")
EVALUATION_BATCH = 500


# ---------------------------------------------------------------- layers

class Binarize(torch.autograd.Function):
    """Sign of latent weights, +1 at 0; the gradient goes straight through."""

    @staticmethod
    def forward(ctx, weight):
        return torch.where(weight >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class BinarizeActivation(torch.autograd.Function):
    """Sign of activations, +1 at 0; the gradient passes where |x| <= 1."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, gradient):
        x, = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class Sign(nn.Module):
    def forward(self, x):
        return BinarizeActivation.apply(x)


class BinaryLinear(nn.Linear):
    once = False                                                  # weights are +-1 already

    def forward(self, x):
        return F.linear(x, self.weight if self.once else Binarize.apply(self.weight))


class BinaryConv2d(nn.Conv2d):
    once = False

    def forward(self, x):
        weight = self.weight if self.once else Binarize.apply(self.weight)
        return F.conv2d(x, weight, stride=self.stride, padding=self.padding)


class Int8Linear(nn.Module):
    """int8 times int8, summed in int32."""

    def __init__(self, weight):
        super().__init__()
        self.register_buffer("weight", weight.to(torch.int8).contiguous())

    def forward(self, x):
        return torch._int_mm(x, self.weight.t()).float()


class Int8Conv2d(nn.Module):
    """The same for 3 x 3 windows laid side by side; stride 1."""

    def __init__(self, weight, padding, pad_value):
        super().__init__()
        self.kernel, self.padding, self.pad_value = weight.shape[2:], padding, pad_value
        self.register_buffer("weight", weight.permute(0, 2, 3, 1).flatten(1).to(torch.int8).contiguous())

    def forward(self, x):
        p = self.padding
        x = F.pad(x.permute(0, 2, 3, 1), (0, 0, p, p, p, p), value=self.pad_value)
        height, width = x.shape[1] - self.kernel[0] + 1, x.shape[2] - self.kernel[1] + 1
        windows = torch.cat([x[:, i:i + height, j:j + width] for i in range(self.kernel[0])
                             for j in range(self.kernel[1])], 3)
        h = torch._int_mm(windows.reshape(-1, windows.shape[3]), self.weight.t())
        return h.view(len(x), height, width, -1).permute(0, 3, 1, 2).float()


class Int8Sign(nn.Module):
    def forward(self, x):
        return torch.where(x >= 0, 1, -1).to(torch.int8)


# ---------------------------------------------------------------- networks

def random_network(name: str, rng: np.random.Generator) -> tuple[dict, dict[str, np.ndarray]]:
    """A paper's network with random latent weights and thresholds: (settings, arrays) as bnnsim's files have them."""
    lists = {"fcnn": ((1, 28, 28), "F2048 F2048 F10"), "cnn": ((1, 28, 28), "C64M C64M F2048 F2048 F10"),
             "cifar": ((3, 32, 32), "C128 C128M C256 C256M C256 C256M F2048 F2048 F10")}
    (channels, height, width), words = lists[name]
    settings: list[dict] = []
    arrays: dict[str, np.ndarray] = {}
    flat = 0
    shape: tuple[int, ...]
    for i, word in enumerate(words.split()):
        units, pool = int(word[1:].rstrip("M")), 2 if word.endswith("M") else 1
        if word[0] == "C":
            shape = (units, 3, 3, channels)
            settings.append({"kind": "conv", "stride": 1, "padding": 1, "pad_value": 0, "pool": pool})
            channels, height, width = units, height // pool, width // pool
        else:
            shape = (units, flat or channels * height * width)
            settings.append({"kind": "dense", "pool": 1})
            flat = units
        arrays[f"{i}.weight"] = rng.uniform(-1, 1, shape).astype(np.float32)
        arrays[f"{i}.threshold"], arrays[f"{i}.inverted"] = np.zeros(units, np.int32), np.zeros(units, bool)
    return {"input_offset": 128 if name == "cifar" else 0, "layers": settings}, arrays


def fold(norm, arrays, i, shift):
    """Set a batch norm so that its output is >= 0 exactly where (h - shift >= threshold) xor inverted; or the scores'.

    h and the threshold are integers: half-way between two of them no rounding of float32 can turn a sign.
    """
    with torch.no_grad():
        if f"{i}.threshold" in arrays:
            mean = arrays[f"{i}.threshold"].astype(np.float32) - 0.5
            scale, bias = np.where(arrays[f"{i}.inverted"], -1.0, 1.0), 0 * mean
        else:
            mean, scale, bias = (arrays[f"{i}.{name}"] for name in ("mean", "scale", "shift"))
        for tensor, values in ((norm.running_mean, mean + shift), (norm.weight, scale), (norm.bias, bias)):
            tensor.copy_(torch.as_tensor(np.asarray(values, np.float32)))
        norm.running_var.fill_(1.0)
        norm.eps = 0.0


def build(settings, arrays, image_shape, flags, training):
    """The network as a torch module. Images enter as pixel - offset; with int8 as pixel - 128, which it can hold."""
    if "nodes" in settings:
        return build_graph(settings["nodes"], arrays, flags, training)
    layers, (channels, height, width) = [], image_shape
    int8, flat = "int8" in flags, False
    for i, layer in enumerate(settings["layers"]):
        weight = torch.as_tensor(arrays[f"{i}.weight"]).float()
        if not training and flags & {"int8", "once"}:
            weight = torch.where(weight >= 0, 1.0, -1.0)
        shift = np.float32(0)
        if i == 0 and int8:                                       # sum of w (u - 128), as against w (u - offset)
            shift = -(128 - settings["input_offset"]) * weight.flatten(1).sum(1).numpy()
        units = len(weight)
        if layer["kind"] == "conv":
            weight = weight.permute(0, 3, 1, 2)                   # (K, C, kh, kw)
            pad = settings["input_offset"] - 128 if i == 0 else 0
            layers.append(Int8Conv2d(weight, layer["padding"], pad) if int8 else
                          BinaryConv2d(channels, units, tuple(weight.shape[2:]), padding=layer["padding"], bias=False))
            height, width = (size + 2 * layer["padding"] - k + 1 for size, k in zip((height, width), weight.shape[2:]))
            norm = nn.BatchNorm2d(units)
        else:
            if not flat and i:                                    # features come in H, W, C order
                weight = weight.view(units, height, width, channels).permute(0, 3, 1, 2).reshape(units, -1)
            elif not flat:
                weight = weight.view(units, *image_shape[1:], image_shape[0]).permute(0, 3, 1, 2).reshape(units, -1)
            layers += [] if flat else [nn.Flatten()]
            flat = True
            layers.append(Int8Linear(weight) if int8 else BinaryLinear(weight.shape[1], units, bias=False))
            norm = nn.BatchNorm1d(units)
        if not int8:
            with torch.no_grad():
                layers[-1].weight.copy_(weight)
            layers[-1].once = not training and "once" in flags
        if layer["pool"] > 1:
            layers.append(nn.MaxPool2d(layer["pool"]))
            height, width = height // layer["pool"], width // layer["pool"]
        if not training:
            fold(norm, arrays, i, shift)
        elif f"{i}.beta" in arrays:
            with torch.no_grad():
                norm.bias.copy_(torch.as_tensor(arrays[f"{i}.beta"]))
        layers.append(norm)
        if i + 1 < len(settings["layers"]):
            layers.append(Int8Sign() if int8 else Sign())
        channels = units
    return nn.Sequential(*layers).train(training)


# ---------------------------------------------------------------- graphs

class Wired(nn.Module):
    """A graph: modules and what each reads, -1 the images."""

    def __init__(self, nodes, modules):
        super().__init__()
        self.inputs, self.nodes = [node["inputs"] for node in nodes], nn.ModuleList(modules)

    def forward(self, x):
        values = {-1: x}
        for i, (inputs, module) in enumerate(zip(self.inputs, self.nodes)):
            values[i] = module(*(values[at] for at in inputs))
        return values[i]


class Affine(nn.Module):
    """x * scale + shift, a number each for every channel."""

    def __init__(self, scale, shift):
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(scale)[:, None, None])
        self.register_buffer("shift", torch.as_tensor(shift)[:, None, None])

    def forward(self, x):
        return x * self.scale + self.shift


class BentSign(torch.autograd.Function):
    """Sign, +1 at 0; the gradient passes times level - slope |x| where |x| <= clip."""

    @staticmethod
    def forward(ctx, x, clip, level, slope):
        ctx.save_for_backward(x)
        ctx.numbers = clip, level, slope
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, gradient):
        (x,), (clip, level, slope) = ctx.saved_tensors, ctx.numbers
        size = x.abs()
        return gradient * torch.where(size <= clip, level - slope * size, torch.zeros_like(x)), None, None, None


class Threshold(nn.Module):
    def __init__(self, threshold, ste):
        super().__init__()
        self.register_buffer("threshold", torch.as_tensor(threshold)[:, None, None])
        self.ste, self.is_zero = ste[:3], not np.any(threshold)

    def forward(self, x):
        return BentSign.apply(x if self.is_zero else x - self.threshold, *self.ste)


class Sum(nn.Module):
    def forward(self, x, *others):
        for other in others:
            x = x + other
        return x


class GlobalAverage(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


def with_weights(module, weight, bias=None):
    """The module with these weights; (K, kh, kw, C) of a convolution."""
    weight = torch.as_tensor(weight).float()
    with torch.no_grad():
        module.weight.copy_(weight.permute(0, 3, 1, 2) if weight.ndim == 4 else weight)
        if bias is not None:
            module.bias.copy_(torch.as_tensor(bias))
    return module


def node_module(node, arrays, flags, training):
    """The module of a node; `arrays` are its own."""
    kind, weight = node["operation"], arrays.get("weight")
    if kind in ("pixels", "affine"):
        return Affine(arrays["scale"], arrays["shift"])
    if kind == "sign":
        return Threshold(arrays["threshold"], node.get("ste", (1, 1, 0)))
    if kind == "norm":
        module = nn.BatchNorm2d(len(arrays["gamma"]), eps=node["eps"])
        with torch.no_grad():
            module.weight.copy_(torch.as_tensor(arrays["gamma"]))
            module.bias.copy_(torch.as_tensor(arrays["beta"]))
        return module
    if kind in ("conv", "real-conv"):
        kind, bias = BinaryConv2d if kind == "conv" else nn.Conv2d, arrays.get("bias")
        top, left = node["padding"][:2] if isinstance(node["padding"], list) else (node["padding"],) * 2
        module = kind(weight.shape[3], len(weight), weight.shape[1:3], stride=node["stride"], padding=(top, left),
                      bias=bias is not None and np.any(bias))
        if kind is BinaryConv2d and not training and "once" in flags:
            module.once = True
        return with_weights(module, weight, bias if module.bias is not None else None)
    if kind == "average-pool":
        return nn.AvgPool2d(node["size"], node["stride"], ceil_mode=node["padding"] != 0, count_include_pad=False)
    if kind == "real-dense":
        return with_weights(nn.Linear(weight.shape[1], len(weight)), weight, arrays["bias"])
    return {"add": Sum, "global-average": GlobalAverage}[kind]()


def build_graph(nodes, arrays, flags, training):
    """A graph as a torch module; int8 has no form of it."""
    if "int8" in flags:
        raise ValueError("int8 has no form of graphs")
    own = [{name.partition(".")[2]: value for name, value in arrays.items() if name.partition(".")[0] == str(i)}
           for i in range(len(nodes))]
    return Wired(nodes, [node_module(node, each, flags, training) for node, each in zip(nodes, own)]).train(training)


# ---------------------------------------------------------------- work

class Training:
    """Adam at 1e-3 on mini-batches, cross-entropy, latent weights clipped to [-1, 1]."""

    def __init__(self, settings, arrays, images, labels, flags, batch, rate):
        self.module = build(settings, arrays, images.shape[1:], flags, training=True)
        self.images, self.labels, self.batch = torch.as_tensor(images).float(), torch.as_tensor(labels).long(), batch
        self.images -= settings["input_offset"]
        if "channels_last" in flags:
            self.module = self.module.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.weights = [m.weight for m in self.module.modules() if isinstance(m, (BinaryLinear, BinaryConv2d))]
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3, **({"fused": True} if "fused" in flags
                                                                                else {}))
        self.forward = torch.compile(self.module) if "compile" in flags else self.module

    def step(self, chosen):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.forward(self.images[chosen]), self.labels[chosen])
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for weight in self.weights:
                weight.clamp_(-1, 1)
        return loss

    def first(self):
        """The loss of the first batch, by the first step; a second one follows."""
        loss = self.step(torch.arange(self.batch)).item()
        self.run(1)
        return {"loss": loss}

    def run(self, steps):
        """So many steps on batches of images drawn anew."""
        order = torch.randperm(len(self.images))
        while len(order) < steps * self.batch:
            order = torch.cat([order, torch.randperm(len(self.images))])
        for i in range(steps):
            self.step(order[i * self.batch:(i + 1) * self.batch])


class Inference:
    """Classes of all images, in batches."""

    batch = EVALUATION_BATCH

    def __init__(self, settings, arrays, images, labels, flags, batch, rate):
        self.module = build(settings, arrays, images.shape[1:], flags, training=False)
        if "int8" in flags:
            self.images = torch.as_tensor((images.astype(np.int16) - 128).astype(np.int8))
        else:
            self.images = torch.as_tensor(images).float() - settings["input_offset"]
        if "channels_last" in flags:
            self.module = self.module.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.labels, self.rate = torch.as_tensor(labels).long(), rate
        self.weights = [m.weight for m in self.module.modules()
                        if isinstance(m, (BinaryLinear, BinaryConv2d, Int8Linear, Int8Conv2d))]
        self.guard = torch.inference_mode if "inference" in flags else torch.no_grad
        self.forward = torch.compile(self.module) if "compile" in flags else self.module

    def predictions(self):
        with self.guard():
            return torch.cat([self.forward(self.images[i:i + self.batch]).argmax(1)
                              for i in range(0, len(self.images), self.batch)])

    def first(self):
        return {"predictions": self.predictions().tolist()}

    def run(self, steps):
        return int((self.predictions() == self.labels).sum())


class Sweep(Inference):
    """One point of a sweep: keep the weights, flip each with probability `rate`, classify, put them back."""

    def run(self, steps):
        kept = []
        with torch.no_grad():
            for weight in self.weights:
                kept.append(weight.detach().clone())
                flipped = torch.rand(weight.shape) < self.rate
                weight.copy_(torch.where(flipped, -weight, weight))
        right = super().run(steps)
        with torch.no_grad():
            for weight, former in zip(self.weights, kept):
                weight.copy_(former)
        return right


KINDS: dict[str, type[Training] | type[Inference]] = {"training": Training, "inference": Inference, "sweep": Sweep}


def flags_of(setup):
    """The flags of a setup."""
    flags = frozenset(setup.split("+")) - {"eager", "default"}
    if flags - set(FLAGS):
        raise ValueError(f"setup must be default, best, eager or some of {', '.join(FLAGS)}, got {setup!r}")
    return flags


def fastest(work, settings, arrays, images, labels, batch, rate):
    """The fastest of the work's candidates: the best of two warm runs of a training step or of one batch of images."""
    graph = "nodes" in settings
    conv = graph or any(layer["kind"] == "conv" for layer in settings["layers"])
    part = len(images) if work == "training" else Inference.batch

    def seconds(setup):
        thing, _ = prepare(work, setup, settings, arrays, images[:part], labels[:part], batch, rate)
        return min(seconds_of(thing.run, 1) for _ in range(2))

    found = {setup: seconds(setup) for setup in CANDIDATES[work]
             if (conv or "channels_last" not in setup) and not (graph and "int8" in setup)}
    torch._dynamo.reset()                                         # what was compiled for the part alone
    return min(found, key=lambda setup: found[setup])


def prepare(work, setup, settings, arrays, images, labels, batch, rate):
    """(the work, made and run once, what a first run says)."""
    if setup == "best":
        setup = fastest(work, settings, arrays, images, labels, batch, rate)
    flags = flags_of(setup)
    torch.manual_seed(0)
    thing = KINDS[work](settings, arrays, images, labels, flags, batch, rate)
    started = time.perf_counter()
    found = thing.first()
    return thing, {**found, "seconds": time.perf_counter() - started, "setup": " + ".join(sorted(flags)) or "eager",
                   "gflops": matrix_gflops()}


def seconds_of(function, *args):
    started = time.perf_counter()
    function(*args)
    return time.perf_counter() - started


# ---------------------------------------------------------------- measured by bnnsim.bench

def answer(request, prepared):
    """The answer to one request of bnnsim.bench."""
    if request["do"] == "hello":
        torch.set_num_threads(request["threads"])
        return {"name": "PyTorch", "version": torch.__version__, "setups": SETUPS}
    if request["do"] == "prepare":
        with np.load(request["file"], allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        images, labels = arrays.pop("images"), arrays.pop("labels")
        settings = json.loads(str(arrays.pop("network")))
        thing, found = prepare(request["work"], request["setup"], settings, arrays, images, labels, request["batch"],
                               request["rate"])
        prepared[request["work"], request["setup"]] = thing
        return found
    if request["do"] == "run":
        thing = prepared[request["work"], request["setup"]]
        return {"seconds": seconds_of(thing.run, request["steps"])}
    if request["do"] == "drop":
        prepared.clear()
        torch._dynamo.reset()
        return {}
    raise ValueError(f"no request {request['do']!r}")


def matrix_gflops(n=1024, repetitions=10):
    """Of a float32 matrix product: which instructions PyTorch really uses shows in it."""
    a = torch.ones(n, n)
    a @ a
    return 2e-9 * n**3 / min(seconds_of(torch.matmul, a, a) for _ in range(repetitions))


def serve():
    """Answer requests, a line each, until standard input ends. Whatever else is printed goes to standard error."""
    answers, prepared = os.fdopen(os.dup(1), "w"), dict[tuple[str, str], Training | Inference]()
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            found = answer(json.loads(line), prepared)
        except Exception as error:                                # told to bench, which ends or goes on
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), file=answers, flush=True)


# ---------------------------------------------------------------- by itself

def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", action="store_true", help="answer bnnsim.bench")
    parser.add_argument("--network", default="fcnn", choices=("fcnn", "cnn", "cifar"))
    parser.add_argument("--work", default="inference", choices=KINDS)
    parser.add_argument("--setup", default="default", help="default, best, eager, or flags such as once+compile")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=5, help="training steps a repetition")
    parser.add_argument("--batch", type=int, default=256, help="images a training step")
    parser.add_argument("--evaluation-batch", type=int, default=EVALUATION_BATCH, help="images classified at a time "
                        "(default: %(default)s; with --serve too)")
    parser.add_argument("--rate", type=float, default=0.05, help="sweep: bit error rate")
    with tempfile.TemporaryDirectory(prefix="torch-peer-") as folder:
        # PyTorch 2.13 keeps compiled code under a key without the CPU's instructions: from the folder that processes
        # share, one limited to AVX2 gets loops in steps of 16 floats whose vectors hold 8, so every other 8 are garbage
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        run(parser.parse_args())


def run(options):
    """Serve, or measure once."""
    Inference.batch = options.evaluation_batch
    if options.serve:
        serve()
        return
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    settings, arrays = random_network(options.network, rng)
    shape = (3, 32, 32) if options.network == "cifar" else (1, 28, 28)
    images, labels = rng.integers(0, 256, (options.images, *shape), np.uint8), rng.integers(0, 10, options.images)
    thing, found = prepare(options.work, options.setup, settings, arrays, images, labels, options.batch, options.rate)
    times = [seconds_of(thing.run, options.steps) for _ in range(options.repetitions)]
    amount = f"{options.steps} steps of {options.batch} images" if options.work == "training" else \
        f"{options.images} images"
    print(f"PyTorch {torch.__version__}, {found['setup']}, {options.threads} threads: {options.network} "
          f"{options.work}, {amount}: median {statistics.median(times):.4f} s ({min(times):.4f} to {max(times):.4f}), "
          f"first {found['seconds']:.1f} s")


if __name__ == "__main__":
    main()
