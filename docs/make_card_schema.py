"""Write data/device_card.schema.json, the JSON Schema of device cards for editors, from the rules that bnnsim checks.

    python docs/make_card_schema.py            # writes it
    python docs/make_card_schema.py --check    # exits 1 where the file is not what the rules say

What no schema can say is checked when a card is loaded: rows of one place that contradict each other, more than 100
conditions.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                             # this clone, whatever is installed

import bnnsim.devices.card_schema as rules  # noqa: E402

TARGET = ROOT / "data" / "device_card.schema.json"
WORDS = {"condition": "The programming condition; without it the row holds for all.",
         "cell": "Of which kind of cell the rates are, such as 1T1R, 2T2R, 6T.",
         "provenance": "How it is known: measured, read (in a publication's text), reconstructed (from prose or a "
                       "figure), recalled (from memory, not verified), synthetic (invented).",
         "source": "Who measured or published it, or how it was made.", "note": "Anything else.",
         "format_version": "Written by this version of bnnsim.", "rows": "What is known, and where it holds.",
         "assume_equal_sigmas": "Whether rates of 1T1R and 2T2R cells are derived from each other as if both states "
                                "had one spread.",
         "ber": "Bit error rate, of the kind of cell that cell says.", "p01": "A stored 0 reads 1.",
         "p10": "A stored 1 reads 0.", "energy_relative": "Energy to program, as a part of the reference's."}
TYPES = {str: "string", int: "integer", bool: "boolean", list: "array"}


def number(value: rules.Value) -> dict[str, Any]:
    """A number's type and range."""
    found: dict[str, Any] = {"type": "number"}
    if value.low != -math.inf:
        found["exclusiveMinimum" if value.open_low else "minimum"] = value.low
    if value.high != math.inf:
        found["maximum"] = value.high
    return found


def described(key: str, rule: dict[str, Any]) -> dict[str, Any]:
    """With what it is, or the unit that its name ends in."""
    unit = key.rpartition("_")[2]
    words = WORDS.get(key) or (f"in {unit}" if unit in rules.UNITS and unit not in ("ln", "cycles") else
                               "standard deviation of ln R" if unit == "ln" else "")
    return {**rule, **({"description": words} if words else {})}


def row() -> dict[str, Any]:
    """One row."""
    text = {"type": "string", "maxLength": rules.MAX_TEXT}
    properties = {key: dict(text) for key in rules.TEXTS}
    properties["provenance"] = {"enum": list(rules.PROVENANCES)}
    properties["source"]["minLength"] = 1
    properties |= {key: number(value) for key, value in (rules.PLACE | rules.VALUES).items()}
    samples = {"type": "array", "minItems": 2, "items": {"type": "number", "exclusiveMinimum": 0}}
    properties |= {key: samples for key in rules.SAMPLES}
    both = [{"required": ["ber", key]} for key in ("p01", "p10")]
    return {"type": "object", "additionalProperties": False, "required": ["provenance", "source"],
            "not": {"anyOf": both}, "properties": {key: described(key, rule) for key, rule in properties.items()}}


def schema() -> dict[str, Any]:
    """The whole."""
    properties: dict[str, Any] = {key: {"type": TYPES[kind]} for key, kind in rules.HEAD.items()}
    for key, kind in rules.HEAD.items():
        if kind is str:
            properties[key]["maxLength"] = rules.MAX_TEXT
    properties |= {"format": {"const": rules.FORMAT}, "format_version": {"const": rules.VERSION},
                   "rows": {"type": "array", "minItems": 1, "maxItems": rules.MAX_ROWS, "items": row()}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": rules.FORMAT,
            "description": "What is known of a memory technology, in SI units that stand in the names of the keys.",
            "type": "object", "additionalProperties": False,
            "required": [key for key in rules.HEAD if key not in rules.OPTIONAL],
            "properties": {key: described(key, rule) for key, rule in properties.items()}}


def main(argv: list[str]) -> None:
    if argv not in ([], ["--check"]):
        sys.exit(__doc__)
    text = json.dumps(schema(), indent=1) + "\n"
    if not argv:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit(f"{TARGET.name} is not what the rules say: run  python docs/make_card_schema.py")


if __name__ == "__main__":
    main(sys.argv[1:])
