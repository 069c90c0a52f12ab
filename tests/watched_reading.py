"""Reading foreign files under watch: what runs, is imported, or takes memory and time while they are read."""

import sys
import time
import tracemalloc
import zipfile

import foreign_mutations as mutations

import bnnsim.interop as interop

MOST_BYTES = 2**26                  # over twice the file's own size
MOST_SECONDS = 10
RUNS = ("os.system", "subprocess.Popen", "pickle.find_class", "os.exec", "os.posix_spawn", "os.fork", "socket.connect",
        "ctypes.dlopen", "exec", "compile", "import")
watched: list[list] = []            # of whoever is watching: what happened


def _listen(event, arguments):
    if watched and event in RUNS:
        watched[-1].append((event, str(arguments)[:200]))


def read_all(folder):
    """Each format once, from a folder: afterwards all modules that readers import are there; (content, how) by name."""
    sys.addaudithook(_listen)
    files = mutations.good_files()
    for name, (content, how) in files.items():
        (folder / name).write_bytes(content)
        interop.read_network(folder / name, **how)
    return files


def attempt(path, how, size):
    """Read it; what it ends with, or None. Any error but ValueError fails, and whatever runs or is imported."""
    watched.append([])
    tracemalloc.start()
    started = time.process_time()                               # others may load the machine
    said = None
    try:
        interop.read_network(path, **how)
    except ValueError as error:
        assert str(path) in str(error)
        said = str(error)
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert watched.pop() == [] and peak < MOST_BYTES + 2 * size and seconds < MOST_SECONDS, path
    return said


def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path
