"""Runs the notebooks of this folder, and stores what they show: figures, tables, and the last look of each bar.

Bars are stored as text, which shows everywhere: leave ipywidgets out where this runs.

    pip install '.[notebook]'
    python examples/notebooks/run.py                         # all of them, or those that are named
"""

import argparse
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def executed(path: Path, seconds: float = 600) -> Any:
    """A notebook after all of its cells have run in a fresh kernel, in the notebook's folder.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        With the cell and its traceback.
    """
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=seconds, kernel_name="python3", coalesce_streams=True,
                                     record_timing=False, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    return notebook


def main() -> None:
    import nbformat

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(FOLDER.glob("*.ipynb")))
    options = parser.parse_args()
    for path in options.notebooks:
        notebook = executed(path.resolve())
        notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                             "language_info": {"name": "python"}}
        nbformat.write(notebook, path)
        print(f"{path.name}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells of code have run")


if __name__ == "__main__":
    main()
