"""What setup.cfg cannot say: README as a package index shows it, where relative links and pictures lead nowhere."""

import re
from pathlib import Path


def long_description(readme: str) -> str:
    """README without relative pictures; of relative links only their words."""
    text = re.sub(r"^\.\. (?:image|figure):: (?!https?:)\S+\n(?:   .*\n)*\n?", "", readme, flags=re.MULTILINE)
    link = r"`([^`<]+?)\s*<(?!https?:|mailto:)[^`>]*>`__?"
    return re.sub(link, lambda found: f"``{' '.join(found[1].split())}``", text)


if __name__ == "__main__":
    from setuptools import setup

    setup(long_description=long_description((Path(__file__).parent / "README.rst").read_text(encoding="utf-8")))
