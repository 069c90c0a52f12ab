"""Throughput of the products that a BNN is made of, next to what a core can do at most, measured in turns with it.

Each function that checks raises `WrongResultError` where a product is wrong: exact ones against NumPy, 16-bit ones
against their error bound. N rows (images), F features, U units.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

import bnnsim.kernels.limits as limits
import bnnsim.packed.bits as bits
import bnnsim.seeding as seeding
from bnnsim.benchmarks.sizes import Sizes
from bnnsim.benchmarks.timing import Measurement, WrongResultError, alternated, seconds_of
from bnnsim.kernels import operations, recycling, split, thread_count, threads
from bnnsim.kernels.forward.pixel_lookup import DENSE_PIXELS_TILE
from bnnsim.kernels.forward.pixel_tile import PIXELS_TILE
from bnnsim.kernels.forward.xnor_tile import LARGE_TILE
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.forward import dense_forward, pixels_dense_forward
from bnnsim.training.gradients import dense_dweight, dense_dx

RATE = 0.05                         # of the bit errors drawn
ITEMS = 8                           # of the limit's kernel, shared out to threads


def require(name: str, right: bool | np.bool_) -> None:
    """Stop where a check failed."""
    if not right:
        raise WrongResultError(f"{name} gives a wrong result, so it is not timed: please report it, with this CPU")


# ---------------------------------------------------------------- the machine's limit

class Limit:
    """A register-only loop of one instruction chain; `run` gives seconds, `macs` is what a run does."""

    def __init__(self, kernel: Callable[..., None], plain: Callable[..., None], seeds: np.ndarray, macs_a_step: int,
                 n_steps: int) -> None:
        self.kernel, self.seeds, self.n_steps = kernel, seeds, n_steps
        self.out = np.zeros((ITEMS, limits.CHAINS, seeds.shape[1]), seeds.dtype)
        self.macs = ITEMS * n_steps * macs_a_step
        wanted = np.zeros_like(self.out[:1])
        plain(seeds, 5, wanted, 0)
        kernel(seeds, 5, self.out, 0, 1)
        require("the limit's loop", np.array_equal(self.out[:1], wanted))

    def run(self) -> float:
        """Seconds of one run on as many threads as kernels have."""
        return seconds_of(split, self.kernel, ITEMS, self.seeds, self.n_steps, self.out)


def make_limits(n_steps: int) -> dict[str, Limit]:
    """{"binary": Limit, "16-bit": Limit where the CPU has the instruction}."""
    rng, chains = np.random.default_rng(0), operations()
    seeds = rng.integers(0, 2**64, (limits.CHAINS + 1, 8), np.uint64)
    plain = chains["limits.xnor_chains"].plain
    known = {"binary": Limit(limits.xnor_limit, plain, seeds, limits.XNOR_MACS, n_steps)}
    if chains["limits.madd_chains"].in_use:
        seeds, plain = rng.integers(-2**31, 2**31, (limits.CHAINS + 1, 16)), chains["limits.madd_chains"].plain
        known["16-bit"] = Limit(limits.madd_limit, plain, seeds.astype(np.int32), limits.MADD_MACS, n_steps)
    return known


# ---------------------------------------------------------------- products

class Product(NamedTuple):
    """What is timed: a call without arguments, how many units of work it does, and which limit stands beside it."""

    name: str
    function: Callable[[], object]
    amount: int
    unit: str
    limit: str | None


def _signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.choice(np.array([-1, 1], np.int8), shape)


def binary_gemm(n: int, rng: np.random.Generator) -> Product:
    """Packed activations times packed weights, both n x n, to int32; checked exactly, all of it."""
    x, w = _signs(rng, n, n), _signs(rng, n, n)
    x_words, w_words = (bits.PackedBits.pack(values).words for values in (x, w))
    expected = x.astype(np.float32) @ w.T.astype(np.float32)                    # exact: |h| <= n < 2^24
    require("the binary GEMM", np.array_equal(dense_forward(x_words, w_words, n), expected))
    return Product(f"binary GEMM {n} x {n} x {n}", lambda: dense_forward(x_words, w_words, n), n**3, "MAC",
                   "binary")


def gradient_dx(n: int, rng: np.random.Generator) -> Product:
    """Float gradients, scaled to 16 bits, times packed weights: dX; checked against its error bound."""
    dh, w = rng.normal(size=(n, n)).astype(np.float32), _signs(rng, n, n)
    words = bits.PackedBits.pack(w).words
    bound = np.abs(dh).max(axis=1, keepdims=True) / 32767 / 2 * n
    require("the product dX", _within(dense_dx(dh, words, n, "fixed16"), dh.astype(np.float64) @ w, bound))
    return Product(f"16-bit gradient dX {n} x {n} x {n}", lambda: dense_dx(dh, words, n, "fixed16"), n**3, "MAC",
                   "16-bit")


def gradient_dweight(n: int, rng: np.random.Generator) -> Product:
    """The same for dW: float gradients times packed activations, summed over n images."""
    dh, x = rng.normal(size=(n, n)).astype(np.float32), _signs(rng, n, n)
    words, out = bits.PackedBits.pack(x).words, np.empty((n, n), np.float32)

    def keep(first: int, rows: np.ndarray) -> None:
        out[first:first + len(rows)] = rows

    dense_dweight(dh, words, n, "fixed16", keep)
    bound = np.abs(dh).max(axis=0)[:, None] / 32767 / 2 * n
    require("the product dW", _within(out, dh.T.astype(np.float64) @ x, bound))
    return Product(f"16-bit gradient dW {n} x {n} x {n}", lambda: dense_dweight(dh, words, n, "fixed16", keep), n**3,
                   "MAC", "16-bit")


def _within(product: np.ndarray, exact: np.ndarray, bound: np.ndarray) -> bool:
    return bool(np.all(np.abs(product - exact) <= bound + 1e-6 * np.abs(exact)))      # and the rounding to float32


def first_layer(n: int, rng: np.random.Generator) -> Product:
    """uint8 images of 784 pixels times packed weights of n units; checked exactly, all of it."""
    images, w = rng.integers(0, 256, (n, 1, 28, 28), np.uint8), _signs(rng, n, 784)
    words = bits.PackedBits.pack(w).words
    expected = images.reshape(n, 784).astype(np.float32) @ w.T.astype(np.float32)   # exact: 784 * 255 < 2^24
    require("the first layer", np.array_equal(pixels_dense_forward(images, 0, words, 784), expected))
    return Product(f"uint8 first layer {n} x {n} x 784", lambda: pixels_dense_forward(images, 0, words, 784),
                   n * n * 784, "MAC", None)


def bit_errors(n: int, rng: np.random.Generator) -> Product:
    """Bit errors of n x n weights at RATE, Philox draws to masks: each place in a word within 6 sigma, rates nested."""
    key = seeding.stream_key(0, "benchmark")
    masks, fewer = (flip_masks(n, n, p, key) for p in (RATE, RATE / 2))
    with threads(1):
        alone = flip_masks(n, n, RATE, key)
    places = bits.PackedBits(masks, n).unpack().reshape(-1, 64) > 0     # by the place in a word
    counts, words = places.sum(axis=0), len(places)
    require("drawing bit errors", np.all(np.abs(counts - words * RATE) < 6 * (words * RATE * (1 - RATE)) ** 0.5)
            and not np.any(fewer & ~masks) and fewer.any() and np.array_equal(masks, alone))
    return Product(f"bit errors drawn, {n} x {n} at {RATE:g}", lambda: flip_masks(n, n, RATE, key), n * n, "bit",
                   None)


BYTE_PRODUCTS = "gradients.byte_tile.byte_products"            # of convolutions, where the CPU has them

# each with the operation that its time goes into
PRODUCTS = {binary_gemm: f"forward.{LARGE_TILE}", gradient_dx: "gradients.lookup_tile.lookup_tile",
            gradient_dweight: "gradients.lookup_tile.lookup_tile", first_layer: f"forward.{DENSE_PIXELS_TILE}",
            bit_errors: "words.vector_words.draws_below"}


def _gradients() -> dict[str, str]:
    of_conv = {"conv gradients": BYTE_PRODUCTS} if operations()[BYTE_PRODUCTS].in_use else {}
    return {"gradients": PRODUCTS[gradient_dweight], **of_conv}


def tiles(work: str) -> dict[str, str]:
    """{product: what the tile in use for it needs of a CPU}, for the products of a piece of work."""
    used = {"binary layers": PRODUCTS[binary_gemm], "dense first layer": PRODUCTS[first_layer],
            "conv first layer": f"forward.{PIXELS_TILE}",
            **(_gradients() if work == "training" else {})}
    return {name: str(operations()[operation].in_use or "plain") for name, operation in used.items()}


def measure(sizes: Sizes) -> Iterator[Measurement]:
    """Measurements of all products, on one thread and on all: a generator, so that what is done is not lost.

    Outputs use memory again, as they do in training: fresh pages would be timed with the product else.
    """
    available, known = thread_count(), make_limits(sizes.limit_steps)
    for make, operation in PRODUCTS.items():
        note = f"tile: {operations()[operation].in_use or 'plain'}"
        product = make(sizes.gemm, np.random.default_rng(1))
        limit = known.get(product.limit) if product.limit else None
        for n_threads in sorted({1, available}):
            with threads(n_threads):
                yield from _beside(product, limit, 3 * sizes.repetitions, n_threads, note)


def _beside(product: Product, limit: Limit | None, repetitions: int, n_threads: int,
            note: str = "") -> Iterator[Measurement]:
    """A product in turns with its limit, each warmed up by one run."""
    runs = {"limit": limit.run} if limit else {}
    runs["product"] = lambda: seconds_of(product.function)
    with recycling():
        alternated(runs, 1)
        samples = alternated(runs, repetitions)
    suffix = f", {n_threads} thread{'s' * (n_threads > 1)}"
    rate = 0.0
    if limit:
        rate = limit.macs / float(np.median(samples["limit"]))
        beside = re.split(r" \d+ x", product.name)[0]
        yield Measurement("kernels", f"limit, beside the {beside}{suffix}", samples["limit"], n_threads,
                          amount=limit.macs, unit="MAC", note=f"{product.limit}, registers only: no loads, no stores")
    yield Measurement("kernels", product.name + suffix, samples["product"], n_threads, amount=product.amount,
                      unit=product.unit, limit=rate, note=note)
