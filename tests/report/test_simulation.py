"""What the report says of the simulation is what its checks found."""

import pandas as pd

from nlcore.data.simulated_check import TOLERANCE, holding_kinds, read_checks
from nlcore.papers import paper
from nlcore.papers.profiles import claims_by_kind
from nlcore.places import home
from nlcore.report.simulation import forms_table, kinds_table, misses_table, predictions_figure
from nlcore.report.writer import ArtefactWriter


def test_every_cell_kind_and_form_of_the_checks_is_shown(tmp_path):
    out, checks = ArtefactWriter("galc_slr", "smoke", tmp_path, {}), read_checks()
    claims = claims_by_kind()
    predictions_figure(out), kinds_table(out, claims), forms_table(out)
    read = lambda name: pd.read_csv(out.folder / f"{name}.csv")
    cells = read("simulation_predictions")
    assert [f"{row.paper}, {row.cell}" for row in cells.itertuples()] == [row["cell"] for row in checks["cells"]]
    assert cells.within.tolist() == [row["within"] for row in checks["cells"]]
    kinds = read("simulation_kinds").set_index("kind")["decided by simulation"]
    assert set(kinds[kinds == "yes"].index) == {kind for kind in holding_kinds() if claims[kind]}
    assert kinds["selection by uncertainty"] == "no", "its check holds, and it has no claim to decide"
    missed = misses_table()
    assert len(missed) + cells.within.sum() == len(cells)
    assert missed.difference.abs().is_monotonic_decreasing and missed.difference.abs().min() > TOLERANCE
    assert set(checks["distance_to_real"]) | set(checks["held_out_score"]) == set(read("simulation_forms").form)
    assert (out.folder / "simulation_predictions.png").is_file()


def test_every_claim_of_the_papers_with_simulated_features_has_one_kind():
    simulated = ("multi_al", "missing_label_al", "galc_slr", "teacher_student")
    expected = [claim for name in simulated for claim in paper(name).contract.claims() if " " not in claim]
    assert sorted(id for ids in claims_by_kind().values() for id in ids) == sorted(expected)


# Claim that simulation decides, of those on the map -> where it stands and the level that it is about.
ON_THE_MAP = {"gs4": ("galc_slr", "40 %"), "ml2": ("missing_label_al", "60 %")}


def test_what_simulation_decides_has_one_sign_over_its_map():
    kinds, headline = claims_by_kind(), {"ma1", "ma3", "ma4", "ml1", "ml2", "gs1", "gs4", "gs8", "ts1", "ts2", "ts3"}
    assert headline & {id for kind in holding_kinds() for id in kinds[kind]} == ON_THE_MAP.keys()
    for claim, (name, level) in ON_THE_MAP.items():
        table = pd.read_csv(home() / "figures" / name / "simulated" / "where_it_holds.csv")
        own = table[(table.claim == claim) & (table["at"] == level)]
        assert len(own) > 5 and not ((own.low > 0).any() and (own.high < 0).any())
