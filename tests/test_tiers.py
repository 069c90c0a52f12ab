"""The quick tier looks at every package."""

from pathlib import Path

import bnnsim

TESTS = Path(__file__).resolve().parent
PACKAGES = {path.parent.name for path in Path(bnnsim.__file__).resolve().parent.glob("*/__init__.py")} - {"data"}


def test_every_package_has_a_folder_of_tests_and_one_of_them_is_tiny():
    tiny = {path.parent.name for path in TESTS.glob("*/test_*.py")
            if "@pytest.mark.tiny" in path.read_text(encoding="utf-8")}
    assert PACKAGES <= tiny, f"give {sorted(PACKAGES - tiny)} a test marked tiny"
