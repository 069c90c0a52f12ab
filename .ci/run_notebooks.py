"""Run every notebook of a folder from its first cell to its last; an error ends it, with the cell and the traceback.

    python .ci/run_notebooks.py examples/notebooks
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main(folder: str) -> None:
    """Run them where they stand; what they would print is not written back."""
    for path in sorted(Path(folder).glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=1200, kernel_name="python3",
                       resources={"metadata": {"path": str(path.parent)}}).execute()
        print(f"{path}: {len(notebook.cells)} cells")


if __name__ == "__main__":
    main(*sys.argv[1:])
