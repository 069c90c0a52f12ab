"""Commands that are ended from outside at some moment, and what they leave: processes, folders, semaphores, files."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHM = Path("/dev/shm")
STARTED: list[subprocess.Popen] = []
WAIT = 60                                                        # s, for what takes 2 s at most on an idle machine


def start(words, folder):
    """A Python process with its own folder for temporary files, and its own group."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
           "TMPDIR": str(temporary), "PYTHONWARNINGS": "default"}
    with open(temporary / "printed", "w") as printed:
        STARTED.append(subprocess.Popen([sys.executable, *map(str, words)], cwd=folder, env=env, stdout=printed,
                                        stderr=subprocess.PIPE, text=True, start_new_session=True))
    return STARTED[-1]


def end_all():
    """Kill what a test that failed has left running, with its group."""
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stderr.close()


def size(path):
    """Bytes; 0 where there is no file."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.getsize(path)
    return 0


def until(condition, process):
    """Wait until it holds; False where the process has ended before."""
    deadline = time.monotonic() + 2 * WAIT
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.002)
    return True


def family(pid):
    """Descriptors of the processes that a process has started, as long as they run."""
    children = {int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in
                task.read_text().split()}
    return [os.pidfd_open(child) for child in children]


def ended(descriptors):
    """Wait for processes to end; how many seconds it took. Those that go on are killed, and an error."""
    started, running = time.monotonic(), list(descriptors)
    poll = select.poll()
    for one in running:
        poll.register(one, select.POLLIN)
    try:
        while running:
            done = [one for one, _ in poll.poll(1000 * WAIT)]
            assert done, f"{len(running)} processes ran on"
            for one in done:
                poll.unregister(one)
                running.remove(one)
    finally:
        for one in running:
            signal.pidfd_send_signal(one, signal.SIGKILL)
        for one in descriptors:
            os.close(one)
    return time.monotonic() - started


def end(process, number, group=False):
    """Send a signal to the process alone, or to all of its group; (its exit code, what it said, seconds to the end
    of all that it had started)."""
    started = family(process.pid)
    (os.killpg if group else os.kill)(process.pid, number)
    process.wait()
    seconds = ended(started)
    return process.returncode, re.split(r"[\r\n]+", process.communicate()[1].strip())[-1], seconds


def left(folder):
    """Names of what is in the folder for temporary files, and of semaphores of those."""
    names = [name for name in os.listdir(folder / "tmp") if name != "printed"]
    return sorted(names), sorted(file.name for file in SHM.iterdir() if any(name in file.name for name in names))
