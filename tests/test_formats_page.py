"""What docs/formats.rst shows works as it is written there, on small files of the names that it uses."""

import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import foreign_files as foreign
import foreign_onnx
import numpy as np
import pytest

SHAPE = (2, 6, 6)
TEXT = (Path(__file__).resolve().parent.parent / "docs" / "formats.rst").read_text(encoding="utf-8")
BLOCKS = [(match[1] or "shell", "\n".join(line[4:] for line in match[2].splitlines()))
          for match in re.finditer(r"(?:^\.\. code-block:: (\w+)|^::)\n\n((?:    .*\n|\n)+)", TEXT, re.MULTILINE)]
FOREIGN = ("onnxruntime", "qonnx")


def put_files(folder):
    """The files of other programs."""
    rng = np.random.default_rng(3)
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    arrays, keras = foreign.state_dict(layers), foreign.keras_layers(layers, SHAPE)
    (folder / "model.h5").write_bytes(foreign.keras_h5(*keras))
    (folder / "model.keras").write_bytes(foreign.keras_zip(*keras))
    (folder / "net.pt").write_bytes(foreign.torch_zip(arrays))
    (folder / "net.safetensors").write_bytes(foreign.safetensors(arrays))
    (folder / "net.npz").write_bytes(foreign.npz(arrays))
    (folder / "model.onnx").write_bytes(foreign_onnx.chain(layers, SHAPE))
    np.save(folder / "images.npy", images)
    np.savez(folder / "images.npz", images=images)
    np.savez(folder / "sums.npz", **{f"layer{i}": h for i, h in enumerate(foreign.sums(layers, images)[0])})
    first, t, last = rng.choice([-1, 1], (12, 72)), rng.integers(30, 42, 12), rng.choice([-1, 1], (4, 12))
    (folder / "weights.h").write_bytes(foreign.c_header({"w1": first, "thr1": t, "w2": last}))
    words = "".join(f"const uint32_t {name}[] = {{{', '.join(foreign.c_words(weight > 0))}}};\n"
                    for name, weight in (("w1", first), ("w2", last)))
    (folder / "packed.h").write_bytes(words.encode() + foreign.c_header({"thr1": t}))
    (folder / "texts").mkdir()
    bits = {"1_weights": first > 0, "1_thresholds": t[:, None] >> np.arange(7, -1, -1) & 1, "2_weights": last > 0}
    for name, each in bits.items():
        (folder / "texts" / f"{name}.txt").write_bytes(foreign.memory_text(each.astype(int)))
    (folder / "finn").mkdir()
    weights = [rng.choice([-1, 1], shape) for shape in ((8, 18), (16, 32), (8, 16))]
    foreign.put_finn(folder / "finn", weights, [rng.integers(-800, 800, 8), rng.integers(12, 20, 16), None],
                     [4, 2, 4], [3, 8, 1])


def run_c(code, folder):
    """Compile and run a program; nothing where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler:
        (folder / "main.c").write_text(code)
        subprocess.run([compiler, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "main.c", "-o", "main"],
                       cwd=folder, check=True)
        assert subprocess.run([folder / "main"], capture_output=True, text=True).stdout.startswith("class ")


def test_blocks_are_found():
    kinds = [kind for kind, _ in BLOCKS]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "python": TEXT.count("code-block:: python"), "shell": len(re.findall("^::$", TEXT, re.MULTILINE)), "c": 1,
        "verilog": 1}
    assert kinds.count("python") > 10 and kinds.count("shell") == 4


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """Blocks that import another program's package run where it is installed."""
    put_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "formats"}
    for kind, code in BLOCKS:
        if kind == "python" and not any(re.search(rf"^(import|from) {name}\b", code, re.MULTILINE)
                                        and importlib.util.find_spec(name) is None for name in FOREIGN):
            exec(compile(code, "formats.rst", "exec"), names)
        elif kind == "c":
            run_c(code, tmp_path)
        elif kind == "shell":
            for line in code.splitlines():
                words = shlex.split(line, comments=True)
                assert words[:2] == ["python", "-m"], line
                assert importlib.import_module(words[2]).main(words[3:]) == 0
    printed = capsys.readouterr().out
    assert "the sums of 4 layers are the same on 12 images" in printed and "128 x 128 arrays" in printed
    assert (tmp_path / "tester.csv").read_text().startswith("# cells of 64 x 64 arrays, units on columns\n")
    assert (tmp_path / "chip" / "chip.layer0.weight.mem").exists()


@pytest.mark.parametrize("name", FOREIGN)
def test_blocks_for_other_packages_are_there(name):
    assert any(name in code for kind, code in BLOCKS if kind == "python")
