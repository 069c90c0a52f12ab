"""What a run of training is set to: checked once, remembered by its checkpoint, and told to the network.

Each kind of object is checked in its own file (`losses.check_loss` and so on); `fit` asks them all, in one place.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnnsim.training.callbacks import Callback
from bnnsim.training.losses import Loss
from bnnsim.training.optimizers import Optimizer
from bnnsim.training.plug_ins import as_text, settings_of
from bnnsim.training.reading import FlipRates
from bnnsim.training.regularisers import Regulariser
from bnnsim.training.schedules import Schedule

if TYPE_CHECKING:
    from bnnsim.faults.protocol import Fault


@dataclass(frozen=True)
class Settings:
    """The arguments of `fit` that decide what is computed, in their clean form."""

    epochs: int
    batch_size: int
    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    regulariser: Regulariser | None
    flip_rates: tuple[float, ...]
    faults: "Fault | None"
    gradient: str
    precision: str
    augment: bool
    keep: str
    validation_share: float | None = None
    callbacks: tuple[Callback, ...] = ()
    initial_epoch: int = 0

    @property
    def errors(self) -> "Fault | FlipRates | None":
        """What breaks the weights in the forward pass; None where nothing does."""
        return FlipRates(self.flip_rates) if any(self.flip_rates) else self.faults

    def described(self) -> dict:
        """Plain JSON: what two runs must agree on to give the same bytes."""
        optional = {"faults": None if self.faults is None else as_text(self.faults),
                    "regulariser": None if self.regulariser is None else _described(self.regulariser),
                    "validation_share": self.validation_share,
                    "callbacks": [settings_of(each) for each in self.callbacks] or None,
                    "initial_epoch": self.initial_epoch or None}
        return {"epochs": self.epochs, "batch_size": self.batch_size, "optimizer": settings_of(self.optimizer),
                "schedule": settings_of(self.schedule), "flip_rates": list(self.flip_rates),
                "loss": _described(self.loss), "gradient": self.gradient, "precision": self.precision,
                "augment": self.augment, "keep": self.keep,
                **{name: value for name, value in optional.items() if value is not None}}

    def metadata(self) -> dict[str, str]:
        """Text: what somebody wants to know of a network that was trained so."""
        rates = [repr(rate).removesuffix(".0") for rate in self.flip_rates]
        optional = {"faults": self.faults, "regulariser": self.regulariser, "validation_share": self.validation_share,
                    "callbacks": list(map(as_text, self.callbacks)) or None}
        return {"epochs": str(self.epochs), "flip_rate": ",".join(rates if len(set(rates)) > 1 else rates[:1]),
                "gradient": self.gradient, "optimizer": as_text(self.optimizer), "loss": as_text(self.loss),
                **{name: as_text(value) for name, value in optional.items() if value is not None}}


def _described(thing: object) -> object:
    """A function by its name, any other object by its settings."""
    return as_text(thing) if hasattr(thing, "__qualname__") else settings_of(thing)
