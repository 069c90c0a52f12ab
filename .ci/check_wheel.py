"""Whether a wheel has the package and its data, whole, and nothing else.

    python .ci/check_wheel.py dist/bnnsim-0.2.0-py3-none-any.whl .
"""

import sys
import zipfile
from pathlib import Path

MADE = (".dist-info/METADATA", ".dist-info/WHEEL", ".dist-info/RECORD", ".dist-info/entry_points.txt",
        ".dist-info/top_level.txt", ".dist-info/licenses/LICENSE")


def wanted(root: Path) -> set[str]:
    """The files that a wheel of this clone is to have, but those of .dist-info."""
    package = {path.relative_to(root) for path in (root / "bnnsim").rglob("*") if path.suffix in (".py", ".pyi", ".h")
               or path.name == "py.typed"}
    data = {Path("bnnsim") / path.relative_to(root) for folder in (root / "data", root / "data" / "devices")
            for path in folder.iterdir() if path.is_file()}
    return {path.as_posix() for path in package | data}


def main(wheel: str, root: str) -> int:
    """Say what is missing and what is too much."""
    found = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith(MADE)}
    missing, extra = sorted(wanted(Path(root)) - found), sorted(found - wanted(Path(root)))
    for name in missing:
        print(f"{wheel} has no {name}: name its package, or its data, in setup.cfg", file=sys.stderr)
    for name in extra:
        print(f"{wheel} has {name}, which is no part of the package", file=sys.stderr)
    print(f"{wheel}: {len(found)} files of the package, {Path(wheel).stat().st_size / 1e6:.1f} MB")
    return 1 if missing or extra else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
