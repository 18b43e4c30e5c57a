"""What lies in figures/ is what the contract asks for: every series, no empty axis, the seeds of the profile."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nlcore.papers import paper, papers

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "figures"
MADE = sorted(path.parent for path in FIGURES.glob("*/*/manifest.json"))

# Artefacts whose contract names its series in words.
TEN_POOLINGS = {
    "ema(alpha=0.8)", "softmin(temperature=0.1)", "min", "weighted_cumulative", "cumulative(k=2)", "log",
    "sma(period=2)", "mean", "median", "max",
}  # fmt: skip
POOLING_FIGURES = ("fig_2", "fig_3", "fig_s2", "fig_s3", "fig_s4")
ALPHA_FIGURES = ("fig_s5", "fig_s6", "fig_s7", "fig_s8")


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def tables(folder, id):
    files = manifest(folder)["artefacts"][id]["files"]
    return {name: pd.read_csv(folder / name) for name in files if name.endswith(".csv")}


def made(folder):
    return [id for id in paper(folder.parent.name).contract.artefacts() if id in manifest(folder)["artefacts"]]


@pytest.mark.skipif(not MADE, reason="nothing is in figures/ yet: make reproduce")
@pytest.mark.parametrize("folder", MADE, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
class TestFolder:
    def test_every_file_of_the_manifest_is_there_and_not_empty(self, folder):
        for id, entry in manifest(folder)["artefacts"].items():
            assert entry["files"], id
            for name in entry["files"]:
                assert (folder / name).stat().st_size > 0, name

    def test_figures_come_with_pictures_an_alt_text_and_their_numbers(self, folder):
        for id in made(folder):
            entry = manifest(folder)["artefacts"][id]
            kinds = {Path(name).suffix for name in entry["files"]}
            assert entry["caption"]
            if id.startswith("fig"):
                assert {".csv", ".png", ".svg"} <= kinds, id
                assert len(entry["alt"]) > 20, id
            else:
                assert {".csv", ".md"} <= kinds, id

    def test_no_table_is_empty_and_no_axis_is_without_values(self, folder):
        for id in made(folder):
            for name, table in tables(folder, id).items():
                assert len(table) > 0, name
                for column in ("value", "ours"):
                    if column in table:
                        assert table[column].notna().any(), (name, column)

    def test_every_series_of_the_contract_is_there(self, folder):
        contract = paper(folder.parent.name).contract.artefacts()
        for id in made(folder):
            series = contract[id].get("series")
            if isinstance(series, list):
                found = {str(s) for table in tables(folder, id).values() if "series" in table for s in table.series}
                assert set(series) <= found, (id, sorted(set(series) - found))

    def test_every_panel_of_the_contract_has_its_numbers(self, folder):
        contract = paper(folder.parent.name).contract.artefacts()
        for id in made(folder):
            panels = contract[id].get("panels")
            if isinstance(panels, dict):
                assert {f"{id}{panel}.csv" for panel in panels} <= set(tables(folder, id)), id

    def test_what_was_not_made_is_said(self, folder):
        told = manifest(folder)
        assert set(told["not_made"]) | set(told["artefacts"]) >= set(paper(folder.parent.name).contract.artefacts())


def profile_cells(profile):
    text = (ROOT / "nlcore" / "papers" / "cleanlab_ema" / "profiles.yaml").read_text()
    return yaml.safe_load(text)[profile]["cells"]


@pytest.mark.parametrize("profile", ["embedded", "paper"])
def test_cleanlab_ema_has_every_pooling_in_every_panel_on_every_dataset(profile):
    """In `paper` the one-vs-rest forests on Large may be fewer, and then the manifest's runs say so."""
    folder = FIGURES / "cleanlab_ema" / profile
    if not (folder / "manifest.json").exists():
        pytest.skip(f"{profile} is not in figures/")
    for id in (*POOLING_FIGURES, *ALPHA_FIGURES):
        (table,) = tables(folder, id).values()
        for cell in profile_cells(profile):
            part = table[(table.group == cell["group"]) & (table.classifier == cell["classifier"])]
            least = 3 if (profile, cell["classifier"], cell["group"]) == ("paper", "random_forest", "large") else None
            assert part.seed.nunique() == len(cell["seeds"]) or (least and part.seed.nunique() >= least), (id, cell)
            assert set(part.pooling) == TEN_POOLINGS if id in POOLING_FIGURES else part.pooling.nunique() == 8
            assert part.published.notna().all()


def test_folders_are_named_by_paper():
    assert {folder.parent.name for folder in MADE} <= set(papers())
