"""data/device_card.schema.json, which editors read, says of a card what bnnsim says when it loads one."""

import copy
import importlib.util
import json
import math
from pathlib import Path

import pytest

import bnnsim.devices.card_schema as rules
from bnnsim.datasets import data_file
from bnnsim.devices.cards import SHIPPED

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make_card_schema.py"
SPEC = importlib.util.spec_from_file_location("make_card_schema", SCRIPT)
make_card_schema = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_card_schema)
CARD = {"format": "bnnsim device card", "format_version": 1, "name": "mine", "memory": "RRAM", "description": "",
        "licence": "none", "rows": [{"provenance": "measured", "source": "me", "lrs_median_ohm": 5e3}]}
NUMBERS = (*rules.PLACE, *rules.VALUES)


@pytest.fixture(scope="module")
def accepts():
    """Whether the schema takes a card."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in the extra [test]; it reads the schema")
    text = (make_card_schema.TARGET).read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    return jsonschema.Draft202012Validator(json.loads(text)).is_valid


def loads(card):
    """Whether bnnsim takes it."""
    try:
        rules.check_card(card)
    except rules.CardError:
        return False
    return True


def with_row(**values):
    card = copy.deepcopy(CARD)
    card["rows"][0].update(values)
    return card


def test_the_file_is_what_the_rules_say(tmp_path, monkeypatch):
    """Run  python docs/make_card_schema.py  after a change of them."""
    make_card_schema.main(["--check"])
    text = make_card_schema.TARGET.read_text(encoding="utf-8")
    assert Path(data_file("device_card.schema.json")).read_text(encoding="utf-8") == text, "it is installed, too"
    monkeypatch.setattr(make_card_schema, "TARGET", tmp_path / "device_card.schema.json")
    for content in (None, text.replace("maxItems", "minItems")):
        if content:
            make_card_schema.TARGET.write_text(content)
        with pytest.raises(SystemExit, match="make_card_schema.py"):
            make_card_schema.main(["--check"])
    make_card_schema.main([])
    assert make_card_schema.TARGET.read_text() == text
    with pytest.raises(SystemExit, match="JSON Schema"):
        make_card_schema.main(["--chek"])


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_cards_satisfy_it(name, accepts):
    with open(data_file(f"devices/{name}.json"), encoding="utf-8") as file:
        card = json.load(file)
    assert accepts(card) and loads(card)
    card["rows"][0]["energy_set_picojoule"] = 1.0
    assert not accepts(card) and not loads(card)


BROKEN = {
    "no object": [], "no format": {key: CARD[key] for key in CARD if key != "format"},
    "another format": {**CARD, "format": "card"}, "a newer version": {**CARD, "format_version": 2},
    "an unknown key": {**CARD, "author": "me"}, "a name that is a number": {**CARD, "name": 3},
    "too long a text": {**CARD, "description": "x" * 2001}, "no rows": {**CARD, "rows": []},
    "rows that are none": {**CARD, "rows": "none"}, "a row that is none": {**CARD, "rows": [3]},
    "equal sigmas that are a number": {**CARD, "assume_equal_sigmas": 1},
    "an unknown provenance": with_row(provenance="derived"), "no source": with_row(source=""),
    "an unknown quantity": with_row(lrs_ohm=3), "ber and p01": with_row(ber=0.1, p01=0.1),
    "ber and p10": with_row(ber=0.1, p10=0.1), "a rate over 1": with_row(ber=1.5),
    "a note that is a number": with_row(note=3), "one sample": with_row(lrs_samples_ohm=[5e3]),
    "samples that are none": with_row(lrs_samples_ohm=5e3), "a sample of 0": with_row(lrs_samples_ohm=[5e3, 0]),
    **{f"without {key}": {**CARD, "rows": [{name: value for name, value in CARD["rows"][0].items() if name != key}]}
       for key in ("provenance", "source")}}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_cards_fail(what, accepts):
    assert loads(CARD) and accepts(CARD)
    assert not loads(BROKEN[what]) and not accepts(BROKEN[what])


@pytest.mark.parametrize("key", NUMBERS)
def test_of_every_number_both_say_the_same(key, accepts):
    """At both ends of its range, beside them, and of what is no number."""
    low, open_low, high, _ = rules.PLACE.get(key) or rules.VALUES[key]
    ends = [end for end in (low, high) if math.isfinite(end)]
    values = [-1e300, -1, 0, 1e-300, 0.5, 1, 2, 10, 1e300, *ends, *(end + step for end in ends for step in (-0.1, 0.1)),
              "1", None, True, [1, 2], {}]
    said = {str(value): (loads(with_row(**{key: value})), accepts(with_row(**{key: value}))) for value in values}
    assert {value: both for value, both in said.items() if both[0] != both[1]} == {}
    assert {True, False} == {ours for ours, _ in said.values()}
