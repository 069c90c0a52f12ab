"""Settings that all tests share. Helpers of this folder are imported by name from any folder of tests."""

import signal

from hypothesis import settings

settings.register_profile("bnnsim", deadline=None, max_examples=40, print_blob=True)   # first calls compile
settings.load_profile("bnnsim")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # started in a shell's background, where commands inherit that Ctrl-C is ignored: tests that send it to commands of
    # theirs would wait for them to end by themselves
    signal.signal(signal.SIGINT, signal.default_int_handler)
