"""Settings that all tests share. Helpers of this folder are imported by name from any folder of tests."""

import os
import signal

from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:                         # a process a core, so a thread a process: kernels that
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")             # are tested in several are told in how many

settings.register_profile("bnnsim", deadline=None, max_examples=40, print_blob=True)   # first calls compile
settings.load_profile("bnnsim")

# Started in a shell's background or by nohup, commands inherit that Ctrl-C or SIGHUP is ignored: tests that send these
# to commands of theirs would wait for them to end by themselves. What has a handler here has none there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_configure(config):
    """Files in the order of their folders: xdist puts those of few tests last, and long ones are among them."""
    config.option.loadscopereorder = False                      # without xdist nobody reads it
