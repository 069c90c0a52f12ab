"""What is committed: rows are of the plan, records are what the rows say, the table is what the records say."""

import json

import numpy as np
import pytest
from reproduce_scripts import CLAIMS, SCRIPTS, explain, make_results, networks, plan, run_here


def test_the_committed_table_is_what_the_records_say():
    """Run  python examples/reproduce/make_results.py  after a new results.json."""
    stored = json.loads(make_results.SOURCE.read_text(encoding="utf-8"))
    assert make_results.PAGE.read_text(encoding="utf-8") == make_results.page(stored)
    assert [record["claim"] for record in stored] == list(CLAIMS)
    for record in stored:
        assert (make_results.FIGURES / record["figure"]).is_file() and record["size"] == "full"
        assert record["commit"] and not record["commit"].endswith("+")


@pytest.mark.parametrize("script", [explain, make_results], ids=["explain", "make_results"])
def test_a_page_that_is_another_fails_its_check_and_stays(script, tmp_path, monkeypatch):
    path = tmp_path / "page.rst"
    path.write_text("as written\n", encoding="utf-8")
    monkeypatch.setattr(script, "PAGE", path)
    monkeypatch.setattr(script, "page", lambda *_: "as written\n")
    script.main(["--check"])
    monkeypatch.setattr(script, "page", lambda *_: "another\n")
    with pytest.raises(SystemExit, match="page.rst is not what .* says: run this script without --check"):
        script.main(["--check"])
    assert path.read_text(encoding="utf-8") == "as written\n"


def test_the_committed_records_are_what_the_rows_say(tmp_path):
    """Every claim of trained networks, computed anew from rows.jsonl: the same checks and notes."""
    stored = {record["claim"]: record for record in json.loads(make_results.SOURCE.read_text(encoding="utf-8"))}
    for path in SCRIPTS[:-1]:
        run_here(path, "--full", "--folder", tmp_path)
        again = json.loads((tmp_path / "full" / f"{path.name[0]}.json").read_text(encoding="utf-8"))
        before = stored[path.name[0]]
        for key in ("setting", "about", "quantity", "verdict"):
            assert [check[key] for check in again["checks"]] == [check[key] for check in before["checks"]]
        for check, old in zip(again["checks"], before["checks"]):
            assert check["values"] == pytest.approx(old["values"]) and (check["mean"] is None) == (old["mean"] is None)
            for key in ("mean", "error", "df", "decides") if check["mean"] is not None else ():
                assert check[key] == (old[key] if old[key] is None else pytest.approx(old[key]))
        assert again["notes"] == before["notes"]


def test_rows_are_of_the_plan_and_of_whole_test_sets():
    """No row of a network that the plan has not, from another commit's uncommitted code, or of a part of the images."""
    planned = {(recipe.name, seed) for recipe, seed in plan.jobs(plan.FULL)}
    rows = networks.kept()
    assert rows and set(rows) <= planned
    for row in rows.values():
        chips = plan.FULL.chips_of(next(recipe for recipe, _ in plan.jobs(plan.FULL) if recipe.name == row["name"]))
        assert row["images"] == 10_000 and row["chips"] == chips and not row["commit"].endswith("+")
        assert np.shape(row["correct"]) == np.shape(row["rescaled"]) == (len(plan.RATES), chips)
        assert row["spec"] == plan.FULL.specs[row["net"]]
