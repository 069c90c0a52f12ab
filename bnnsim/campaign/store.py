"""Where the finished cells of a campaign stand on disk: its journal, its file, and what is in them already."""

from pathlib import Path

from bnnsim.campaign.journal import Journal, journal_path
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.result_file import NOT_RUN
from bnnsim.campaign.settings import CampaignDiffers, describe_difference


class Store:
    """The results file and its journal; does nothing where no path was given."""

    def __init__(self, out, resume, campaign):
        self.out, self.campaign, self.journal = out, campaign, None
        if out is None:
            if resume:
                raise ValueError("resume needs out, the results file to go on from")
            return
        found = [path for path in (Path(out), Path(journal_path(out))) if path.exists()]
        if found and not resume:
            raise FileExistsError(f"{found[0]} exists: resume it (resume=True, --resume), or remove it")
        if not Path(out).resolve().parent.is_dir():
            raise FileNotFoundError(f"the folder of {out} does not exist: make it first")
        self.journal = Journal(out, campaign.settings, self._compare)
        try:
            if Path(out).exists():
                campaign.learn(self._cells_of_file())
            campaign.learn(self.journal.cells)
        except BaseException:
            self.journal.close()
            raise

    def _compare(self, stored):
        difference = describe_difference(stored, self.campaign.settings)
        if difference:
            raise CampaignDiffers(f"{self.out} is of another campaign: {difference}")

    def _cells_of_file(self):
        result = SweepResult.load(self.out)
        self._compare(result.settings)
        sizes = [series["n_images"] for series in result.settings["series"]]
        return {(name, rate, trial): (result.right[s, r, trial], None if result.predictions is None
                                      else result.predictions[s, r, trial, :sizes[s]])
                for s, name in enumerate(result.names) for r, rate in enumerate(result.rates.tolist())
                for trial in range(1 if self.campaign.is_clean(name, rate) else result.right.shape[2])
                if result.right[s, r, trial, 0] != NOT_RUN}

    def add(self, batch):
        """Keep finished cells: (name, rate, trial, right, predictions)."""
        if self.journal is not None:
            self.journal.add(batch)

    def finish(self):
        """Write the results file; the journal has done its work then."""
        if self.journal is not None:
            self.campaign.result().save(self.out)
            self.journal.close(remove=True)

    def close(self):
        if self.journal is not None:
            self.journal.close()

    def hint(self):
        """How much is done, where it is, and how to go on."""
        done = f"{len(self.campaign.known)} cells done"
        return f"{done}; all of them are in {self.journal.path}: the same command with --resume goes on" \
            if self.journal else f"{done}; nothing was stored, as no results file was given"
