"""From measured resistances to the accuracy of a network at once: fitted, made a device card, swept."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from bnnsim.campaign.card import CardSweep
from bnnsim.campaign.card_sweep import CardOptions, sweep_card
from bnnsim.devices import DeviceCard, fit
from bnnsim.devices.column_choice import Columns
from bnnsim.packed.network import PackedNetwork

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages


def sweep_measurements(table: Any, networks: PackedNetwork | Mapping[str, PackedNetwork], split: "LabelledImages",
                       axis: str | None = None, places: Sequence[float | str] | None = None, *,
                       columns: Columns | None = None, model: str = "log-normal", drop_invalid: bool = False,
                       source: str | None = None, values: Mapping[str, float] | None = None,
                       **settings: Unpack[CardOptions]) -> CardSweep:
    """Accuracy of networks in a memory whose devices were measured, with the energies that were measured.

    It is ``fitted = bnnsim.devices.fit(table, model, ...)``, ``card = fitted.card(...)`` and ``bnnsim.sweep_card(card,
    ...)``, in one: take these to look at the fit, and where something contradicts it. The card is in the result.

    Parameters
    ----------
    table : path, data frame, dict of {"LRS", "HRS"} to these, or Measurements
        See `bnnsim.devices.read_measurements`.
    networks : PackedNetwork, or dict of str to PackedNetwork
    split : Split
    axis, places : optional
        As of `sweep_card`; by default the first axis that was measured, or the memory as it was measured.
    columns, model, drop_invalid
        As of `bnnsim.devices.fit`.
    source : str, optional
        Who measured, where it is published: it stands on the card. The name of the file by default.
    values : dict of str to float, optional
        More keys of the card, such as ``{"energy_set_joule": 2e-12, "energy_reset_joule": 3e-12}``.
    settings
        More for `sweep_card`: cells, codes, at, trials, rng, out, and others.

    Returns
    -------
    CardSweep

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 28, 28), rng=0))
    >>> found = sweep_measurements(bnnsim.datasets.data_file("devices/sample_measurements.csv"), network,
    ...                            bnnsim.load_embedded()[1], trials=2, rng=0, progress=False)
    >>> [(row["place"], f"{row['ber']:.1e}") for row in found.rows]
    [('strong', '2.0e-06'), ('weak', '1.4e-02')]
    """
    fitted = fit(table, model, drop_invalid=drop_invalid, columns=columns)
    name = _name(table)
    card = fitted.card(name, source or f"measured: {name}", values=values)
    if axis is None:
        axis, places = _default(card, settings.get("at") or {}, places)
    return sweep_card(card, networks, split, axis, places, **settings)


def _name(table: object) -> str:
    """What a card of measurements is called: as its file, or files."""
    if isinstance(table, Mapping):
        return ", ".join(dict.fromkeys(_name(each) for each in table.values()))
    return os.path.basename(os.fsdecode(table)) if isinstance(table, (str, bytes, os.PathLike)) else "measurements"


def _default(card: DeviceCard, at: Mapping[str, Any], places: Sequence[float | str] | None
             ) -> tuple[str, Sequence[float | str] | None]:
    """The first axis that is measured; where there is none, the spread as it is."""
    for name in card.axes(at.get("condition")):
        if name != "sigma" and (name != "condition" or "condition" not in at):
            return name, places
    return "sigma", [1.0] if places is None else places
