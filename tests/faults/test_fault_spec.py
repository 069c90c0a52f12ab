"""Faults written as text: every public fault comes back from its repr, and bad text is refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bnnsim.faults as faults
from bnnsim.faults import (ActivationErrors, AnalogColumns, ArrayMapping, ArrayVariation, AsymmetricFlips, BitFlips,
                           ByArray, Clusters, Compose, EachRead, InOutput, InThresholds, PairDevices, PopcountErrors,
                           PopcountNoise, Protected, ReadDisturb, RealBits, Remapped, SenseErrors, SpareColumns,
                           StuckAt, StuckLine, StuckLines, WeakAmplifiers, parse_fault)
from bnnsim.faults.spec import _known

pytestmark = pytest.mark.jit_off

MAP = ArrayMapping(16, 24)
LINE = StuckLine(MAP, "column", array=0, line=5, value=0)
FAULTS = [BitFlips(0.01), BitFlips((0.1, 1e-300), [0, 2]), AsymmetricFlips(0.1, 0.3),
          AsymmetricFlips((0, 1), 0, rate=0.2), StuckAt(0.1, 0.2, layers=(1,), rate=0.5),
          StuckLines(MAP, "row", (0.1, 0.3), 0.2, 3), WeakAmplifiers(MAP, 0.1, 0.4, 8),
          Clusters(ArrayMapping(7, 65, "columns"), 0.02, 2, 0.3), LINE, EachRead(BitFlips(0)),
          Compose([LINE, BitFlips(0)], axis=1), Protected(StuckAt(0.1, 0), "repetition(3)", [1]),
          SpareColumns(LINE, MAP), ArrayVariation(BitFlips(0), MAP, 1e-3, 0.7),
          Remapped(StuckAt(0.1, 0.1), True, 64, "units", "greedy", 2),
          ByArray(BitFlips(0), MAP, [0.1, 0.2], 0.1), RealBits(0.1, ("real-conv", 3), ("weight",)),
          ActivationErrors(0.1, (0,)), PopcountErrors((0, 0.1), step=2), PopcountNoise(0.1), SenseErrors(0.01),
          AnalogColumns(32, 5, (0.1, 0.2), noise=0.3, wire=1e-4), InThresholds(BitFlips(0.1), 12),
          InOutput(Protected(BitFlips(0.1), "secded(8,4)")), PairDevices(AsymmetricFlips(0.1, 0.3), (0, 2)),
          ReadDisturb(1e8, None, 1.5, 1e3, (0,)),
          Protected(Compose([SpareColumns(StuckLines(MAP, "column", 0, 0), MAP), EachRead(BitFlips(0))]))]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_comes_back_from_its_repr(fault):
    """What a result file names can be typed again; at rate 0, which names a setting, too."""
    assert parse_fault(repr(fault)) == fault and type(parse_fault(repr(fault))) is type(fault)
    if fault not in (LINE, SpareColumns(LINE, MAP)):
        assert parse_fault(repr(fault.at(0.0))) == fault.at(0.0)


def test_every_public_fault_is_among_them():
    """Whoever adds one to the public list can type it."""
    known = _known()
    assert {type(fault).__name__ for fault in FAULTS} | {"ArrayMapping"} == set(known)
    assert {name for name in faults.__all__ if hasattr(getattr(faults, name), "apply")} - set(known) == {
        "Fault", "FaultMap", "LayerFault"}


@pytest.mark.parametrize("text, fault", [
    ("Protected(BitFlips(0), 'secded(72,64)')", Protected(BitFlips(0), "secded(72,64)")),
    (" BitFlips ( p = .01 ,\n layers = [ 1, 2, ], ) # a comment", BitFlips(0.01, (1, 2))),
    ("StuckLines(ArrayMapping(64, 64), 'row', 1, 0, layers=None)", StuckLines(ArrayMapping(64, 64), "row", 1, 0)),
    ("Protected(fault=BitFlips(p=0), code='secded' '(8,4)')", Protected(BitFlips(0), "secded(8,4)")),
    ("EachRead(EachRead(EachRead(EachRead(BitFlips(0)))))", EachRead(EachRead(EachRead(EachRead(BitFlips(0))))))])
def test_spellings(text, fault):
    assert parse_fault(text) == fault


DEEP = "EachRead(" * 5 + "BitFlips(0)" + ")" * 5
BAD = [
    # names
    ("Protected(BitFlip(0))", "column 11, BitFlip: unknown name; did you mean 'BitFlips'"),
    ("bitflips(0)", "column 1, bitflips: unknown name; did you mean 'BitFlips'"),
    ("stuckat(0, 0)", "did you mean 'StuckAt'"),
    ("Flaky(0)", "unknown name; known are ActivationErrors, AnalogColumns"),
    ("__import__('os')", "unknown name; known are"),
    ("print('x')", "unknown name"),
    ("FaultMap([])", "column 1, FaultMap: unknown name"),
    ("LayerFault()", "unknown name"), ("Fault()", "unknown name"), ("Cost(1, 2)", "unknown name"),
    ("ideal_residual('secded(8,4)', 0.1)", "unknown name"), ("parse_fault('BitFlips(0)')", "unknown name"),
    ("BitFlips(nan)", "column 10, nan: unknown name"),
    ("BitFlips(p=0.1, layer=[1])", "column 17, layer=\\[1\\]: unknown argument of BitFlips; did you mean 'layers'"),
    ("BitFlips(0, when='read')", "unknown argument of BitFlips; known are p, layers"),
    ("BitFlips(p=1, p=2)", "column 15, p=2: p is given twice"),
    ("BitFlips(0, p=2)", "multiple values for argument 'p'"),
    ("BitFlips(0, None, 1, 3)", "too many positional arguments; BitFlips takes p, layers"),
    ("BitFlips()", "missing a required argument: 'p'"),
    # neither calls nor literals
    ("bnnsim.faults.BitFlips(0)", "column 1, bnnsim.faults.BitFlips: wanted the name of a fault alone"),
    ("BitFlips(0).at(1)", "wanted the name of a fault alone"),
    ("BitFlips(0)(1)", "wanted the name of a fault alone"),
    ("(lambda: BitFlips(0))()", "wanted the name of a fault alone"),
    ("BitFlips", "wanted its arguments too, as in BitFlips"),
    ("EachRead(BitFlips)", "column 10, BitFlips: wanted its arguments too"),
    *((f"BitFlips({text})", "column 10, .*: wanted numbers, strings, True, False, None, lists of them, and calls")
      for text in ("1 + 1", "10**10**10", "1j", "b''", "...", "f'{1}'", "{}", "{1}", "*[1]", "x := 1", "not 1", "~1",
                   "+1", "--1", "-True", "-'a'", "-BitFlips(0)", "[x for x in 'ab']", "1 if 1 else 2", "1 < 2", "a[0]",
                   "lambda: 1", "'a' 'b'.c")),
    ("BitFlips(**{'p': 1})", "unknown argument of BitFlips"),
    ("Compose([[BitFlips(0)]])", "column 10, \\[BitFlips\\(0\\)\\]: a list must not stand in another"),
    ("0.1", "column 1, 0.1: wanted a fault, such as BitFlips"), ("'BitFlips(0)'", "wanted a fault"),
    ("[BitFlips(0)]", "wanted a fault"), ("ArrayMapping(2, 2)", "wanted a fault"), ("None", "wanted a fault"),
    ("BitFlips(0), BitFlips(1)", "wanted a fault"),
    # no Python
    ("", "must be a text such as"), (" \n ", "must be a text such as"), ("BitFlips(0", "column 9: .* was never closed"),
    ("BitFlips(0))", "column 12: .*unmatched"), ("BitFlips 0", "fault.*: wanted a call"), ("x = 1", "wanted a call"),
    ("import os", "wanted a call"), ("BitFlips('a)", "wanted a call"), ("BitFlips(0); 1", "wanted a call"),
    ("BitFlips(\0)", "wanted a call"), ("BitFlips('\ud800')", "characters that no text has"),
    ("BitFlips(0_)", "wanted a call"),
    # too much
    (DEEP, "column 46, BitFlips\\(0\\): calls must be at most 5 deep"),
    ("BitFlips(" + " " * 1000 + "0)", "at most 1,000 characters, got 1,011"),
    ("BitFlips(" + "9" * 10_000 + ")", "at most 1,000 characters"),
    ("BitFlips(" + "9" * 900 + ")", "column 10, 9999.*: the number is too large"),
    ("BitFlips(9223372036854775808)", "the number is too large"), ("BitFlips(1e400)", "the number is too large"),
    ("BitFlips(-1e400)", "the number is too large"), ("BitFlips(0x" + "f" * 900 + ")", "the number is too large"),
    *((letter * 999, "fault") for letter in "([{-~'\"\\.,#x1é_@"),
    ("BitFlips(" + "[" * 180 + "]" * 180 + ")", "a list must not stand in another"),
    ("BitFlips(" + "-" * 900 + "1)", "fault"), ("not " * 240 + "1", "fault"), ("1" + "+1" * 490, "wanted numbers"),
    ("a" + ".a" * 490, "wanted numbers"), ("a" + "()" * 490, "wanted the name"), ("lambda:" * 140 + "1", "fault"),
    ("(" * 150 + "BitFlips(2)" + ")" * 150, "p must be a probability"),
    # what a constructor refuses, in its words, where it stands
    ("Protected(BitFlips(2))", "column 11, BitFlips\\(2\\): p must be a probability in \\[0, 1\\], got 2.0"),
    ("BitFlips(-0.1)", "p must be a probability in \\[0, 1\\], got -0.1"),
    ("BitFlips('0.1')", "p must be a probability .* of type str"), ("BitFlips(True)", "p must be a probability"),
    ("Protected(BitFlips(0), 'secded(7,4)')", "column 1, Protected\\(.*: code must be one of secded"),
    ("Compose(BitFlips(0))", "faults must be a sequence"), ("Compose([])", "at least one fault"),
    ("StuckAt(0.6, 0.5)", "p_zero \\+ p_one must be at most 1"),
    ("StuckLine(ArrayMapping(4, 4), 'col', 0, 0, 0)", "axis must be one of 'row', 'column'"),
    ("StuckLines(ArrayMapping(0, 4), 'row', 0, 0)", "column 12, ArrayMapping\\(0, 4\\): rows must be in"),
    ("Protected(ArrayMapping(1, 2))", "fault must be a fault such as"),
    ("EachRead('BitFlips(0)')", "fault must be a fault such as"), ("BitFlips(0, layers=3)", "column 1, BitFlips"),
    ("BitFlips(0, layers='all')", "layers must be a sequence of numbers of layers"),
    ("Compose([BitFlips(0)], '" + "x" * 800 + "')", "axis must be an integer"),
    ("ByArray(BitFlips(0), ArrayMapping(1, 1), 3)", "column 1, ByArray"),
]


@pytest.mark.parametrize("text, message", BAD, ids=range(len(BAD)))
def test_bad_text_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_fault(text)
    assert str(caught.value).startswith("fault") and "\n" not in str(caught.value) and len(str(caught.value)) < 520


def test_what_is_no_text_is_a_type_error():
    for value in (None, 3, b"BitFlips(0)", BitFlips(0)):
        with pytest.raises(TypeError, match="fault must be a text"):
            parse_fault(value)


def one_line_or_a_fault(text):
    try:
        found = parse_fault(text)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert parse_fault(repr(found)) == found


@given(st.text(max_size=1100))
def test_any_text_is_a_fault_or_one_error(text):
    one_line_or_a_fault(text)


PARTS = ["BitFlips", "StuckAt", "Protected", "Compose", "ArrayMapping", "StuckLine", "(", ")", "[", "]", ",", "=", "p",
         "0", "1", "0.5", "'row'", "'secded(8,4)'", "None", "True", "layers", "-", "*", ".", "lambda", ":", "1e999",
         "if", "else", " ", "\n", "é", "#", "'", "f'{", "}'", "\\"]


@given(st.lists(st.sampled_from(PARTS), max_size=60))
def test_any_sequence_of_words_is_a_fault_or_one_error(parts):
    one_line_or_a_fault("".join(parts))


@given(st.sampled_from(FAULTS), st.data())
def test_a_fault_with_a_letter_changed_is_a_fault_or_one_error(fault, data):
    text = repr(fault)
    at = data.draw(st.integers(0, len(text) - 1))
    one_line_or_a_fault(text[:at] + data.draw(st.sampled_from(["", *"()[],='x09.-é\n\\"])) + text[at + 1:])
