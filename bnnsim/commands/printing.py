"""What commands print alike: JSON that any reader takes, numbers of things, and what a dry run would do."""

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any


def plain(value: Any) -> Any:
    """Arrays and tuples as lists, numbers as Python's, nan and infinities as None: what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(value: Any) -> str:
    """The text of a value as JSON, which has no NaN."""
    return json.dumps(plain(value), indent=1, allow_nan=False)


def counted(n: int, thing: str) -> str:
    """ "1 chip", "1,000 chips"."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def print_plan(options: argparse.Namespace, plan: Mapping[str, Any], writes: Mapping[str, str | list[str] | None],
               lines: Sequence[str] = ()) -> None:
    """What a dry run says, in the format asked for: JSON, or lines "key: value"; and the files that would be written.

    `writes` has the path of each option that names one, or the paths; `lines` are printed instead of the plan's.
    """
    files = [(f"--{name.replace('_', '-')}", path) for name, paths in writes.items() if paths
             for path in ([paths] if isinstance(paths, str) else paths)]
    if options.format == "json":
        print(as_json({"dry_run": True, **plan, "writes": [
            {"option": flag, "file": path, "exists": os.path.exists(path)} for flag, path in files]}))
        return
    for line in lines or [f"{key.replace('_', ' ')}: {_said(value)}" for key, value in plan.items()]:
        print(line)
    for flag, path in files:
        print(f"{flag} would write {path}{', which exists' if os.path.exists(path) else ''}")


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_said(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
