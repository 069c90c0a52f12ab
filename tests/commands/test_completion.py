"""The scripts of ``bnnsim completion``, run by the shells themselves: every option of every command is offered."""

import importlib
import shutil
import subprocess

import pytest

import bnnsim.__main__ as __main__
import bnnsim.completion as completion

BASH, ZSH = shutil.which("bash"), shutil.which("zsh")
needs_bash = pytest.mark.skipif(BASH is None, reason="there is no bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A path to the script for bash."""
    path = tmp_path_factory.mktemp("completion") / "bnnsim.bash"
    path.write_text(printed("bash"))
    return path


def printed(shell):
    from contextlib import redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()) as out:
        assert completion.main([shell]) == 0
    return out.getvalue()


def offered(script, *lines):
    """What bash offers at the end of each of these lines, whose words are given as it splits them."""
    asked = "".join(f"COMP_WORDS=({' '.join(map(quoted, line))}); COMP_CWORD={len(line) - 1}; _bnnsim; "
                    'echo "${COMPREPLY[*]}"\n' for line in lines)
    done = subprocess.run([BASH, "--norc", "-eu", "-c", f"source {script}\nset +e\n{asked}"], capture_output=True,
                          text=True, check=True)
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


def quoted(word):
    return f"'{word}'"


@needs_bash
def test_every_command_and_every_option_is_offered(script):
    names = [*__main__.COMMANDS]
    commands, helped, *options = offered(script, ["bnnsim", ""], ["bnnsim", "help", ""],
                                         *(["bnnsim", name, "--"] for name in names))
    assert commands == [*names, "help", "--help", "--version"] and helped == names
    for name, found in zip(names, options):
        parser = importlib.import_module(f"bnnsim.{name}").arguments()
        known = {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
        assert set(found) == known and len(found) == len(known)


@needs_bash
@pytest.mark.parametrize("line, wanted", [
    (["ev"], ["evaluate"]), (["ber-sweep", "--format", ""], ["table", "csv", "json"]),
    (["ber_sweep", "--format", "=", "j"], ["json"]), (["ber_sweep", "--format", "="], ["table", "csv", "json"]),
    (["train", "x", "--optimizer", "s"], ["sgd"]), (["evaluate", "--dataset", "fashion-"], ["fashion-subset"]),
    (["download", "m"], ["mnist"]), (["completion", ""], ["bash", "zsh"]), (["train", "--no-au"], ["--no-augment"]),
    (["evaluate", "--out", ""], []), (["evaluate", "net"], []), (["unheard", "--"], []),
    (["evaluate", "--quiet", ""], []),
    (["evaluate", "--quiet", "--fo"], ["--force", "--format"]), (["evaluate", "$(touch x)", "`touch x`"], []),
])
def test_what_is_offered_where(script, line, wanted):
    """Nothing: bash then offers files."""
    found, = offered(script, ["bnnsim", *line])
    assert sorted(found) == sorted(wanted)


@pytest.mark.skipif(ZSH is None, reason="there is no zsh")
@pytest.mark.parametrize("line, wanted", [
    (["ev"], "bench ber_sweep"), (["ber-sweep", "--format", "j"], "table csv json"),
    (["evaluate", "--da"], "--dataset --data"),
    (["download", "m"], "fashion mnist cifar10 FILES"), (["evaluate", "--out", ""], "FILES"),
    (["help", ""], "bench ber_sweep")])
def test_zsh_offers_them_too(line, wanted, tmp_path):
    """What its functions are asked to offer; they stand in for a terminal."""
    (tmp_path / "_bnnsim").write_text(printed("zsh"))
    run = f"""compdef() {{}}; _files() print -n FILES
compadd() print -n -- "${{@[2,-1]}} "; _describe() print -n -- "${{found[@]%%:*}} "
source {tmp_path / '_bnnsim'}
words=(bnnsim {" ".join(map(quoted, line))}); CURRENT=$#words PREFIX=$words[-1]; _bnnsim"""
    done = subprocess.run([ZSH, "-f", "-c", run], capture_output=True, text=True)
    assert done.stderr == "" and wanted in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_scripts_have_no_error_of_syntax(shell, tmp_path):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    assert subprocess.run([program, "-n"], input=printed(shell), capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("words, message", [
    ([], "SHELL must be given: which: bash, zsh"), (["fish"], "SHELL must be one of 'bash', 'zsh', got 'fish'")])
def test_another_shell_is_refused(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        completion.main(words)
    assert stop.value.code == 2 and message in capsys.readouterr().err
