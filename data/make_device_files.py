"""Make the synthetic device cards and the sample measurements in devices/, from the formulas below.

    python data/make_device_files.py [TARGET_FOLDER]

Nothing in these files was measured: they teach, and test. Cards of real technologies are made by make_library_cards.py,
but for hfo2_2t2r.json, which is written by hand. With no folder given, the table of checksums in README.rst is renewed
too.
"""

import csv
import hashlib
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from bnnsim.devices import DeviceCard

FOLDER = Path(__file__).resolve().parent
START, END = ".. devices: start\n", ".. devices: end\n"
INVENTED = {"provenance": "synthetic", "source": "invented for bnnsim, data/make_device_files.py"}
LICENCE = "MIT, as bnnsim"
SEED = 20180205


def rounded(value: float) -> float:
    """Four digits, as a table has them."""
    return float(f"{value:.4g}")


def teaching() -> DeviceCard:
    """Three programming conditions of an RRAM that never existed: a harder pulse opens the window and wears it down."""
    conditions = {                  # ln(HRS / LRS) when fresh; sigma of HRS; SET, RESET joule; RESET volt; endurance
        "strong": (np.log(60.0), 0.55, 60e-12, 75e-12, 2.4, 1e6),
        "medium": (np.log(25.0), 0.65, 12e-12, 15e-12, 2.0, 1e8),
        "weak": (np.log(8.0), 0.75, 3e-12, 3.5e-12, 1.6, 1e10)}
    rows = [{"lrs_drift_per_decade": 0.01, "hrs_drift_per_decade": -0.06, "drift_time0_second": 1.0,
             "drift_temperature0_kelvin": 300.0, "drift_time_max_second": 1e12, "activation_electronvolt": 0.8,
             "drift_temperature_min_kelvin": 273.0, "drift_temperature_max_kelvin": 400.0, "energy_read_joule": 2e-14,
             "note": "holds for all conditions", **INVENTED}]
    for condition, (window, sigma, e_set, e_reset, volt, endurance) in conditions.items():
        rows.append({"condition": condition, "v_set_volt": 1.8, "v_reset_volt": volt, "pulse_width_second": 1e-6,
                     "i_compliance_ampere": 1e-4, "energy_set_joule": e_set, "energy_reset_joule": e_reset,
                     "energy_relative": rounded((e_set + e_reset) / 135e-12), "endurance_cycles": endurance,
                     "weibull_scale_cycles": 30 * endurance, "weibull_shape": 1.5, "stuck_share_lrs": 0.7, **INVENTED})
        for cycles in 10.0 ** np.arange(0, np.log10(endurance) + 1, 2):
            worn = np.log10(cycles) / np.log10(endurance)
            rows.append({"condition": condition, "cycles": cycles, "lrs_median_ohm": rounded(5e3 * (1 - 0.1 * worn)),
                         "lrs_sigma_ln": rounded(0.25 + 0.1 * worn),
                         "hrs_median_ohm": rounded(5e3 * np.exp(window * (1 - 0.3 * worn**2))),
                         "hrs_sigma_ln": rounded(sigma + 0.25 * worn**2), **INVENTED})
    return DeviceCard("teaching", "RRAM", "A synthetic RRAM for learning: log-normal states under three programming "
                      "conditions, over cycles, with drift over time and temperature and dying devices. No such device "
                      "was measured.", LICENCE, tuple(rows))


def sram() -> DeviceCard:
    """An SRAM whose supply is lowered: cells fail by a normal margin; energy falls with the square of the voltage."""
    rows = []
    for volt in np.round(np.arange(0.50, 0.851, 0.05), 2):
        margin = (volt - 0.42) / 0.07
        rows.append({"voltage_volt": float(volt), "cell": "6T", "p01": rounded(ndtr(-margin)),
                     "p10": rounded(ndtr(-margin - 0.15)), "energy_write_joule": rounded(6e-14 * volt**2),
                     "energy_read_joule": rounded(4e-14 * volt**2), **INVENTED})
    return DeviceCard("sram_synthetic", "SRAM", "A synthetic 6T SRAM with a lowered supply voltage: error rates and "
                      "energies over voltage. No such memory was measured.", LICENCE, tuple(rows))


def dram() -> DeviceCard:
    """A DRAM read before its bit lines have settled: the shorter the activation, the more errors."""
    rows = []
    for second in np.round(np.arange(4e-9, 13.1e-9, 1e-9), 11):
        p = 0.3 * np.exp(-(second - 3e-9) / 0.7e-9)
        rows.append({"timing_second": float(second), "cell": "1T1C", "p01": rounded(p / 2), "p10": rounded(p),
                     "energy_write_joule": 2e-12, "energy_read_joule": rounded(1e-12 + 1e-4 * second), **INVENTED})
    return DeviceCard("dram_synthetic", "DRAM", "A synthetic DRAM with a shortened activation time (tRCD): error rates "
                      "and energies over time. No such memory was measured.", LICENCE, tuple(rows))


def measurements(path: Path) -> None:
    """Log-normal samples of LRS and HRS under two conditions, drawn from a fixed seed."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["condition", "state", "resistance_ohm"])
        for condition, hrs_ohm, sigma in (("strong", 1e5, 0.55), ("weak", 3e4, 0.75)):
            for state, median, spread in (("LRS", 5e3, 0.3), ("HRS", hrs_ohm, sigma)):
                for value in median * np.exp(spread * rng.standard_normal(400)):
                    table.writerow([condition, state, f"{value:.5g}"])


def checksums(folder: Path) -> str:
    """The table of README.rst, of all files of a folder."""
    paths = sorted(folder.iterdir())
    width, rule = max(len(path.name) for path in paths) + 4, "=" * 64
    lines = [f"{'=' * width}  {rule}", f"{'file'.ljust(width)}  SHA-256 of the file", f"{'=' * width}  {rule}"]
    lines += [f"``{path.name}``".ljust(width) + f"  {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in paths]
    return "\n".join([START, *lines, lines[0], "", END])


def main(folder: Path) -> None:
    """Write the files."""
    for make in (teaching, sram, dram):
        card = make()
        card.save(folder / f"{card.name}.json")
    measurements(folder / "sample_measurements.csv")


def renew_readme() -> None:
    """Write the table of checksums into README.rst."""
    before, _, rest = (FOLDER / "README.rst").read_text(encoding="utf-8").partition(START)
    text = before + checksums(FOLDER / "devices") + rest.partition(END)[2]
    (FOLDER / "README.rst").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER / "devices")
    if len(sys.argv) == 1:
        renew_readme()
