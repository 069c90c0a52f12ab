"""Bars of progress: tqdm's widget in a notebook that has ipywidgets, its line of text everywhere else."""

import warnings
from typing import Any


def progress_bar(**settings: Any) -> Any:
    """A bar, as `tqdm.tqdm` takes `settings`; it is imported here, where one is needed.

    A notebook without ipywidgets gets the line of text, and no warning: nothing is missing that it needs.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        from tqdm.auto import tqdm
    return tqdm(**settings)


def set_total(bar: Any, total: int) -> None:
    """What a bar that is shown already goes to; a widget has a maximum of its own."""
    bar.total = total
    if getattr(bar, "container", None) is not None:
        bar.container.children[1].max = total
