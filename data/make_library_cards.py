"""Make the device cards of published technologies in devices/, from the numbers below: each with its source and mark.

    python data/make_library_cards.py [TARGET_FOLDER]
    python data/make_library_cards.py --dram data_latvar_sigmetrics2016.csv     # DRAM, from its authors' measurements

Nothing here was invented. A provenance of "measured" is a count or a median of measurements that their authors
published; "read" stands in a publication, or in the authors' code and tables; "reconstructed" was computed from such
numbers, by the reasoning in its note; "recalled" is from memory. With no folder given, the table of checksums in
README.rst is renewed too.
"""

import csv
import math
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from bnnsim.devices import DeviceCard

LICENCE = "MIT, as bnnsim; the numbers are facts of the works that each row names"
DAY = 86_400.0

# ---------------------------------------------------------------- DRAM: activated for too short a time

CHANG = ("K. K. Chang et al., Understanding latency variation in modern DRAM chips, SIGMETRICS 2016, 10.1145/2896377."
         "2901453: data_latvar_sigmetrics2016.csv of github.com/CMU-SAFARI/DRAM-Latency-Variation-Study at 1eabc9b "
         "(BSD 3-clause), by data/make_library_cards.py --dram")
DRAM_SEEN = 1 / 2 ** 33                             # the least rate in the file that is not 0: one bit
# vendor and ns: median over modules of p01 (0x00 stored), p10 (0xff stored); None: not one error in the median module
DRAM: dict[tuple[str, float], tuple[float | None, float | None]] = {
    ("A", 5.0): (0.0383, 0.02187), ("A", 7.5): (0.0004598, 0.0001967), ("A", 10.0): (None, None),
    ("B", 5.0): (0.1257, 0.2292), ("B", 7.5): (0.03945, 0.009219), ("B", 10.0): (None, None),
    ("C", 5.0): (0.2364, 0.0133), ("C", 7.5): (3.063e-06, None), ("C", 10.0): (None, None)}
# the same of the modules that were heated, two of vendor A and one of B, at each temperature in C
HEATED: dict[tuple[str, float], dict[int, tuple[float | None, float | None]]] = {
    ("A", 5.0): {20: (0.08053, 0.02925), 26: (0.07768, 0.02806), 35: (0.08029, 0.02886), 50: (0.08505, 0.03022),
                 70: (0.09416, 0.03319)},
    ("B", 7.5): {20: (0.05763, 0.009219), 26: (0.06285, 0.01153), 35: (0.06877, 0.01477), 50: (0.07466, 0.02032),
                 70: (0.08113, 0.032)}}
# ---------------------------------------------------------------- SRAM: block RAM of FPGAs under low supply voltage

SALAMI = ("B. Salami et al., MICRO 2018, 10.1109/MICRO.2018.00064: Information-*.ods of github.com/behzadsalami/"
          "FPGA-BRAMs-Undervoltig-Study at 56b34b8")
# bits (blocks of 16 kbit), and wrong bits at each volt; those of the KC705 were counted in the raw contents, too
BRAM = {"VC707": (2060 * 16_384, {0.54: 23706, 0.55: 7520, 0.56: 2732, 0.57: 772, 0.58: 146, 0.59: 24, 0.60: 4}),
        "KC705": (890 * 16_384, {0.53: 2274, 0.54: 690, 0.55: 252, 0.56: 62, 0.57: 26, 0.58: 8, 0.59: 2})}
# ---------------------------------------------------------------- RRAM and PCM: resistances and conductances

HENNEN = ("20,000 cells, 12th cycle, drawn from Synaptogen (T. Hennen et al., TED 2024, 10.1109/TED.2024.3427616; "
          "MIT), default_params.json of github.com/thennen/Synaptogen at 5d83d44; seed 20180205")
VCM = {"lrs_median_ohm": 4534.0, "lrs_sigma_ln": 0.05409, "hrs_median_ohm": 75650.0, "hrs_sigma_ln": 0.4619}
AIHWKIT = "of github.com/IBM/aihwkit at 4545f11 (MIT), src/aihwkit/inference/noise/"
WAN = f"W. Wan et al., Nature 2022, 10.1038/s41586-022-04992-8, by the polynomials {AIHWKIT}reram.py"
# second: coefficients of the spread in uS, of powers 0 to 4 of conductance over 40 uS
RELAXED = {1.0: (0.348, 16.030, -43.853, 45.393, -16.815), DAY: (0.701, 22.086, -50.773, 47.095, -16.458),
           2 * DAY: (0.782, 20.274, -43.507, 37.062, -11.934)}
JOSHI = (f"V. Joshi et al., Nat. Commun. 11:2473 (2020), and S. R. Nandakumar et al., ICECS 2019, by the model "
         f"{AIHWKIT}pcm.py")
# ---------------------------------------------------------------- one row a publication

SURVEY = ("as tabulated by L. Pentecost et al., NVMExplorer, arXiv:2109.01188: output/NVM_data of github.com/"
          "lpentecost/NVMExplorer at 16eb289 (MIT); the publication itself was not read")
STT: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "28 nm, energy known": ("read", {"ber": 9e-6, "energy_write_joule": 4.5e-12, "energy_read_joule": 0.7e-12,
                                     "pulse_width_second": 20e-9},
                            f"ISSCC 2018, 10.1109/ISSCC.2018.8310393, {SURVEY}", "1 Mb; energies a bit."),
    "22 nm, embedded": ("read", {"ber": 5e-7, "pulse_width_second": 80e-9, "endurance_cycles": 1e6},
                        f"IEDM 2018, 10.1109/IEDM.2018.8614620, {SURVEY}", "7.2 Mb; 200 C for ten years."),
    "22 nm, automotive": ("read", {"ber": 1e-6, "pulse_width_second": 200e-9, "endurance_cycles": 1e6},
                          f"IEDM 2018, 10.1109/IEDM.2018.8614566, {SURVEY}", "40 Mb, without a code."),
    "55 nm, cache": ("read", {"ber": 1e-4, "pulse_width_second": 20e-9},
                     f"IEDM 2019, 10.1109/IEDM19573.2019.8993474, {SURVEY}", "16 Mb; kept for a second at 110 C."),
    "double spin, 250 ps": ("reconstructed", {"ber": 1e-6, "pulse_width_second": 250e-12, "endurance_cycles": 1e10},
                            "IBM, Reliable sub-nanosecond switching in magnetic tunnel junctions for MRAM "
                            "applications, abstract at research.ibm.com",
                            "Exponents are lost in the text that was read: a rate of '1 6' is taken for 1e-6, and no "
                            "wear after '110' cycles for 1e10."),
    "weak programming": ("read", {"ber": 1e-3}, "T. Hirtzlin et al., NANOARCH 2019, arXiv:1908.04085, abstract",
                         "The rate that the abstract calls harmless for binarized networks ('up to 0.1 %'); energy "
                         "savings 'can reach a factor two' at the level of the system, which is no energy of a bit.")}
MACROS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "40 nm": ("read", {"ber": 4.1e-8, "endurance_cycles": 1e3}, f"ISSCC 2018, 10.1109/ISSCC.2018.8310392, {SURVEY}",
              "11 Mb; under 1,000 cycles."),
    "22 nm, read in 5 ns": ("read", {"ber": 1e-5, "energy_read_joule": 1e-12, "pulse_width_second": 10e-6},
                            f"ISSCC 2019, 10.1109/ISSCC.2019.8662393, {SURVEY}",
                            "3.6 Mb; the rate is a target before a code corrects, not a measurement."),
    "22 nm, 10,000 cycles": ("read", {"ber": 4e-6, "endurance_cycles": 1e4},
                             f"VLSI 2019, 10.23919/VLSIT.2019.8776570, {SURVEY}",
                             "7.2 Mb; 'around 4e-6 at 10,000 cycles'; LRS 7 kohm, HRS 30 kohm.")}


def rounded(value: float) -> float:
    """Four digits, as a table has them."""
    return float(f"{value:.4g}")


def row(provenance: str, source: str, note: str = "", **values: Any) -> dict[str, Any]:
    """A row of a card."""
    return {**values, **({"note": note} if note else {}), "provenance": provenance, "source": source}


def dram_tables(path: str) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """The tables DRAM and HEATED, from the measurements of their authors, all other timings at their standard."""
    modules: dict[Any, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with open(path, newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["tRP"] == "12.5" and line["tRAS"] == "35.0":
                place = (line["VendorMask"], float(line["tRCD"]), int(line["Temperature"]), line["Pattern"])
                modules[place][line["Label"]].append(float(line["DIMMBER"]))

    def rates(vendor: str, nanosecond: float, celsius: int, heated: bool) -> tuple[float | None, ...]:
        both = [modules[vendor, nanosecond, celsius, pattern] for pattern in ("0x0", "0xff")]
        kept = [modules[vendor, nanosecond, 70, "0x0"]] * 2 if heated else both
        return tuple(rounded(statistics.median(statistics.median(each[label]) for label in labels)) or None
                     for each, labels in zip(both, kept))

    return ({key: rates(*key, 20, False) for key in DRAM},
            {key: {celsius: rates(*key, celsius, True) for celsius in (20, 26, 35, 50, 70)} for key in HEATED})


def dram() -> DeviceCard:
    """DDR3 modules of three vendors, activated for less than the 12.5 ns at which all of them are right."""
    rows = []
    for (vendor, nanosecond), rates in DRAM.items():
        for key, rate in zip(("p01", "p10"), rates):
            place = {"condition": f"vendor {vendor}", "timing_second": rounded(nanosecond * 1e-9)}
            rows.append(row("measured", CHANG, **place, **{key: rate}) if rate else row(
                "reconstructed", CHANG, "No wrong bit in the median module: an upper bound, one of 2^33 bits.", **place,
                **{key: rounded(DRAM_SEEN)}))
    return DeviceCard("ddr3_trcd", "DRAM", "DDR3 modules of three vendors whose rows are read before their activation "
                      "time tRCD is over: 30 modules at 20 C, medians over rounds and modules of stored zeros (p01) "
                      "and stored ones (p10). True and anti-cells are mixed. Lacks: energy; that errors cluster; that "
                      "modules of a vendor differ, at 7.5 ns by orders of magnitude.", LICENCE, tuple(rows))


def heated() -> DeviceCard:
    """The modules that were heated: rates over temperature, of zeros and of ones."""
    rows = [row("measured", CHANG, condition=f"vendor {vendor}, {nanosecond:g} ns", p01=p01, p10=p10,
                timing_second=rounded(nanosecond * 1e-9), temperature_kelvin=celsius + 273.15)
            for (vendor, nanosecond), each in HEATED.items() for celsius, (p01, p10) in each.items()]
    return DeviceCard("ddr3_temperature", "DRAM", "DDR3 modules, two of one vendor and one of another, read before "
                      "their activation time is over, at 20 to 70 C: medians over rounds and modules of stored zeros "
                      "(p01) and ones (p10). Lacks: energy; that errors cluster; modules of a third vendor, which were "
                      "heated, too, but are right or quite wrong at the times measured.", LICENCE, tuple(rows))


def bram() -> DeviceCard:
    """Block RAM whose supply is lowered from 1 V until the FPGA stops."""
    rows = []
    for board, (bits, counts) in BRAM.items():
        rows.append(row("reconstructed", SALAMI, "Ones only were stored, and the authors call what they saw 1-to-0 "
                        "flips: that zeros hold was not in the data.", condition=board, p01=0.0))
        rows += [row("measured", SALAMI, condition=board, voltage_volt=volt, p10=rounded(count / bits))
                 for volt, count in counts.items()]
        volt = round(max(counts) + 0.01, 2)
        rows.append(row("reconstructed", SALAMI, f"No fault from here to 1 V: a bound, one of {bits:,} bits.",
                        condition=board, voltage_volt=volt, p10=rounded(1 / bits)))
    return DeviceCard("fpga_bram", "SRAM", "Block RAM of two FPGAs of 28 nm below its supply of 1 V, at room "
                      "temperature: wrong bits counted over all blocks, down to where the FPGA stops. Lacks: energy "
                      "(the authors have 36.1 % less power of block RAM between the first fault and the stop); "
                      "that a weak cell is always the same, and that blocks differ.", LICENCE, tuple(rows))


def vcm() -> DeviceCard:
    """Filamentary RRAM, set and reset without verifying."""
    return DeviceCard("rram_unverified", "RRAM", "Filamentary RRAM, each device set and reset once without verifying: "
                      "log-normal fits to states drawn from its authors' generative model of measured arrays. Read at "
                      "0.2 V; spread from cell to cell and cycle to cycle together. Lacks: energy, time, cycles; a "
                      "quantile of the model in a thousand lies 4 % below the fit's.", LICENCE,
                      (row("reconstructed", HENNEN, **VCM),))


def relaxation() -> DeviceCard:
    """RRAM written with verification, whose conductance then relaxes."""
    rows = []
    for lrs in (40.0, 20.0, 12.0):
        for second, powers in RELAXED.items():
            values: dict[str, float] = {}
            for state, level in (("lrs", lrs), ("hrs", 6.0)):
                spread = sum(c * (level / 40) ** i for i, c in enumerate(powers))
                values[f"{state}_mean_siemens"] = rounded(level * 1e-6)
                values[f"{state}_sigma_siemens"] = rounded(spread * 1e-6)
            rows.append(row("reconstructed", WAN, condition=f"{lrs:g} against 6 uS", time_second=second, **values))
    return DeviceCard("rram_relaxation", "RRAM", "RRAM whose conductance was written with verification and relaxes "
                      "within a day: spread over time as aihwkit fitted it to published figures. The devices are "
                      "analog: which two levels hold a bit, here 6 uS and a higher one, is a choice of this card. "
                      "Lacks: energy, mean drift, more than two days.", LICENCE, tuple(rows))


def pcm() -> DeviceCard:
    """Phase-change memory, whose conductance drifts as a power of time with an exponent that varies."""
    def state(siemens_u: float, second: float) -> tuple[float, float]:
        g, ln_time = siemens_u / 25, math.log(second / 20)
        spread = (0.26348 + 1.9650 * g - 1.1731 * g * g) / siemens_u
        nu = min(max(-0.0155 * math.log(g) + 0.0244, 0.049), 0.1)
        nu_spread = min(max(-0.0125 * math.log(g) - 0.0059, 0.008), 0.045)
        narrow = math.log1p(spread ** 2)
        median = 1e6 / siemens_u * math.exp(narrow / 2 + nu * ln_time)
        return rounded(median), rounded(math.sqrt(narrow + (nu_spread * ln_time) ** 2))

    rows = []
    for lrs in (25.0, 5.0, 2.5):
        for second in (20.0, 3600.0, DAY):
            (low, low_ln), (high, high_ln) = state(lrs, second), state(1.0, second)
            rows.append(row("reconstructed", JOSHI, condition=f"{lrs:g} against 1 uS", time_second=second,
                            lrs_median_ohm=low, lrs_sigma_ln=low_ln, hrs_median_ohm=high, hrs_sigma_ln=high_ln))
    return DeviceCard("pcm_drift", "PCM", "A million phase-change devices: programming noise, and drift with a mean "
                      "and a spread of its exponent, from 20 s after programming on. Normal conductances times a "
                      "log-normal drift are given as the log-normal of the same mean and variance. Which two levels "
                      "hold a bit is a choice of this card: at 25 uS hardly one is ever wrong. Lacks: energy, "
                      "temperature, and read noise, in that model 30 % of an HRS of 1 uS (read_sigma of Cell2T2R takes "
                      "it).", LICENCE, tuple(rows))


def survey(name: str, memory: str, table: dict[str, tuple[str, dict[str, Any], str, str]], text: str) -> DeviceCard:
    """A card with one condition a publication."""
    rows = [row(mark, source, note, condition=condition, **values)
            for condition, (mark, values, source, note) in table.items()]
    return DeviceCard(name, memory, text, LICENCE, tuple(rows))


def fefet() -> DeviceCard:
    """Ferroelectric transistors: what could be read, and what is recalled."""
    return DeviceCard("fefet", "FeFET", "Ferroelectric transistors. Yayla et al. (TC 2022, 10.1109/TC.2021.3104736, "
                      "abstract) say that their error rates are asymmetric and depend on temperature; no number of "
                      "theirs could be read, and those at 85 C are recalled: which of the two is the higher hangs on "
                      "memory. Lacks: rates at other temperatures, energy.", LICENCE, (
                          row("read", "F. Mueller et al., IMW 2023, 10.1109/IMW56887.2023.10145940, abstract",
                              "Of arrays of multi-level cells, 28 nm.", condition="AND array", ber=0.04),
                          row("recalled", "recalled of M. Yayla et al., TC 2022; not verified",
                              "Modelled by the authors, not measured. Edit before you rely on it.",
                              condition="85 C", temperature_kelvin=358.15, p01=0.02198, p10=0.01098)))


def cards() -> list[DeviceCard]:
    """All of them."""
    macro = ("Error rates that publications report, a condition each, before a code corrects where they say so. Lacks: "
             "an axis between them; most move the accuracy of a binarized network by less than can be seen. ")
    return [dram(), heated(), bram(), vcm(), relaxation(), pcm(), fefet(),
            survey("stt_mram", "STT-MRAM", STT, macro + "The energy of a bit was found for one of them."),
            survey("rram_macros", "RRAM", MACROS, macro + "Programming energies are not in it.")]


def main(folder: Path) -> None:
    """Write the files."""
    for card in cards():
        card.save(folder / f"{card.name}.json")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--dram"]:
        found = dram_tables(sys.argv[2])
        print("\n".join(f"{key}: {rates}" for table in found for key, rates in table.items()))
        sys.exit(0 if found == (DRAM, HEATED) else "these are not the numbers of the tables DRAM and HEATED")
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent / "devices")
    if len(sys.argv) == 1:
        import make_device_files

        make_device_files.renew_readme()
