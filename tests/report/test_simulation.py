"""What the report says of the simulation is what its checks found."""

import pandas as pd

from nlcore.data.simulated_check import TOLERANCE, holding_kinds, read_checks
from nlcore.papers.profiles import claims_by_kind
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
