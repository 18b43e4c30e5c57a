"""missing_label_al: claims on made-up results both ways, the smallest study from end to end, images, bad input."""

import itertools

import numpy as np
import pandas as pd
import pytest

from nlcore.data.embedded_set import embedded
from nlcore.errors import InputError
from nlcore.noise import hide_labels
from nlcore.papers.image_task import Task
from nlcore.papers.missing_label_al import artefacts
from nlcore.papers.missing_label_al.claims import decide_claims
from nlcore.papers.missing_label_al.experiments import MEASURES, MeasureRun, Protocol, WholeSetRun, strategy_of
from nlcore.papers.missing_label_al.study import READINGS, Study, grid, load_study
from nlcore.papers.profiles import Resources
from nlcore.report.contract import artefacts as contract
from nlcore.report.verdicts import Verdict
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Store, run_grid
from nlcore.scorers.missing_ratio import relabelling_cost
from nlcore.training.active import PoolView
from tests.coco_drawing import draw_coco

SEEDS, NOISES = range(5), (0.2, 0.4, 0.6)


def study(asl, gain, *, early=8.0, late=1.0):
    """ASL ends at `asl`; a run starts at 28 and gains `gain(measure, noise, share)` points for 16,000 cells or so."""
    rng, rows = np.random.default_rng(0), []
    cells = [(m, n, 0.1) for m, n in itertools.product(MEASURES, NOISES)]
    cells += [("hard_medium", 0.4, share) for share in (0.25, 0.5, 0.75)]
    for (measure, noise, share), seed in itertools.product(cells, SEEDS):
        place = list(MEASURES).index(measure)
        for iteration in range(11):
            reach = iteration / 10
            spread = {3: early, 10: late}.get(iteration, 0) * place / 7
            gained, cost = gain(measure, noise, share)
            rows.append({"measure": measure, "noise": noise, "hard_share": share, "combination": "ties", "seed": seed,
                         "iteration": iteration, "cost": round(cost * reach),
                         "map": 28 + gained * reach + spread + rng.normal(scale=0.01)})  # fmt: skip
    whole = [{"noise": n, "reading": r, "seed": s, "map": asl + rng.normal(scale=0.01)}
             for n, r, s in itertools.product(NOISES, READINGS, SEEDS)]  # fmt: skip
    return Study(pd.DataFrame(rows), pd.DataFrame(whole))


def as_claimed(measure, noise, share):
    """(points gained, cells paid) such that every claim is borne out, with late = 0."""
    winner = {0.2: "hard_medium", 0.4: "hard_entropy", 0.6: "hard"}[noise]
    gained = {"random": 14, "hard_entropy": 20, winner: 26}.get(measure, 16)
    cost = {0.2: 8000, 0.4: 16000, 0.6: 24000}[noise] * (1.5 if measure != "random" else 0.4)
    if noise == 0.6:
        cost = {"hard": 36000, "medium": 10000, "hard_medium": 10500}.get(measure, 36000)
        gained = {"medium": 17, "hard_medium": 17.5}.get(measure, gained)
    if noise == 0.2 and measure == "hard_medium":
        cost = 24000
        gained = 30
    if noise == 0.4 and measure == "hard_medium" and share == 0.1:
        gained = 19
    return gained, cost


def opposite(measure, noise, share):
    gained, cost = 20, 16000
    if measure in ("hard_entropy", "hard_medium", "hard"):
        gained = 10
    if measure == "random":
        cost = 30000
    if measure == "medium" and noise == 0.6:
        cost = 40000
    return gained, cost


def verdicts(given):
    return {decided.claim.id: decided.verdict for decided in decide_claims(given)}


def test_claims_hold_with_results_that_bear_them_out():
    found = verdicts(study(10, as_claimed, late=0.0))
    for id in ("ml1", "ml2", "ml3", "ml7"):
        assert found[id] == Verdict.HOLDS, id


def test_claims_fail_with_results_that_do_not():
    found = verdicts(study(70, opposite, early=0.0, late=0.5))
    assert set(found.values()) == {Verdict.FAILS}
    assert list(found) == [f"ml{n}" for n in range(1, 8)]


def test_measures_converge_or_not():
    level = lambda measure, noise, share: (15, 10000)
    assert verdicts(study(10, level, early=8, late=40))["ml6"] == Verdict.FAILS
    same = study(10, level, early=9, late=0)
    assert verdicts(same)["ml6"] == Verdict.HOLDS


def test_cost_of_500_images_agrees_with_the_paper():
    images = embedded().targets[embedded().train]
    for rate, paper in ((0.2, 8000), (0.4, 16000)):
        cost = relabelling_cost(hide_labels(images, rate, np.random.default_rng(0)))
        assert abs(cost[:500].sum() - paper) < 0.02 * paper


def test_at_20_percent_hard_and_medium_choose_the_same_images():
    targets = hide_labels(embedded().targets[:400], 0.2, np.random.default_rng(0))
    chosen = [strategy_of(name)(_view(targets), 50).tolist() for name in ("hard", "medium")]
    assert chosen[0] == chosen[1]


def test_a_rate_of_one_is_ranked_by_entropy_alone():
    targets, probabilities = np.full((6, 4), -1, np.int8), np.linspace(0.01, 0.3, 24).reshape(6, 4)
    view = _view(targets)
    view.__dict__["probabilities"] = probabilities
    assert strategy_of("hard_entropy")(view, 2).tolist() == [5, 4]


def _view(targets):
    return PoolView(np.arange(len(targets)), targets, 1, np.random.default_rng(0), None)


@pytest.mark.slow
def test_every_artefact_of_the_contract_is_made_with_its_series(tmp_path):
    store, specs = Store(tmp_path / "store"), grid("smoke", seeds=[0, 1])
    run_grid(specs, store, workers=0)
    found, out = load_study(specs, store), ArtefactWriter("missing_label_al", "smoke", tmp_path)
    for make in (artefacts.figure_1, artefacts.figure_2, artefacts.figure_6, artefacts.figure_7,
                 artefacts.permutation_table, artefacts.heuristics_table):  # fmt: skip
        make(found, out)
    for noise in NOISES:
        artefacts.level_figure(found, out, noise)
        for panel in "abc":
            data = pd.read_csv(out.folder / f"{artefacts.LEVEL_FIGURES[noise]}{panel}.csv")
            assert set(data.series) == set(contract("missing_label_al")["fig_3"]["series"])
            assert set(data.seed) == {0, 1}
    assert set(contract("missing_label_al")) == set(out.entries) & set(contract("missing_label_al"))
    assert set(pd.read_csv(out.folder / "fig_2.csv").series) == {"raw", "negative", "masked"}
    assert set(pd.read_csv(out.folder / "fig_7a.csv").series) == set(contract("missing_label_al")["fig_7"]["series"])
    random = found.defaults().query("measure == 'random'").pivot_table(index=["seed", "iteration"], columns="noise",
                                                                       values="map")  # fmt: skip
    assert (random.to_numpy() == random.to_numpy()[:, :1]).all()  # Random's curve does not depend on the noise


@pytest.mark.slow
def test_images_train_end_to_end_through_the_same_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    draw_coco(tmp_path, images=30, classes=6, split="val")
    task = Task(
        data="coco", splits=("val2017",), model="mobilenetv2_100", size=64, data_root=str(tmp_path), device="cpu"
    )
    protocol = Protocol(clean_share=0.15, budget=2, batch=1, epochs=1, whole_epochs=1, whole_schedule_epochs=2)
    shared = {"task": task, "protocol": protocol, "seeds": (0,), "noise": 0.4}
    arrays = MeasureRun(**shared, measure="hard_entropy").compute([]).arrays
    assert arrays["map"].shape == (1, 3, 1)
    assert arrays["cost"][0, -1] > 0
    assert np.isfinite(WholeSetRun(**shared, reading="raw").compute([]).arrays["map"]).all()


def test_bad_input_is_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match="measure 'hardest': unknown; expected one of random, medium"):
        strategy_of("hardest")
    shared = {"task": Task(), "seeds": (0,), "noise": 0.4, "measure": "random"}
    with pytest.raises(InputError, match="no multiple of the batch"):
        MeasureRun(**shared, protocol=Protocol(budget=70)).compute([])
    with pytest.raises(InputError, match="smaller than the budget"):
        MeasureRun(**shared, protocol=Protocol(budget=5000)).compute([])
    with pytest.raises(InputError, match="data_root: this profile trains on images"):
        grid("finetune")
    with pytest.raises(InputError, match=r"instances_val2017\.json: no such file"):
        grid("paper", resources=Resources(data_root=str(tmp_path)))
