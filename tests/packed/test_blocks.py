"""What is summed up over blocks of images: any number of threads, and none that goes on alone."""

import threading

import numpy as np
import pytest

import bnnsim
from bnnsim.packed.blocks import BLOCK, each_block

N_BLOCKS = 60
IMAGES = np.random.default_rng(0).integers(0, 256, (N_BLOCKS * BLOCK - 5, 1, 28, 28), np.uint8)


@pytest.fixture(scope="module")
def network():
    return bnnsim.pack(bnnsim.architectures.build("C8 MP2 FC10", (1, 28, 28), rng=0))


@pytest.mark.parametrize("n_threads", [1, 3])
def test_every_block_is_visited_once(network, n_threads):
    with bnnsim.threads(n_threads):
        found = each_block(network, IMAGES, lambda block, xs: [
            [np.bincount([block.start // BLOCK], minlength=N_BLOCKS), np.array([block.stop - block.start])],
            [np.array([len(x) for x in xs])]])
    assert found[0][0].tolist() == [1] * N_BLOCKS
    assert found[0][1].tolist() == [len(IMAGES)] and found[1][0].tolist() == [len(IMAGES)] * 2


def test_ctrl_c_ends_all_threads_at_their_next_block(network):
    """Of a large network's tolerance the others went on to their end, half a minute."""
    interrupted, others = threading.Event(), []

    def visit(block, xs):
        if threading.current_thread() is threading.main_thread():
            interrupted.set()
            raise KeyboardInterrupt
        assert interrupted.wait(60)
        others.append(block)
        return []

    with bnnsim.threads(2), pytest.raises(KeyboardInterrupt):
        each_block(network, IMAGES, visit)
    assert len(others) < N_BLOCKS // 4
