"""A rival measured in turns with bnnsim: bnnsim, peer, bnnsim, peer, in one run, both of them warm.

The peer is a script, run as ``python SCRIPT --serve`` in an environment of its own. It reads one JSON object a line
and answers each with one; what it prints besides goes to standard error.

    {"do": "hello", "threads": 2}              -> {"name": "PyTorch", "version": "2.13.0", "setups": ["default", ...]}
    {"do": "prepare", "work": W, "setup": S, "file": "x.npz", "batch": 256, "rate": 0.05}
                                               -> {"setup": "in words", "seconds": of the first run,
                                                   "loss": of the first batch ("training"), or "predictions": [...],
                                                   "gflops": of its float32 matrix product, or no such key}
    {"do": "run", "work": W, "setup": S, "steps": 20}        -> {"seconds": of so many steps, or of all images}
    {"do": "drop"}                             -> {}          forget what was prepared
    anything that fails                        -> {"error": "what and why"}

W is "training", "inference" or "sweep"; the file is as `peer_networks` says.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Self

import numpy as np

import bnnsim.benchmarks.kernels as kernels
import bnnsim.benchmarks.networks as networks
import bnnsim.training.losses as losses
from bnnsim.benchmarks.peer_networks import in_training, in_use, with_shifts, write
from bnnsim.benchmarks.reference import agree
from bnnsim.benchmarks.sizes import BATCH, SLOW, TEST_IMAGES, WORKS, Images, Sizes, make_model, make_network
from bnnsim.benchmarks.timing import REST_SECONDS, WrongResultError, alternated, in_words, seconds_of, statistics_of
from bnnsim.checks import FilePath
from bnnsim.datasets.split import Split
from bnnsim.kernels import thread_count
from bnnsim.packed.graph import PackedGraph
from bnnsim.training.model import Sequential

KINDS = ("training", "inference", "sweep")
RATE = 0.05                         # of the sweep point
STEPS = {"fcnn": 30, "cnn": 10, "cifar": 4, "residual": 4}      # of training where bench times whole epochs
SAME_SIGNS = 0.998                  # of images: signs of a graph's reals may turn round where sums have another order
LOSS_TOLERANCE = 1e-3               # relative: float32 may still turn an activation round
LOSS_OF_GRAPHS = 2e-2               # of 13 million signs of reals one turned, which the norms carry to every score


class Peer:
    """The running peer; a context manager that ends it, and removes its temporary files."""

    def __init__(self, script: FilePath, python: FilePath = sys.executable) -> None:
        if not os.path.isfile(script):
            raise FileNotFoundError(f"no peer {script}: give the path of a script such as examples/peers/torch_peer.py")
        self.folder = tempfile.TemporaryDirectory(prefix="bnnsim-peer-", ignore_cleanup_errors=True)
        try:
            self.process = subprocess.Popen([python, script, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            text=True, env={**os.environ, "TMPDIR": self.folder.name})
        except OSError as error:
            self.folder.cleanup()
            raise ValueError(f"cannot start the peer with {python}: {error.strerror}; give --peer-python the path of "
                             "a Python that has what the peer needs") from error
        self.requests, self.answers = _pipes(self.process)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request; ValueError where the peer fails or says so."""
        try:
            self.requests.write(json.dumps(request) + "\n")
            self.requests.flush()
            text = self.answers.readline()
        except BrokenPipeError:
            text = ""
        if not text:
            raise ValueError(f"the peer ended with exit code {self.process.wait()} at {request['do']!r}: its last "
                             "lines say why; --peer-python is the Python it needs")
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ValueError(f"the peer must answer with one JSON object a line, got {text[:80]!r}")
        if "error" in answer:
            raise ValueError(f"the peer cannot {request['do']}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.requests.close()                                    # it ends by itself
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.answers.close()
        self.folder.cleanup()


def _pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None and process.stdout is not None         # both were asked for
    return process.stdin, process.stdout


# ---------------------------------------------------------------- what both do

@dataclass(frozen=True)
class _Job:
    """One piece of work for both: seconds of bnnsim's side, a check of the peer's answer, and what to multiply by."""

    work: str
    name: str
    split: Split
    input_offset: int
    network: Sequence[Mapping[str, Any]]
    ours: Callable[[], float]
    check: Callable[[Mapping[str, Any]], tuple[bool, str]]
    share: float
    steps: int = 0


def training_job(name: str, sizes: Sizes, images: Images) -> _Job:
    """Training steps from the same latent weights; the losses of the first batch must agree."""
    train, _ = images.of(name)
    model, steps = with_shifts(make_model(name, sizes)), sizes.steps[name] or STEPS[name]
    network = in_training(model)
    scores, _ = with_shifts(make_model(name, sizes)).forward_train(train.images[:BATCH])
    loss, _ = losses.cross_entropy(scores, train.labels[:BATCH])

    def check(answer: Mapping[str, Any]) -> tuple[bool, str]:
        tolerance = LOSS_TOLERANCE if isinstance(model, Sequential) else LOSS_OF_GRAPHS
        right = abs(answer["loss"] - loss) <= tolerance * loss
        return right, f"first losses, {answer['loss']:.5f} and {loss:.5f},"

    return _Job("training", name, train, WORKS[name].input_offset, network,
                lambda: sum(networks.step_seconds(model, train, steps)), check,
                steps * BATCH / WORKS[name].epoch_images, steps)


def classifying_job(work: str, name: str, sizes: Sizes, images: Images) -> _Job:
    """Inference, or one chip of a sweep; the predictions of all images without errors must agree."""
    (_, test), (network, _) = images.of(name), make_network(name, sizes)
    test = test[:sizes.compared] if name in SLOW else test

    def check(answer: Mapping[str, Any]) -> tuple[bool, str]:
        predicted = np.array(answer["predictions"])
        if predicted.shape != (len(test),):
            return False, f"{len(test):,} predictions"
        n = int(agree(network, predicted, test.images).sum())
        least = 1.0 if not isinstance(network, PackedGraph) else SAME_SIGNS
        return n >= least * len(test), f"{n:,} of {len(test):,} predictions"

    def ours() -> float:
        if work == "inference":
            return seconds_of(network.predict, test.images)
        return seconds_of(networks.run_sweep, network, test, RATE, sizes.chips[name]) / sizes.chips[name]

    return _Job(work, name, test, network.input_offset, in_use(network), ours, check, len(test) / TEST_IMAGES)


TITLES = {"training": "epoch of {epoch:,} images", "inference": "{test:,} images",
          "sweep": "one chip at BER {rate:g}, {test:,} images"}


# ---------------------------------------------------------------- measuring

def compare(script: FilePath, python: FilePath, sizes: Sizes, images: Images, names: Iterable[str],
            works: Iterable[str] = KINDS) -> Iterator[dict[str, Any]]:
    """Rows of the comparison, a generator: see `_with_ratios`."""
    with Peer(script, python) as peer:
        who = peer.ask(do="hello", threads=thread_count())
        for work in works:
            for name in names:
                job = training_job(name, sizes, images) if work == "training" else \
                    classifying_job(work, name, sizes, images)
                yield _row(peer, who, job, sizes.rounds)
                peer.ask(do="drop")


def _row(peer: Peer, who: Mapping[str, Any], job: _Job, rounds: int) -> dict[str, Any]:
    """Prepare and check every setup of the peer, then measure all in turns."""
    with tempfile.TemporaryDirectory(prefix="bnnsim-bench-") as folder:
        path = os.path.join(folder, "work.npz")
        write(path, job.split, job.input_offset, job.network)
        setups = {}
        for setup in who["setups"]:
            answer = peer.ask(do="prepare", work=job.work, setup=setup, file=path, batch=BATCH, rate=RATE)
            right, what = job.check(answer)
            if not right:
                raise WrongResultError(f"{who['name']} ({setup}) and bnnsim do not compute the same {job.work} of the "
                                       f"{WORKS[job.name].title}: {what} compared")
            setups[setup] = {"setup": answer["setup"], "first_seconds": answer["seconds"], "checked": what,
                             "gflops": answer.get("gflops")}
    job.ours()                                                   # warm, as the peer is

    def theirs(setup: str) -> float:
        return peer.ask(do="run", work=job.work, setup=setup, steps=job.steps)["seconds"]

    functions: dict[str, Callable[[], float]] = {"bnnsim": job.ours}
    functions |= {setup: partial(theirs, setup) for setup in setups}
    samples = {side: (np.array(seconds) / job.share).tolist()
               for side, seconds in alternated(functions, rounds, REST_SECONDS).items()}
    return _with_ratios(who, job, setups, samples)


def _with_ratios(who: Mapping[str, Any], job: _Job, setups: Mapping[str, Mapping[str, Any]],
                 samples: Mapping[str, list[float]]) -> dict[str, Any]:
    """{"work", "name", "share", "bnnsim": {...}, "peers": {setup: {... "ratio": statistics of peer / bnnsim}}}."""
    title = TITLES[job.work].format(epoch=WORKS[job.name].epoch_images, test=TEST_IMAGES, rate=RATE)
    ours = np.array(samples["bnnsim"])
    peers = {}
    for setup, prepared in setups.items():
        ratios = (np.array(samples[setup]) / ours).tolist()
        peers[setup] = {**prepared, "seconds": samples[setup], "statistics": statistics_of(samples[setup]),
                        "ratios": ratios, "ratio": statistics_of(ratios)}
    return {"work": job.work, "network": job.name, "name": f"{WORKS[job.name].title}: {title}",
            "peer": f"{who['name']} {who['version']}", "threads": thread_count(),
            "share": min(job.share, 1.0), "split": job.split.name,
            "bnnsim": {"seconds": samples["bnnsim"], "statistics": statistics_of(samples["bnnsim"]),
                       "tiles": kernels.tiles(job.work)}, "peers": peers}


def gflops(setup: Mapping[str, Any]) -> str:
    """The peer's matrix product in words: which instructions it really used shows in it."""
    return f"; float32 matrix product {setup['gflops']:.0f} GFLOP/s" if setup.get("gflops") else ""


def line(row: Mapping[str, Any]) -> str:
    """One line of text for each setup of a row."""
    lines = [f"{'compare':<10} {row['name']:<52} {in_words(row['bnnsim']['statistics']['median']):>9}  bnnsim"
             + ", tiles: " + ", ".join(f"{name} {tile}" for name, tile in row["bnnsim"]["tiles"].items())
             + (f"  [both extrapolated from {100 * row['share']:.2g} % of it]" if row["share"] < 1 else "")]
    for peer in row["peers"].values():
        ratio = peer["ratio"]
        lines.append(f"{'':<63} {in_words(peer['statistics']['median']):>9}  {row['peer']}, {peer['setup']}: "
                     f"{ratio['median']:.3g} times bnnsim's ({ratio['min']:.3g} to {ratio['max']:.3g}); "
                     f"{peer['checked']} agree{gflops(peer)}")
    return "\n".join(lines)
