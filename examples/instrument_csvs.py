"""One set of measurements as eleven instruments and people would write it in CSVs: one card, one accuracy, one energy.

Units, separators, decimal commas, lines before the header, wide tables, a file a state, words for the states, blanks,
NaN, energies a row, a SET and RESET, or a pulse. Only what no name tells is said. The measurements are synthetic.

    python examples/instrument_csvs.py
    python examples/instrument_csvs.py --network mine.h5 --dataset fashion
"""

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np

import bnnsim
from bnnsim.commands.scripts import count, run


def tables(lrs: list[float], hrs: list[float]) -> dict[str, tuple[str | dict[str, str], dict | None]]:
    """Text, or those of each state, and columns= of each CSV; 2 pJ to SET, 6 pJ to RESET."""
    rows = [*(("LRS", ohm) for ohm in lrs), *(("HRS", ohm) for ohm in hrs)]
    joule, pulses = {"LRS": 2, "HRS": 6}, {"LRS": 1, "HRS": 3}

    def lines(head: str, one: str, comma: bool = False, words: tuple[str, str] = ("LRS", "HRS")) -> str:
        body = "".join(one.format(s=words[s == "HRS"], r=ohm, k=ohm / 1e3, g=1e6 / ohm, lg=math.log10(ohm), n=pulses[s],
                                  pj=joule[s], j=joule[s] * 1e-12) + "\n" for s, ohm in rows)
        return f"{head}\n{body.replace('.', ',') if comma else body}"

    plain = lines("state,resistance_ohm,energy_joule", "{s},{r!r},{j!r}")
    of_each = {each: "R (ohm);E (pJ)\n" + "".join(f"{r};{joule[s]}\n" for s, r in rows if s == each) for each in joule}
    wide = "".join(f"{a / 1e3:.4f};{b / 1e3:.4f};2;6\n".replace(".", ",") for a, b in zip(lrs, hrs))
    return {
        "plain": (plain, None),
        "kiloohm": (lines("State;R (kOhm);E (pJ)", "{s};{k:.4f};{pj:.1f}", True, ("on", "off")), None),
        "siemens": (lines("state\tG [uS]\tenergy_pJ", "{s}\t{g!r}\t{pj}", False, ("SET", "RESET")), None),
        "logarithm": (lines("# synthetic\nstate,log10(R/ohm),E [fJ]", "{s},{lg!r},{pj}e3", False, ("1", "0")), None),
        "preamble": ("Analyser;v3\nBy;N, N\n\n" + lines("state;R;E;\n;Mohm;nJ;", "{s};{r}e-6;{pj}e-3;"), None),
        "wide": ("Ron_kohm;Roff_kohm;E_set (pJ);E_reset (pJ)\n" + wide, None),
        "a file a state": (of_each, None),
        "gaps": (plain + "LRS,,9e-12\nHRS,NaN,9e-12\n\nHRS,9.91e37,\n", None),
        "pulses": (lines("state,resistance_ohm,energy_pulse_pJ,pulses", "{s},{r!r},2,{n}"), None),
        "own names": (lines("Zustand,Widerstand,Energie,Probe", "{s},{k:.4f},{pj},7", False, ("tief", "hoch")),
                      {"Zustand": {"tief": "LRS", "hoch": "HRS"}, "Widerstand": "resistance_kohm",
                       "Energie": "energy_pJ", "Probe": None}),
        "crowded": (lines("No,time stamp,state,R (ohm),U,I,E (J)", "1,12:00,{s},{r!r},0.1,1e-6,{j!r}"), {"*": None})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--network", default="fashion_fcnn_flip", metavar="FILE")
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--images", type=count, default=200, help="only the first IMAGES test images")
    options = parser.parse_args()
    network = bnnsim.load_network(options.network)
    test = bnnsim.load_dataset(options.dataset)[1][:options.images]
    rng, found = np.random.default_rng(0), {}
    lrs, hrs = (np.round(median * np.exp(0.5 * rng.standard_normal(100)), 1).tolist() for median in (5e3, 3e4))

    for name, (text, columns) in tables(lrs, hrs).items():
        with tempfile.TemporaryDirectory() as folder:
            texts = text if isinstance(text, dict) else {"": text}
            paths = {state: Path(folder, f"{name} {state}.csv") for state in texts}
            for state, path in paths.items():
                path.write_text(texts[state], encoding="utf-8")
            swept = bnnsim.sweep_measurements(paths.get("", paths), network, test, columns=columns, rng=0, trials=3,
                                              drop_invalid=name == "gaps", progress=False)
        row, (card,) = swept.rows[0], swept.card.rows
        found[name] = {**row, **{key: value for key, value in card.items() if key not in ("source", "note")}}
        print(f"{name + ':':15} LRS {card['lrs_median_ohm']:.0f} ohm, HRS {card['hrs_median_ohm']:.0f} ohm, "
              f"BER {row['ber']:.3g}, {100 * row['mean']:.2f} %, {1e6 * (row['energy_joule'] or 0):.3g} uJ to program")
    if different := [name for name, each in found.items() if each != found["plain"]]:
        raise RuntimeError(f"not the same card and accuracy: {', '.join(different)}")
    print(f"{len(found)} tables, one card, one accuracy, one energy")


if __name__ == "__main__":
    run(main)
