"""Ten CSVs of one set of measurements, as ten instruments and people would write them: one card, one accuracy.

Units, separators, decimal commas, lines before the header, wide tables, words for the states, energies a row, a SET and
RESET, or a pulse. Only what no name tells is said, as columns=. The measurements are synthetic.

    python examples/instrument_csvs.py
    python examples/instrument_csvs.py --network mine.h5 --dataset fashion
"""

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np

import bnnsim


def tables(lrs: list[float], hrs: list[float]) -> dict[str, tuple[str, dict | None]]:
    """Text and columns= of each CSV; 2 pJ to SET, 6 pJ to RESET."""
    rows = [*(("LRS", ohm) for ohm in lrs), *(("HRS", ohm) for ohm in hrs)]
    pairs = list(zip(lrs, hrs))
    joule, pulses = {"LRS": 2, "HRS": 6}, {"LRS": 1, "HRS": 3}

    def lines(head: str, one: str, comma: bool = False, words: tuple[str, str] = ("LRS", "HRS")) -> str:
        body = "\n".join(one.format(s=words[s == "HRS"], r=ohm, k=ohm / 1e3, g=1e6 / ohm, lg=math.log10(ohm),
                                    pj=joule[s], j=joule[s] * 1e-12, n=pulses[s]) for s, ohm in rows)
        return f"{head}\n{body.replace('.', ',') if comma else body}\n"

    def wide(head: str, one: str, comma: bool = False) -> str:
        body = "\n".join(one.format(a=a, b=b, ka=a / 1e3, kb=b / 1e3) for a, b in pairs)
        return f"{head}\n{body.replace('.', ',') if comma else body}\n"

    return {
        "plain": (lines("state,resistance_ohm,energy_joule", "{s},{r!r},{j!r}"), None),
        "kiloohm": (lines("State;R (kOhm);E (pJ)", "{s};{k:.4f};{pj:.1f}", True, ("on", "off")), None),
        "siemens": (lines("state\tG [uS]\tenergy_pJ", "{s}\t{g!r}\t{pj}", False, ("SET", "RESET")), None),
        "logarithm": (lines("# synthetic\nstate,log10(R/ohm),E [fJ]", "{s},{lg!r},{pj}e3", False, ("1", "0")), None),
        "preamble": ("Analyser 4200;v3\nOperator;N, N\n\n" + lines("state;R;E;\n;Mohm;nJ;", "{s};{r}e-6;{pj}e-3;"),
                     None),
        "wide": (wide("R_LRS (ohm),R_HRS (ohm),energy_set_pJ,energy_reset_pJ", "{a},{b},2,6"), None),
        "wide, commas": (wide("Ron_kohm;Roff_kohm;E_set (pJ);E_reset (pJ)", "{ka:.4f};{kb:.4f};2;6", True), None),
        "pulses": (lines("state,resistance_ohm,energy_pulse_pJ,pulses", "{s},{r!r},2,{n}"), None),
        "own names": (lines("Zustand,Widerstand,Energie,Probe", "{s},{k:.4f},{pj},7", False, ("tief", "hoch")),
                      {"Zustand": {"tief": "LRS", "hoch": "HRS"}, "Widerstand": "resistance_kohm",
                       "Energie": "energy_pJ", "Probe": None}),
        "crowded": (lines("No,time stamp,state,R (ohm),U,I,E (J)", "1,12:00,{s},{r!r},0.1,1e-6,{j!r}"), {"*": None})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--network", metavar="FILE", help="default: the flip-trained FCNN that comes with bnnsim")
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--images", type=int, default=200, help="only the first IMAGES test images")
    options = parser.parse_args()
    network = bnnsim.PackedNetwork.load(options.network or bnnsim.datasets.data_file("fashion_fcnn_flip.h5"))
    test = bnnsim.load_dataset(options.dataset)[1][:options.images]
    rng, found = np.random.default_rng(0), {}
    lrs, hrs = (np.round(median * np.exp(0.5 * rng.standard_normal(100)), 1).tolist() for median in (5e3, 3e4))

    for name, (text, columns) in tables(lrs, hrs).items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{name}.csv")
            path.write_text(text, encoding="utf-8")
            swept = bnnsim.sweep_measurements(path, network, test, columns=columns, trials=3, rng=0, progress=False)
        row, (card,) = swept.rows[0], swept.card.rows
        found[name] = {**row, **{key: value for key, value in card.items() if key not in ("source", "note")}}
        print(f"{name + ':':14} LRS {card['lrs_median_ohm']:.0f} ohm, HRS {card['hrs_median_ohm']:.0f} ohm, "
              f"BER {row['ber']:.3g}, {100 * row['mean']:.2f} %, {1e6 * (row['energy_joule'] or 0):.3g} uJ to program")
    different = [name for name, each in found.items() if each != found["plain"]]
    if different:
        raise RuntimeError(f"not the same card and accuracy: {', '.join(different)}")
    print(f"{len(found)} tables, one card, one accuracy, one energy")


if __name__ == "__main__":
    main()
