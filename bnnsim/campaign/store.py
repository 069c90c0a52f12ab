"""Where the finished cells of a campaign stand on disk: what was there when it began, and what is added since.

Finished cells go to a journal beside the results file; when all are done, that file is written whole and renamed.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bnnsim.files.atomic as atomic
import bnnsim.files.hdf5 as hdf5
from bnnsim.campaign.cells import Answers, Cell, CellName
from bnnsim.campaign.grid import Campaign
from bnnsim.campaign.journal import Journal, journal_path
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.result_file import NOT_RUN
from bnnsim.campaign.settings import Settings, check_settings, describe_difference
from bnnsim.checks import FilePath


class Store:
    """The results file and the journal of a campaign, which learns what they hold; only memory where no path is given.

    To be closed: an unfinished campaign's journal stays.

    Parameters
    ----------
    out : path, optional
    resume : bool
        Go on from what is there; otherwise nothing may be there.
    campaign : Campaign
    """

    def __init__(self, out: FilePath | None, resume: bool, campaign: Campaign) -> None:
        self.out, self.campaign = out, campaign
        self.journal: Journal | None = None
        if out is None:
            if resume:
                raise ValueError("resume needs out, the results file to go on from")
            return
        if os.fsdecode(out).lower().endswith(".csv"):
            raise ValueError(f"out must be an HDF5 file, which can be gone on from, got {os.fsdecode(out)!r}: name it "
                             "results.h5, and save a table of the result, result.save('results.csv')")
        hdf5.check_ending("out", out)
        found = [path for path in (Path(out), Path(journal_path(out))) if path.exists()]
        if found and not resume:
            raise FileExistsError(f"{found[0]} exists: resume it (resume=True, --resume), or give another name")
        atomic.check_creatable(out)
        self.journal = Journal(out, campaign.settings, self._check_head)
        try:
            if Path(out).exists():
                campaign.learn(self._cells_of_file(out))
            campaign.learn(self.journal.cells)
        except BaseException:
            self.journal.close()
            raise

    def _check_head(self, head: Any) -> None:
        try:
            stored = check_settings(head)
        except hdf5.Refused as error:
            raise ValueError(f"{journal_path(str(self.out))} is not a journal of bnnsim: {error}; move it "
                             "away") from error
        self._check_same(stored)

    def _check_same(self, stored: Settings) -> None:
        difference = describe_difference(stored, self.campaign.settings)
        if difference:
            raise ValueError(f"{self.out} is of another campaign: {difference}")

    def _cells_of_file(self, out: FilePath) -> dict[CellName, Answers]:
        result = SweepResult.load(out)
        self._check_same(result.settings)
        sizes = [series["n_images"] for series in result.settings["series"]]
        return {(name, rate, trial): Answers(result.right[s, r, trial], None if result.predictions is None
                                             else result.predictions[s, r, trial, :sizes[s]],
                                             float(result.ber[s, r, trial]),
                                             0 if result.n_nonfinite is None else int(result.n_nonfinite[s, r, trial]))
                for s, name in enumerate(result.names) for r, rate in enumerate(result.rates.tolist())
                for trial in range(1 if self.campaign.is_clean(name, rate) else result.right.shape[2])
                if result.right[s, r, trial, 0] != NOT_RUN}

    def add(self, batch: Iterable[Cell], answers: Iterable[Answers]) -> None:
        """Keep finished cells."""
        names = list(self.campaign.series)
        found = {(names[s], rate, trial): one for (s, rate, trial), one in zip(batch, answers)}
        if self.journal is not None:
            self.journal.add(found)
        self.campaign.known.update(found)

    def finish(self) -> None:
        """Write the results file; the journal has done its work then."""
        if self.journal is not None and self.out is not None:
            self.campaign.result().save(self.out)
            self.journal.close(remove=True)

    def close(self) -> None:
        """Let go of the journal."""
        if self.journal is not None:
            self.journal.close()

    def hint(self) -> str:
        """How much is done, where it is, and how to go on."""
        n_cells = len(self.campaign.known)
        if not n_cells:
            return "no cell done, and nothing stored"
        done = f"{n_cells} cell{'s' * (n_cells != 1)} done"
        return f"{done}; all of them are in {self.journal.path}: the same command with --resume goes on" \
            if self.journal else f"{done}; nothing was stored, as no results file was given"
