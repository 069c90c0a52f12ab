"""Settings that all tests share. Helpers of this folder are imported by name from any folder of tests."""

from hypothesis import settings

settings.register_profile("bnnsim", deadline=None, max_examples=40, print_blob=True)   # first calls compile
settings.load_profile("bnnsim")
