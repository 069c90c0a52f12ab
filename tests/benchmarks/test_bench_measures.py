"""How a benchmark measures: turns, whole steps and epochs, small sets, fewer instructions of the CPU."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from own_process import run

import bnnsim
import bnnsim.bench as bench
import bnnsim.benchmarks.kernels as kernels
import bnnsim.benchmarks.networks as networks
import bnnsim.benchmarks.sizes as sizes
import bnnsim.benchmarks.timing as timing
import bnnsim.commands.options as command_line_options
import bnnsim.training.model as model
from bnnsim.kernels import threads


def test_rivals_take_turns():
    order = []
    found = timing.alternated({name: lambda name=name: order.append(name) or 1.0 for name in "AB"}, 3)
    assert "".join(order) == "ABABAB" and found == {"A": [1.0] * 3, "B": [1.0] * 3}


@pytest.mark.parametrize(("n_steps", "unheeded"), [(1, 1), (5, 1), (7, 0), (12, 3)])
def test_so_many_whole_steps_are_timed(n_steps, unheeded, monkeypatch):
    """Also past the end of an epoch, which asks for a learning rate too: 700 images are 3 steps."""
    made = []
    monkeypatch.setattr(model.Sequential, "backward_update", lambda self, *_: made.append(1))
    net = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0)
    train = sizes.synthetic("fcnn", 700)
    found = networks.step_seconds(net, train, n_steps, unheeded)
    assert len(found) == n_steps and len(made) == n_steps + unheeded and min(found) > 0


def test_whole_epochs_take_small_sets_several_times(monkeypatch):
    """Two samples of an epoch of 60,000 images from 20,000: three passes of 79 steps each."""
    counted = []

    def counting(made, train, n_steps, n_unheeded=1):
        counted.append(n_steps)
        return [2.0] * n_steps

    monkeypatch.setattr(networks, "step_seconds", counting)
    size = sizes.Sizes("x", 1, 64, {"fcnn": 0}, {"fcnn": 2}, {"fcnn": 64}, {"fcnn": 1}, 1, narrow=True)
    images = sizes.Images(size)
    images._loaded["fashion"] = (sizes.synthetic("fcnn", 20_000), sizes.synthetic("fcnn", 64))
    found = networks.training_epoch("fcnn", size, images)
    assert counted == [1, 2 * 3 * 79] and found.seconds == [2.0 * 3 * 79] * 2 and found.share == 1


def test_the_papers_networks_are_measured():
    for name, made in (("fcnn", "fashion_fcnn"), ("cnn", "fashion_cnn"), ("cifar", "cifar10_cnn"),
                       ("residual", "bireal_resnet18")):
        expected = getattr(bnnsim.architectures, made)(rng=0)
        found = sizes.make_model(name, sizes.SIZES["quick"])
        work = sizes.WORKS[name]
        assert found.describe() == expected.describe()
        assert (found.input_shape, found.input_offset) == (work.input_shape, work.input_offset)


def test_a_set_that_is_too_small_is_repeated():
    split = sizes.synthetic("fcnn", 7)
    assert sizes.repeated(split, 7) is split and len(sizes.repeated(split, 3)) == 3
    np.testing.assert_array_equal(sizes.repeated(split, 16).labels, [*split.labels, *split.labels, *split.labels[:2]])


def test_the_commit_is_told_where_there_is_one(tmp_path, monkeypatch):
    """A sign for changed files behind it; an installed library has none."""
    root, found = Path(bnnsim.__file__).resolve().parent.parent, timing.commit_of_clone()
    asked = subprocess.run(["git", "-C", root, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    expected = asked.stdout.strip() if asked.returncode == 0 and (root / ".git").exists() else None
    assert (found and found.rstrip("+")) == expected
    monkeypatch.setattr(timing, "__file__", str(tmp_path / "site-packages" / "bnnsim" / "benchmarks" / "timing.py"))
    assert timing.commit_of_clone() is None


def test_a_thread_count_is_put_back():
    with threads(1):
        nothing = kernels.Product("x", lambda: None, 1, "MAC", None)
        assert [measured.threads for measured in kernels._beside(nothing, None, 1, 1)] == [1]


# ---------------------------------------------------------------- fewer instructions

def test_limited_instructions_reach_kernels_and_the_peer():
    """In a process of its own, as Numba reads its target once; the plain twins are those of no CPU in particular."""
    program = ("from bnnsim.benchmarks.instruction_sets import limit; limit({isa!r}); import os; "
               "from bnnsim.kernels._twins import target_has; "
               "print(target_has('avx2'), target_has('avx512f'), os.environ['ATEN_CPU_CAPABILITY'])")
    package = Path(bnnsim.__file__).parents[1]
    assert run(program.format(isa="avx2"), package) == ["True", "False", "avx2"]
    assert run(program.format(isa="generic"), package) == ["False", "False", "default"]


def test_instructions_cannot_be_limited_once_numba_is_loaded(capsys):
    assert set_by_command("--isa", "avx2") == ["--isa", "avx2"]
    with pytest.raises(SystemExit):
        bench.main(["--isa", "avx2", "--tiny", "--only", "kernels"])
    assert "isa 'avx2' must be set before Numba is loaded: start python -m bnnsim.bench by itself" in \
        capsys.readouterr().err


def test_the_command_has_paths_as_they_were_given_but_no_folder_of_this_machine(tmp_path):
    given = set_by_command("--compare", "peers/a.py", "--peer-python", "b/python")
    assert given == ["--compare", "peers/a.py", "--peer-python"]
    assert set_by_command("--compare", str(tmp_path / "a.py")) == ["--compare"]


def set_by_command(*words):
    options = bench.arguments().parse_args(["--only", "kernels", *words])
    command_line_options.settle(options, bench.OPTIONS, {})
    bench.resolve(options)
    return [word for word in bench.command_of(options).split() if word in words]
