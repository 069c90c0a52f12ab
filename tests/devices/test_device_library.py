"""The cards of published technologies: each number has a source, a mark and a place; each card sweeps."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest

import bnnsim
from bnnsim.datasets.shipped import data_file
from bnnsim.devices import AXES, DeviceCard, LogNormal, library, load_card
from bnnsim.devices.card_schema import PLACE, SAMPLES, VALUES
from bnnsim.devices.cards import SHIPPED
from bnnsim.devices.marks import MARKS

DATA = Path(data_file("README.rst")).parent
PUBLISHED = tuple(name for name in SHIPPED if name != "teaching" and "synthetic" not in name)
MADE = tuple(name for name in PUBLISHED if name != "hfo2_2t2r")
SCRIPT = runpy.run_path(str(DATA / "make_library_cards.py"))
HEATED = SCRIPT["HEATED"]
every = pytest.mark.parametrize("name", PUBLISHED)


@pytest.fixture(scope="module")
def fcnn():
    return bnnsim.PackedNetwork.load(data_file("fashion_fcnn.h5"))


@pytest.fixture(scope="module")
def test():
    return bnnsim.load_embedded()[1][:400]


# ---------------------------------------------------------------- what is in the box

def test_the_library_is_the_folder():
    assert set(library()) == set(SHIPPED) == {path.stem for path in (DATA / "devices").glob("*.json")}
    assert all(isinstance(card, DeviceCard) and card.name == name for name, card in library().items())


def test_a_folder_of_a_card_s_name_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fefet").mkdir()
    assert load_card("fefet").name == "fefet"


def test_it_stays_small():
    """What a wheel has of it."""
    assert sum(path.stat().st_size for path in (DATA / "devices").iterdir()) < 100_000


@every
def test_each_number_has_a_source_and_a_mark(name):
    for row in load_card(name).rows:
        assert row["provenance"] in MARKS and row["provenance"] != "synthetic", "nothing is invented"
        assert len(row["source"]) > 20
        if row["provenance"] == "recalled":
            assert "not verified" in row["source"]
        if row["provenance"] in ("measured", "read"):
            assert any(word in row["source"] for word in ("10.", "arXiv", "IMW")), "where it can be looked up"
        assert set(row) & {*PLACE, *VALUES, *SAMPLES}, "a row says something"


@pytest.mark.parametrize("name", MADE)
def test_each_card_says_what_it_lacks(name):
    assert "Lacks: " in load_card(name).description


@every
def test_each_card_has_its_line_on_the_page_and_in_the_help(name):
    import bnnsim.device_sweep as device_sweep

    page = (Path(__file__).parents[2] / "docs" / "frontier" / "device_library.rst").read_text(encoding="utf-8")
    assert f"``{name}``" in page
    assert name in device_sweep.arguments().format_help().replace("\n", "")


@every
def test_each_card_sweeps(name, fcnn, test):
    """Along its first axis that is no condition, under its last condition; over conditions where it has none."""
    card = load_card(name)
    axis = next((axis for axis in card.axes() if axis != "condition"), "condition")
    at = {"condition": card.conditions[-1]} if axis != "condition" and len(card.conditions) > 1 else {}
    found = bnnsim.sweep_card(card, fcnn, test, axis, at=at, trials=1, rng=0, progress=False)
    assert all(0 < row["mean"] <= 1 and 0 <= row["ber"] <= 0.5 and row["rate_mark"] in MARKS for row in found.rows)
    assert not {"synthetic"} & found.marks()


# ---------------------------------------------------------------- numbers against what they were made from

def test_the_dram_tables_are_medians_over_modules_of_medians_over_rounds(tmp_path):
    """On a file of the same form: two modules a vendor, one measured in two rounds; only one of them was heated."""
    lines = [",Bank0,DIMMBER,Label,Pattern,Temperature,VendorMask,tRAS,tRCD,tRP,Model"]
    for vendor, rcd in SCRIPT["DRAM"]:
        for pattern, factor in (("0x0", 1.0), ("0xff", 0.5)):
            for label, rates in (("a", (0.02, 0.04)), ("b", (0.05,))):
                for rate, celsius in ((rate, celsius) for rate in rates for celsius in (20, 26, 35, 50, 70)):
                    place = f"{vendor}{label},{pattern},{celsius},{vendor},35.0,{rcd}"
                    lines += [f"1,0,{rate * factor},{place},12.5,M"] if label == "a" or celsius == 20 else []
                    lines.append(f"2,0,0.4,{place},5.0,M")                        # another timing was changed
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    cold, heated = SCRIPT["dram_tables"](str(path))
    assert set(cold) == set(SCRIPT["DRAM"]) and set(cold.values()) == {(0.04, 0.02)}
    assert {key: set(each) for key, each in heated.items()} == {key: set(each) for key, each in HEATED.items()}
    assert {rates for each in heated.values() for rates in each.values()} == {(0.03, 0.015)}


def test_heated_modules_grow_worse():
    """From 26 C on; ones of vendor B more than threefold, which makes its errors more even."""
    card = load_card("ddr3_temperature")
    for condition in card.conditions:
        rates = [card.error_rates(condition=condition, temperature_kelvin=t + 273.15) for t in (26, 35, 50, 70)]
        assert all((np.diff([each[i] for each in rates]) > 0).all() for i in (0, 1))
    cold, hot = (card.error_rates(condition="vendor B, 7.5 ns", temperature_kelvin=t + 273.15) for t in (20, 70))
    assert hot.p10 > 3 * cold.p10 and hot.p01 / hot.p10 < cold.p01 / cold.p10 / 2


def test_stored_zeros_and_ones_fail_differently_in_dram():
    """The vendors' arrays are not alike: which bit is the weaker turns round, as it would where both were mixed up."""
    card = load_card("ddr3_trcd")
    rates = {vendor: card.error_rates(condition=f"vendor {vendor}", timing_second=5e-9) for vendor in "ABC"}
    assert rates["A"].p01 > rates["A"].p10 and rates["C"].p01 > 10 * rates["C"].p10 and rates["B"].p01 < rates["B"].p10
    for vendor in "ABC":
        assert card.error_rates(condition=f"vendor {vendor}", timing_second=1e-8).mean < 1e-9
        assert card.rate_mark(condition=f"vendor {vendor}", timing_second=5e-9) == "measured"
        assert card.rate_mark(condition=f"vendor {vendor}", timing_second=1e-8) == "reconstructed"


def test_block_ram_has_the_counts_of_its_authors():
    card = load_card("fpga_bram")
    for board, (bits, counts) in SCRIPT["BRAM"].items():
        for volt, count in counts.items():
            p01, p10 = card.error_rates(condition=board, voltage_volt=volt)
            assert p01 == 0 and round(p10 * bits) == pytest.approx(count, rel=5e-4, abs=0.5)
    abstract = 0.06e-2                                            # "exponentially increases to 0.06 %", MICRO'18
    assert card.error_rates(condition="VC707", voltage_volt=0.54).p10 == pytest.approx(abstract, rel=0.2)
    volts = sorted(SCRIPT["BRAM"]["VC707"][1])
    steps = np.diff(np.log([card.value("p10", "VC707", voltage_volt=volt) for volt in volts]))
    assert (steps < -0.9).all(), "exponentially"


def test_phase_change_states_are_the_model_drawn_device_by_device():
    """A naive twin: normal conductances, a normal exponent each, and the power law, as the authors write it."""
    rng, card = np.random.default_rng(1), load_card("pcm_drift")
    for siemens, which, condition in ((5.0, "lrs", "5 against 1 uS"), (1.0, "hrs", "5 against 1 uS")):
        g = siemens / 25
        sigma = -1.1731 * g ** 2 + 1.9650 * g + 0.2635
        mu = min(max(-0.0155 * math.log(g) + 0.0244, 0.049), 0.1)
        spread = min(max(-0.0125 * math.log(g) - 0.0059, 0.008), 0.045)
        programmed = rng.normal(siemens, sigma, 200_000)
        programmed = programmed[programmed > 0]
        for second in (20.0, 3600.0, 86_400.0):
            drifted = programmed * (second / 20) ** -rng.normal(mu, spread, len(programmed))
            state = getattr(card.cell(condition=condition, time_second=second), which)
            assert isinstance(state, LogNormal)
            mean = 1e6 / state.median_ohm * math.exp(state.sigma_ln ** 2 / 2)
            assert mean == pytest.approx(drifted.mean(), rel=0.02)
            assert mean * math.sqrt(math.expm1(state.sigma_ln ** 2)) == pytest.approx(drifted.std(), rel=0.05)


def test_relaxed_conductances_are_the_polynomials():
    """Spread at the greatest level is the sum of the coefficients; it grows within the first day, hardly after."""
    card = load_card("rram_relaxation")
    for second, powers in SCRIPT["RELAXED"].items():
        cell = card.cell(condition="40 against 6 uS", time_second=second)
        assert cell.lrs.sigma_siemens == pytest.approx(1e-6 * sum(powers), rel=1e-3) and cell.lrs.mean_siemens == 4e-5
    second, day, two = (card.error_rates(condition="20 against 6 uS", time_second=day * 86_400.0 or 1.0).mean
                        for day in (0, 1, 2))
    assert day > 1000 * second and two == pytest.approx(day, rel=0.1)


@pytest.mark.parametrize(("name", "mark"), [("fpga_bram", "reconstructed"), ("rram_unverified", "reconstructed"),
                                            ("pcm_drift", "reconstructed"), ("stt_mram", "read")])
def test_rates_carry_the_mark_of_their_rows(name, mark):
    card = load_card(name)
    place = {AXES[axis].key: limits[0] for axis, limits in card.axes().items() if axis in ("voltage", "timing", "time")}
    assert card.rate_mark(condition=card.conditions[0], **place) == mark


# ---------------------------------------------------------------- a wrong model fails

def swapped(card):
    """The card with p01 and p10 exchanged in every row."""
    other = {"p01": "p10", "p10": "p01"}
    rows = [{other.get(key, key): value for key, value in row.items()} for row in card.rows]
    return DeviceCard(card.name, card.memory, card.description, card.licence, tuple(rows))


def alternated(network):
    """The network with every other stored bit inverted; twice gives it back."""
    words = {}
    for i, layer in enumerate(network.layers):
        mask = np.full(layer.words.shape, 0x5555555555555555, np.uint64)
        mask[..., -1] &= np.uint64((1 << (layer.n_in - 1) % 64 + 1) - 1)          # padding is no memory
        words[i] = layer.words ^ mask
    return network.with_words(words)


def lost(network, test, fault, n_chips=6):
    """Points lost on each of a few chips."""
    clean = network.accuracy(test)
    return 100 * np.array([clean - fault.apply(network, rng=0, trial=t).accuracy(test) for t in range(n_chips)])


def test_asymmetric_rates_are_not_symmetric(fcnn, test):
    """What makes a FeFET: rates that are exchanged turn other bits round, and give other accuracies."""
    card = load_card("fefet")
    rates = card.error_rates(condition="85 C")
    assert rates.p01 != rates.p10 and card.rate_mark(condition="85 C") == "recalled"
    assert card.rate_mark(condition="AND array") == "read"
    right, wrong = (each.fault(condition="85 C") for each in (card, swapped(card)))
    ones = sum(int(np.bitwise_count(layer.words).sum()) for layer in fcnn.layers)
    for fault, p01, p10 in ((right, rates.p01, rates.p10), (wrong, rates.p10, rates.p01)):
        pairs = [(before.words, after.words) for before, after in zip(fcnn.layers, fault.apply(fcnn, rng=0).layers)]
        fell = sum(int(np.bitwise_count(before & ~after).sum()) for before, after in pairs)
        rose = sum(int(np.bitwise_count(after & ~before).sum()) for before, after in pairs)
        assert fell == pytest.approx(p10 * ones, rel=0.05)
        assert rose == pytest.approx(p01 * (fcnn.n_bits - ones), rel=0.05)
    assert (lost(fcnn, test, right) != lost(fcnn, test, wrong)).any()


def test_which_bits_fail_weighs_more_than_how_many(fcnn, test):
    """Vendor B at 7.5 ns against as many even errors, exchanged rates, and every other bit stored inverted.

    Zeros that turn into ones move all sums up, by (p01 - p10) times the sum of the inputs, of which none is negative.
    """
    place = {"condition": "vendor B", "timing_second": 7.5e-9}
    card = load_card("ddr3_trcd")
    rates = card.error_rates(**place)
    asymmetric, exchanged = (lost(fcnn, test, each.fault(**place)).mean() for each in (card, swapped(card)))
    even = lost(fcnn, test, bnnsim.faults.BitFlips(rates.mean)).mean()
    assert asymmetric > 5 > 2 > even and exchanged > 2.5 and abs(asymmetric - exchanged) > 1
    assert alternated(alternated(fcnn)).checksum == fcnn.checksum != alternated(fcnn).checksum
    clean, stored = fcnn.accuracy(test), alternated(fcnn)
    read = [alternated(card.fault(**place).apply(stored, rng=0, trial=t)) for t in range(6)]
    assert 100 * np.mean([clean - chip.accuracy(test) for chip in read]) < even + 1


def test_a_sum_moves_by_the_difference_of_the_rates():
    """E h' = (1 - p01 - p10) h + (p01 - p10) sum x, over all patterns of errors of a few weights."""
    rng = np.random.default_rng(3)
    w, x, p01, p10 = rng.choice([-1, 1], 8), rng.integers(0, 9, 8), 0.2, 0.05
    p, mean = np.where(w > 0, p10, p01), 0.0
    for pattern in np.ndindex(*(2,) * 8):
        wrong = np.array(pattern, bool)
        mean += np.prod(np.where(wrong, p, 1 - p)) * (np.where(wrong, -w, w) @ x)
    assert mean == pytest.approx((1 - p01 - p10) * (w @ x) + (p01 - p10) * x.sum())
