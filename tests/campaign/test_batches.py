"""How many cells a kill loses: batches end by the clock, whatever the cells before cost. The clock is a fake one."""

from concurrent.futures import Executor, Future

import numpy as np
import pytest
from campaign_run import run

import bnnsim.campaign.cells as cells
import bnnsim.campaign.engine as engine
import bnnsim.campaign.sweeps as sweeps
from bnnsim.campaign.cells import Answers
from bnnsim.datasets.split import Split
from bnnsim.packed.network import BLOCK_IMAGES, PackedNetwork
from bnnsim.training.architectures import build
from bnnsim.training.packing import pack

FREE, DEAR = {0.0: 1e-6, 0.1: 0.4, 0.2: 0.4}, {0.0: 1e-6, 0.1: 1e-3, 0.2: 30.0}


class Clocked(Executor):
    """Does each task at once, and notes what came of it: (cells asked for, cells done, seconds)."""

    def __init__(self):
        self.batches = []

    def submit(self, function, key, batch, context=None):
        future = Future()
        found = function(key, batch, *([context] if context is not None else []))
        if found is not None:
            self.batches.append((len(batch), len(found[1]), found[0]))
        future.set_result(found)
        return future


@pytest.fixture
def costs(monkeypatch):
    """A function that makes cells take so many seconds by rate; those of the first chip are free."""
    now = [0.0]
    whole = cells.run_cell

    def make(seconds):
        def run_cell(context, s, rate, trial, broken=None):
            now[0] += seconds[rate] if trial else 1e-6
            return whole(context, s, rate, trial, broken)

        monkeypatch.setattr(cells, "run_cell", run_cell)
        monkeypatch.setattr(cells, "clock", lambda: now[0])

    return make


def batches(seconds, workers):
    executor = Clocked()
    result = run(rates=list(seconds), trials=100, executor=executor, workers=workers)
    assert sum(done for _, done, _ in executor.batches) == 2 * (1 + 100 * (len(seconds) - 1))
    return result, executor.batches


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("seconds", [FREE, DEAR])
def test_no_batch_is_longer_than_a_second_and_a_cell(costs, seconds, workers):
    """The first cells are free, all others are not, and one worker was once sent all of them for it."""
    wanted = run(rates=list(seconds), trials=100)
    costs(seconds)
    found, sent = batches(seconds, workers)
    assert found.checksum == wanted.checksum
    assert all(taken < 1 + max(seconds.values()) for _, _, taken in sent)
    assert all(done >= 1 for _, done, _ in sent)
    assert all(asked <= engine.GROWTH * most for (asked, _, _), most in zip(sent, accumulated(sent)))


def accumulated(sent):
    """The most cells that any batch before had done, for each batch."""
    return [max([1, *(done for _, done, _ in sent[:i])]) for i in range(len(sent))]


def test_cells_of_equal_cost_come_in_batches_of_a_second(costs):
    costs({0.0: 0.01, 0.1: 0.01})
    _, sent = batches({0.0: 0.01, 0.1: 0.01}, 1)
    assert [asked for asked, _, _ in sent[:8]] == [1, 1, 4, 4, 16, 16, 64, 48]
    assert all(asked == done for asked, done, _ in sent)


def test_without_clock_and_growth_the_first_test_fails(costs, monkeypatch):
    monkeypatch.setattr(cells, "MOST_SECONDS", float("inf"))
    monkeypatch.setattr(engine, "GROWTH", 10**9)
    costs(FREE)
    assert max(taken for _, _, taken in batches(FREE, 1)[1]) > 20


def test_a_batch_that_nobody_waits_for_ends_with_its_cell(monkeypatch):
    """As on Ctrl-C, in threads of this process."""
    context, n_done = cells.Context("left", (), 0, False), []

    def run_cell(context, *cell):
        n_done.append(cell)
        if len(n_done) == 3:
            cells.abandon("left")
        return Answers(None, None, 0.0)

    monkeypatch.setattr(cells, "run_cell", run_cell)
    monkeypatch.setattr(cells, "_drawn", lambda context, batch: [(cell, None) for cell in batch])
    _, answers = cells.run_batch("left", [(0, 0.1, trial) for trial in range(100)], context)
    assert len(answers) == len(n_done) == 3


def test_a_long_cell_that_nobody_waits_for_ends_at_its_next_images(monkeypatch):
    """Ctrl-C once waited for cells under way: seconds, of a CIFAR-10 network."""
    network = pack(build("C16 FC10", (1, 8, 8), rng=0))
    split = Split(np.zeros((5000, 1, 8, 8), np.uint8), np.zeros(5000, np.uint8), "zeros")
    series, _ = sweeps.make_series(network, split, None)
    context, blocks, original = cells.Context("long", series, 0, False), [], PackedNetwork.run

    def run(self, *args, **kwargs):
        blocks.append(1)
        if len(blocks) == 3:
            cells.abandon("long")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(PackedNetwork, "run", run)
    _, answers = cells.run_batch("long", [(0, 0.1, 0)], context)
    assert answers == [] and len(blocks) == 3 < 5000 / BLOCK_IMAGES
    assert len(cells.run_batch("long", [(0, 0.1, 0)], context)[1]) == 1, "wanted again"
