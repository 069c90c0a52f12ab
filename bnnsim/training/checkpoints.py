"""Keeping a training run: when its checkpoint is written, and taking it up again."""

import logging
import os
import time
from collections.abc import Mapping
from io import FileIO

import numpy as np

import bnnsim.files.atomic as atomic
import bnnsim.files.hdf5 as hdf5
import bnnsim.files.locks as locks
import bnnsim.training.checkpoint_file as checkpoint_file
from bnnsim.checks import FilePath, check_array
from bnnsim.training.run import Run

log = logging.getLogger("bnnsim")


class Keeper:
    """Writes and reads the checkpoint of one run; does nothing where no path was given."""

    def __init__(self, path: FilePath | None, seconds: float, run: Run, resume: bool) -> None:
        self.path, self.seconds, self.run, self.resume = path, seconds, run, resume
        self.saved_step, self.saved_at = -1, time.monotonic()
        self._lock: FileIO | None = None
        if resume and path is None:
            raise ValueError("resume=True needs the path of a checkpoint")

    def start(self) -> None:
        """Load the checkpoint if one is to be resumed; complain of one that is in the way, or another run's now.

        To be closed: it is locked, by a file ``<path>.lock``, which a killed run leaves to the one that goes on.
        """
        if self.path is None:
            return
        hdf5.check_ending("checkpoint", self.path)
        target = atomic.check_target(self.path)
        self._lock = locks.claim(target)
        atomic.remove_parts(target)
        if os.path.exists(self.path):
            if not self.resume:
                raise FileExistsError(f"{self.path} exists: pass resume=True to go on from it, or give another name "
                                      "(of a command: --resume, --checkpoint)")
            self._load(self.path)
            return
        if self.resume:
            log.warning("no checkpoint %s yet: training starts from the beginning", self.path)
        self.run.described()                                    # what no file can hold is said before the work
        self.run.began = self.run.digest()

    def _moment_names(self, key: str) -> dict[str, str]:
        """The names that a file has for the moments of a parameter, and those that the optimizer has."""
        return {f"{key}.{name}": name for name in self.run.settings.optimizer.moments_of(key)}

    def _expected(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        arrays = self.run.model.arrays()
        expected = {name: (value.dtype, value.shape) for name, value in arrays.items()}
        for name, value in arrays.items():
            if ".running_" not in name:
                expected |= {full: (np.dtype(np.float32), (value.size,)) for full in self._moment_names(name)}
        expected |= {name: (value.dtype, value.shape) for name, value in self.run.epoch_words.items()}
        return expected | {f"best.{name}": (value.dtype, value.shape) for name, value in self.run.best.items()}

    def _load(self, path: FilePath) -> None:
        self._compare(checkpoint_file.load_settings(path))
        _, arrays, progress = checkpoint_file.load_checkpoint(path, self._expected())
        self._compare_beginnings(str(progress.get("began", "")))
        self.run.model.load_arrays(arrays)
        for key in self.run.model.arrays():
            if ".running_" not in key:
                self.run.settings.optimizer.state[key] = {name: arrays[full]
                                                          for full, name in self._moment_names(key).items()}
        self.run.epoch_words = {name: arrays[name] for name in self.run.epoch_words}
        self.run.best = {name: arrays[f"best.{name}"] for name in self.run.best}
        self.run.restore(progress)
        self.saved_step = self.run.progress.step

    def _compare(self, saved: Mapping[str, object]) -> None:
        """Refuse the checkpoint of another run, naming what differs."""
        wanted = self.run.described()
        differing = [f"{name} is {saved.get(name)!r} there and {wanted.get(name)!r} here"
                     for name in sorted({*saved, *wanted}) if saved.get(name) != wanted.get(name)]
        if differing:
            raise ValueError(f"{self.path} is the checkpoint of another run: {'; '.join(differing)}")

    def _compare_beginnings(self, began: str) -> None:
        """Refuse the checkpoint of a run from other weights, but for the model that this very run was interrupted on.

        A checkpoint that does not know its beginning is believed.
        """
        left = self.run.model.left
        if began and began != self.run.digest() and (left is None or left.began != began):
            raise ValueError(f"{self.path} is the checkpoint of another run: it began from other weights than the "
                             "model has. To go on from it, give the model as it was then: built with the same rng, or "
                             "made of the same network; else give another name (of a command: --checkpoint)")

    def save(self) -> None:
        """Write the checkpoint now, where it is not that of this very step already."""
        if self.path is None or self.saved_step == self.run.progress.step:
            return
        parameters, arrays = self.run.model.arrays(), dict(self.run.model.arrays())
        for key, moments in self.run.settings.optimizer.state.items():
            for full, name in self._moment_names(key).items():
                arrays[full] = check_array(f"the optimizer's state[{key!r}][{name!r}]", moments[name], np.float32,
                                           (parameters[key].size,))
        arrays |= self.run.epoch_words | {f"best.{name}": value for name, value in self.run.best.items()}
        checkpoint_file.save_checkpoint(self.path, self.run.described(), arrays, self.run.stored())
        self.saved_at, self.saved_step = time.monotonic(), self.run.progress.step

    def save_if_due(self) -> None:
        """Write it if the last one is older than `seconds`."""
        if self.path is not None and time.monotonic() - self.saved_at >= self.seconds:
            self.save()

    def close(self) -> None:
        """Let other runs have the checkpoint."""
        if self._lock is not None:
            locks.close_and_remove(self._lock)

    @property
    def loaded(self) -> bool:
        """Whether a checkpoint was taken up."""
        return self.saved_step >= 0

    def hint(self) -> str:
        """What to do after an interrupt."""
        done = f"interrupted after {self.run.progress.step} of {self.run.n_steps} steps"
        if not self.path:
            return f"{done}, which the model has; no file was written (no checkpoint= was given)"
        return f"{done}; go on with checkpoint={str(self.path)!r}, resume=True, or a command with --resume"
