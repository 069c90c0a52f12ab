"""Start-up, compilation and peak memory, each in a fresh process: with an empty cache of compiled code, and a full one.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bnnsim.benchmarks.sizes import SIZES, WORKS, Images, Sizes, make_model, make_network
from bnnsim.benchmarks.timing import Measurement, WrongResultError, seconds_of
from bnnsim.kernels import thread_count

ROOT = Path(__file__).resolve().parent.parent.parent             # what `import bnnsim` is found in
TIMED = "import time; started = time.perf_counter(); {}; print(time.perf_counter() - started)"
FIT = """\
import time, numpy as np, bnnsim
images = np.arange(16 * 64, dtype=np.uint8).reshape(16, 1, 8, 8)
train = bnnsim.Split(images, np.arange(16) % 10, "few")
started = time.perf_counter()
for spec in ("FC64 FC64 FC10", "C8 MP2 C8 MP2 FC64 FC10"):
    model = bnnsim.architectures.build(spec, (1, 8, 8), rng=0)
    bnnsim.fit(model, train, 1, train, rng=0, flip_rate=0.1, progress=False)
print(time.perf_counter() - started)
"""
PROGRAMS = (                        # (name, words after python, whether it prints its seconds, what is cold at first)
    ("import bnnsim", ["-c", TIMED.format("import bnnsim")], True, "bytecode"),
    ("import bnnsim, reach fit, pack and sweep", ["-c", TIMED.format("import bnnsim as b; b.fit, b.pack, b.sweep")],
     True, "bytecode"),
    ("warmup()", ["-c", "import bnnsim; " + TIMED.format("bnnsim.warmup()")], True, "kernels"),
    ("fit: an FCNN and a CNN, one small step each", ["-c", FIT], True, "kernels"),
    ("ber_sweep of 1 rate and 1 chip, whole process", ["-m", "bnnsim.ber_sweep", "--quiet", "--rates", "0.1",
                                                       "--trials", "1"], False, "kernels"),
    ("ber_sweep without arguments, whole process", ["-m", "bnnsim.ber_sweep", "--quiet"], False, None),
)
COLD = {"bytecode": "the bytecode of all modules is made too", "kernels": "all kernels are compiled"}


def run(words: Sequence[str], **environment: str) -> str:
    """What a fresh Python that finds this bnnsim prints; WrongResultError where it fails."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)             # it would keep caches empty
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise WrongResultError(f"python {' '.join(words[:2])[:60]} ended with exit code {done.returncode}: "
                               f"{done.stderr.strip()[-500:] or 'it said nothing'}")
    return done.stdout


def _start(words: Sequence[str], prints_seconds: bool, **environment: str) -> float:
    """Seconds of a program: its own account, or the whole process."""
    if prints_seconds:
        return float(run(words, **environment))
    return seconds_of(lambda: run(words, **environment))


def startup(sizes: Sizes) -> Iterator[Measurement]:
    """Measurements of cold and warm starts, a generator. Each program has caches of its own, which its start fills."""
    with tempfile.TemporaryDirectory(prefix="bnnsim-bench-") as folder:
        for i, (name, words, prints_seconds, cold) in enumerate(PROGRAMS[:1] if sizes.narrow else PROGRAMS):
            if cold:                                             # else it uses what the one before it has filled
                caches = {"NUMBA_CACHE_DIR": os.path.join(folder, str(i))}
            if cold == "bytecode":
                caches["PYTHONPYCACHEPREFIX"] = caches["NUMBA_CACHE_DIR"]
            if cold:
                yield Measurement("startup", f"{name}, cold", [_start(words, prints_seconds, **caches)],
                                  thread_count(), note=COLD[cold])
            warm = [_start(words, prints_seconds, **caches) for _ in range(sizes.sweeps)]
            yield Measurement("startup", f"{name}, warm", warm, thread_count())


# ---------------------------------------------------------------- memory

def peak_byte() -> int | None:
    """Most bytes of memory that this process has held; None where the system does not tell.

    Linux's VmHWM belongs to the process alone; getrusage's figure, elsewhere, is in bytes on macOS.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    except (OSError, StopIteration):
        if sys.platform != "darwin":
            return None
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def one_work(work: str, name: str, size: str) -> None:
    """In a process of its own: do a piece of work, and print what it took, as JSON."""
    import bnnsim.benchmarks.networks as networks

    sizes = SIZES[size]
    train, test = Images(sizes).of(name)
    before = peak_byte()
    if work == "training":
        seconds = seconds_of(networks.step_seconds, make_model(name, sizes), train, 2)
    else:
        seconds = seconds_of(networks.run_sweep, make_network(name, sizes)[0], test, 0.05, 2)
    print(json.dumps({"seconds": seconds, "peak": peak_byte(), "before": before}))


def peak_memory(sizes: Sizes, names: Iterable[str]) -> Iterator[Measurement]:
    """Measurements of peak memory, a generator: two training steps, and two chips of a sweep, of each network."""
    for name in names:
        for work, what in (("training", "training"), ("sweep", f"sweep of {sizes.images[name]:,} images")):
            code = f"import bnnsim.benchmarks.processes as p; p.one_work({work!r}, {name!r}, {sizes.name!r})"
            found = json.loads(run(["-c", code]))
            yield Measurement("memory", f"{WORKS[name].title}: {what}", [found.pop("seconds")], thread_count(),
                              values=found, note="(before: interpreter, library, data set)")
