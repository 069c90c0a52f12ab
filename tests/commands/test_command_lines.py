"""The command lines: what they print and write, and one clear line with exit code 2 for bad input."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import bnnsim
import bnnsim.__main__ as __main__
import bnnsim.ber_sweep as ber_sweep
import bnnsim.convert as convert
import bnnsim.evaluate as evaluate
import bnnsim.summary as summary
import bnnsim.train as train
from bnnsim.campaign.result import SweepResult
from bnnsim.commands.number_lists import parse_rates

SMALL = ["--network", "FC16 FC10", "--dataset", "fashion-subset", "--epochs", "1", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small network trained from the command line."""
    path = tmp_path_factory.mktemp("trained") / "net.h5"
    assert train.main([*SMALL, "--out", str(path), "--plot", str(path.with_suffix(".svg"))]) == 0
    return path


def test_train_stores_a_network_with_its_origin(trained):
    network = bnnsim.PackedNetwork.load(trained)
    assert network.metadata["dataset"] == "fashion-subset" and network.metadata["seed"] == "0"
    _, test = bnnsim.load_dataset("fashion-subset")
    assert network.metadata["test_accuracy"] == f"{network.accuracy(test):.4f}"
    assert trained.with_suffix(".svg").read_bytes().startswith(b"<?xml")


def test_train_resumes_from_its_checkpoint(tmp_path, trained):
    checkpoint, out = tmp_path / "run.h5", tmp_path / "net.h5"
    arguments = [*SMALL, "--checkpoint", str(checkpoint), "--out", str(out)]
    assert train.main(arguments) == 0
    assert train.main([*arguments, "--resume", "--force"]) == 0
    assert bnnsim.PackedNetwork.load(out).checksum == bnnsim.PackedNetwork.load(trained).checksum


TOLERANT = ["--loss", "mhl", "--b", "8", "--ste", "swish", "--ste-beta", "4", "--optimizer", "bop", "--bop-gamma",
            "0.01", "--bop-tau", "1e-5", "--learning-rate", "0.02", "--regulariser", "0.1,2", "--flip-rate", "0.1,0",
            "--rescale", "0.2"]


def test_train_takes_all_settings_of_tolerance(tmp_path):
    """Each reaches `fit`: the same network as from Python; and a checkpoint goes on with the same command."""
    import bnnsim.training.adaptation as adaptation
    import bnnsim.training.estimators as estimators
    import bnnsim.training.losses as losses
    import bnnsim.training.optimizers as optimizers
    import bnnsim.training.regularisers as regularisers

    arguments = [*SMALL, *TOLERANT, "--checkpoint", str(tmp_path / "run.h5"), "--out", str(tmp_path / "net.h5")]
    assert train.main(arguments) == 0
    found = bnnsim.PackedNetwork.load(tmp_path / "net.h5")
    images, _ = bnnsim.load_dataset("fashion-subset")
    model = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), output_norm=False, rng=0, ste=estimators.SwishSign(4))
    bnnsim.fit(model, images, 1, rng=0, loss=losses.ModifiedHinge(8), flip_rate=[0.1, 0], progress=False,
               optimizer=optimizers.Bop(0.01, 1e-5, 0.02), regulariser=regularisers.DirectRegulariser(0.1, 2))
    wanted = bnnsim.pack(adaptation.rescale_thresholds(model, [0.1, 0], 0.2))
    assert found.checksum == wanted.checksum and found.metadata["rescaled_for"] == "0.2"
    assert found.metadata["loss"] == "ModifiedHinge(b=8.0)" and "SwishSign(beta=4" in found.metadata["architecture"]
    assert train.main([*arguments, "--resume", "--force"]) == 0
    assert bnnsim.PackedNetwork.load(tmp_path / "net.h5").checksum == wanted.checksum


def test_train_takes_metaplastic_weights(tmp_path):
    """The same network as from Python."""
    assert train.main([*SMALL, "--optimizer", "metaplastic", "--meta", "30", "--learning-rate", "0.01", "--out",
                       str(tmp_path / "net.h5")]) == 0
    images, _ = bnnsim.load_dataset("fashion-subset")
    model = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0)
    bnnsim.fit(model, images, 1, rng=0, optimizer=bnnsim.optimizers.Metaplastic(0.01, m=30.0), progress=False)
    found = bnnsim.PackedNetwork.load(tmp_path / "net.h5")
    assert found.checksum == bnnsim.pack(model).checksum and "Metaplastic" in found.metadata["optimizer"]


def test_what_black_enters_as(tmp_path):
    """--input-offset: of a list of layers and of a paper's network, stored with it; without, as in the paper."""
    for network, words, wanted in ((SMALL, [], 0), (SMALL, ["--input-offset", "128"], 128),
                                   (["--network", "mnist_mlp", *SMALL[2:]], ["--input-offset", "7"], 7)):
        out = ["--out", str(tmp_path / "n.h5"), "--force"]
        assert train.main([*network, *words, "--limit", "100", *out]) == 0
        assert bnnsim.PackedNetwork.load(tmp_path / "n.h5").input_offset == wanted


def test_train_under_asymmetric_errors_and_re_estimation(tmp_path):
    import bnnsim.training.adaptation as adaptation
    import bnnsim.faults as faults

    assert train.main([*SMALL, "--asymmetric", "0.1,0.02", "--gradient", "native", "--reestimate", "0.05", "--loss",
                       "mcel", "--margin", "10", "--bound", "30", "--out", str(tmp_path / "net.h5")]) == 0
    images, _ = bnnsim.load_dataset("fashion-subset")
    model = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), output_norm=False, rng=0)
    bnnsim.fit(model, images, 1, rng=0, loss=bnnsim.losses.MarginCrossEntropy(10, 30), progress=False,
               faults=faults.AsymmetricFlips(0.1, 0.02), gradient="native")
    wanted = bnnsim.pack(adaptation.reestimate_batch_norm(model, images, faults.BitFlips(0.05), 0))
    assert bnnsim.PackedNetwork.load(tmp_path / "net.h5").checksum == wanted.checksum


@pytest.mark.parametrize("ending", ["h5", "csv"])
def test_ber_sweep_prints_and_writes_all_cells(trained, tmp_path, capsys, ending):
    out, plot = tmp_path / f"sweep.{ending}", tmp_path / "sweep.png"
    assert ber_sweep.main([str(trained), "--rates", "0.01,0.1", "--trials", "2", "--quiet", "--seed", "3",
                           "--out", str(out), "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "all 2,000 images" in printed and "seed 3" in printed
    assert len(printed.strip().splitlines()) == 2 + 3                    # header, title, and the rates with 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    _, test = bnnsim.load_dataset("fashion-subset")
    expected = bnnsim.sweep({"net": bnnsim.PackedNetwork.load(trained)}, test, [0, 0.01, 0.1], 2, 3, progress=False)
    if ending == "h5":
        result = SweepResult.load(out)
        assert np.array_equal(result.accuracy, expected.accuracy) and result.names == ("net",)
    else:
        assert out.read_text() == expected.csv()


def test_two_networks_share_a_table(trained, tmp_path, capsys):
    other = tmp_path / trained.name
    other.write_bytes(trained.read_bytes())
    assert ber_sweep.main([str(trained), str(other), "--rates", "0.1", "--trials", "1", "--quiet"]) == 0
    assert capsys.readouterr().out.count("0.1") >= 2


def test_without_arguments_the_shipped_network_is_swept(capsys):
    assert ber_sweep.main(["--quiet", "--trials", "1"]) == 0
    printed = capsys.readouterr().out
    assert "fashion-subset-test: all 2,000 images" in printed
    assert len(printed.strip().splitlines()) == 2 + 14
    clean = float(printed.splitlines()[2].split()[4])
    assert clean > 85


BAD = [
    (ber_sweep, ["--rates", "0.1,1.5"], "rates must be a probability in [0, 1], got 1.5"),
    (ber_sweep, ["--rates", "nan"], "rates must be a probability"),
    (ber_sweep, ["--rates", "a:b"], "start:stop:count"),
    (ber_sweep, ["--rates", "0.1:0.01:5"], "0 < start < stop"),
    (ber_sweep, ["--rates", "1e-3:0.1:1"], "count must be in [2, 10000]"),
    (ber_sweep, ["--trials", "0"], "--trials must be >= 1"),
    (ber_sweep, ["--seed", "-1"], "seed must be >= 0"),
    (ber_sweep, ["--dataset", "fashon"], "did you mean 'fashion'"),
    (ber_sweep, ["missing.h5"], "missing.h5"),
    (ber_sweep, ["--plot", "sweep.jpg"], "must end in .png"),
    (ber_sweep, ["--out", "no/such/folder/sweep.h5"], "does not exist"),
    (ber_sweep, ["--no-such-option"], "--no-such-option"),
    (train, ["--network", "fashion_fcn", "--dataset", "fashion-subset"], "did you mean 'fashion_fcnn'"),
    (train, ["--network", "FC16 MP2 FC10", "--dataset", "fashion-subset"], "must follow a C"),
    (train, ["--flip-rate", "2", *SMALL], "--flip-rate must be a probability"),
    (train, ["--input-offset", "300", *SMALL], "--input-offset must be in [0, 255], got 300"),
    (train, ["--input-offset", "128", "--network", "bnn_resnet20", "--dataset", "fashion-subset"],
     "bnn_resnet20 takes pixels as its paper has them: input_offset (--input-offset) is for layers in a row"),
    (train, ["--flip-rate", "x", *SMALL], "--flip-rate must be a probability, or"),
    (train, ["--dataset", "imagenet"], "got 'imagenet'; or the path of data of your own, and no file or folder is"),
    (train, [*SMALL, "--resume"], "--resume needs --checkpoint FILE.h5"),
    (ber_sweep, ["--trials", "1000000000000"], "trials must be in [1, 2000000], got 1000000000000"),
    (train, [*SMALL, "--epochs", "1_0"], "argument --epochs: wanted an integer, got '1_0'"),
    (train, [*SMALL, "--learning-rate", "０.1"], "argument --learning-rate: wanted a number, got '０.1'"),
    (train, [*SMALL, "--regulariser", "0.1,1_6"], "--regulariser must be two numbers"),
    (evaluate, ["--size", "1_0x10"], "size must be ROWSxCOLUMNS"),
    (summary, ["--arrays", "６4x²"], "arrays must be ROWSxCOLUMNS"),
    (convert, ["x.npz", "--input-shape", "1,²,2"], "--input-shape must be channels,height,width"),
    (train, [*SMALL, "--holdout", "50000"], "error: --holdout must be in [0, "),
    (train, [*SMALL, "--regulariser", "1,-1"], "error: --regulariser LAMBDA,TARGET: target (T*) must be"),
    (train, [*SMALL, "--flip-rate", "0.1,0.1,0.1,0.1"], "error: --flip-rate must be one probability or "),
    (train, [*SMALL, "--history", "x.txt"], "error: --history must end in .json or .csv, got 'x.txt'"),
    (ber_sweep, ["--layers", "99"], "error: --layers must be in 0.."),
    (ber_sweep, ["--size", "0x3", "--dataset", "."], "error: --size[0] must be in [1, "),
    (ber_sweep, ["--rates", "0.1:0.2:1"], "error: --rates: count must be in [2, 10000]"),
    (train, [*SMALL, "--epochs", "0"], "--epochs must be >= 1"),
    (train, [*SMALL, "--loss", "mhl", "--b", "17"], "error: --b must be at most the output layer's fan-in, 16"),
    (train, [*SMALL, "--loss", "mhl", "--b", "-1"], "error: --b must be > 0"),
    (train, [*SMALL, "--b", "8"], "--b goes with --loss mhl, got --loss cross-entropy"),
    (train, [*SMALL, "--loss", "mhl", "--margin", "8"], "--margin goes with --loss squared-hinge or mcel, got"),
    (train, [*SMALL, "--loss", "mcel", "--margin", "-2"], "error: --margin must be >= 0"),
    (train, [*SMALL, "--ste-beta", "2"], "--ste-beta goes with --ste swish"),
    (train, [*SMALL, "--loss", "hinge"], "loss must be one of 'cross-entropy', 'mhl'"),
    (train, [*SMALL, "--regulariser", "0.1"], "--regulariser must be two numbers"),
    (train, [*SMALL, "--regulariser", "0.1,-4"], "target (T*) must be >= 0"),
    (train, [*SMALL, "--optimizer", "bop", "--bop-tau", "0"], "error: --bop-tau must be > 0"),
    (train, [*SMALL, "--optimizer", "metaplastic", "--meta", "-1"], "error: --meta must be >= 0"),
    (train, [*SMALL, "--meta", "3"], "--meta goes with --optimizer metaplastic"),
    (train, [*SMALL, "--asymmetric", "0.1"], "--asymmetric must be two probabilities"),
    (train, [*SMALL, "--asymmetric", "0.1,2"], "--asymmetric must be a probability in [0, 1]"),
    (train, [*SMALL, "--asymmetric", "0.1,0.1", "--flip-rate", "0.1"], "not both"),
    (train, [*SMALL, "--asymmetric", "0.1,0.1", "--rescale", "0.1"], "--rescale is for symmetric errors"),
    (train, [*SMALL, "--rescale", "0.5"], "--rescale must be a bit error rate from 0 to below 0.5"),
    (train, [*SMALL, "--rescale", "0.1", "--reestimate", "0.1"], "not both"),
    (train, [*SMALL, "--rescale", "0.1", "--flip-rate", "0.5", "--dry-run"], "--flip-rate must be below 0.5 with"),
    (train, [*SMALL, "--rescale", "0.1", "--flip-rate", "0,0.6"], "below 0.5 with --rescale, got 0,0.6"),
    (train, [*SMALL, "--reestimate", "1.5"], "--reestimate must be a probability"),
    (train, [*SMALL, "--resume"], "resume"),
]


@pytest.mark.parametrize(("module", "arguments", "message"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(module, arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        module.main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("name", train.SETTINGS)
def test_a_bad_setting_is_told_by_the_option_that_was_typed(name, capsys):
    """--meta, not m, which is what `optimizers.Metaplastic` calls it."""
    option = f"--{name.replace('_', '-')}"
    for choice in train.takers(name):
        with pytest.raises(SystemExit, match="2"):
            train.main([*SMALL, f"--{train.SETTINGS[name][0]}", choice, option, "nan"])
        assert capsys.readouterr().err.endswith(f": error: {option} must be finite, got nan\n")


def test_an_existing_file_survives_a_failing_sweep(trained, tmp_path):
    out = tmp_path / "sweep.h5"
    out.write_bytes(b"precious")
    with pytest.raises(SystemExit):
        ber_sweep.main([str(trained), "--rates", "7", "--out", str(out)])
    assert out.read_bytes() == b"precious" and os.listdir(tmp_path) == ["sweep.h5"]


def test_the_command_lists_its_parts_and_suggests(capsys):
    assert __main__.main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in __main__.COMMANDS)
    assert __main__.main(["sweeep"]) == 2
    assert "no command 'sweeep'" in capsys.readouterr().err
    assert __main__.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"bnnsim {bnnsim.__version__}"


def test_rates_always_have_0_and_ascend():
    assert parse_rates("0.1,0.001") == [0.0, 0.001, 0.1]
    rates = parse_rates("1e-4:0.3:13")
    assert len(rates) == 14 and rates[0] == 0 and rates[1] == 1e-4 and rates[-1] == 0.3
    assert rates[2:] == [float(f"{1e-4 * 3000 ** (i / 12):.4g}") for i in range(1, 13)], "else no sweep could go on"


def test_ctrl_c_ends_with_one_line(tmp_path):
    """SIGINT in the middle of a training: exit code 130, a checkpoint, and how to go on."""
    checkpoint = tmp_path / "run.h5"
    command = [sys.executable, "-m", "bnnsim.train", *SMALL[:-3], "--epochs", "1000", "--checkpoint", str(checkpoint)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        seen = ""
        while "loss=" not in seen and (letter := process.stderr.read(1)):   # in the bar: steps are being done
            seen += letter
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, seen + rest
    assert "Traceback" not in rest and "resume" in rest
    assert checkpoint.exists()
