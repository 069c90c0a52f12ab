"""`pack`: a trained model as a packed network that predicts what the model does, on every image."""

from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.schema import check_metadata
from bnnsim.training.model import Sequential


def pack(model: Sequential, metadata: dict[str, str] | None = None) -> PackedNetwork:
    """The packed network of a trained model: it predicts what the model does, on every image.

    Parameters
    ----------
    model : Sequential
    metadata : dict of str to str, optional
        Stored with the network, beside what `fit` knows of the training (``model.metadata``: data set, seed, epochs,
        loss ...), and instead of it where both have a word.

    Returns
    -------
    PackedNetwork
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential, as bnnsim.architectures makes them, got {type(model).__name__}")
    stored: list[PackedLayer] = []
    for layer in model.layers:
        layer.pack_into(stored, model.input_offset)
    return PackedNetwork(stored, model.input_shape, model.input_offset,
                         model.metadata | check_metadata(metadata or {}))
