"""Settings that all tests share."""

from hypothesis import settings

settings.register_profile("bnnsim", deadline=None, max_examples=40, print_blob=True)   # first calls compile
settings.load_profile("bnnsim")
