"""missing_label_al: claims on made-up results both ways, the smallest study from end to end, images, bad input."""

import itertools
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from nlcore.data.embedded_set import embedded
from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.noise import hide_labels
from nlcore.papers.missing_label_al import PAPER, figures, tables
from nlcore.papers.missing_label_al.claims import decide_claims, readings_atlas
from nlcore.papers.missing_label_al.measures import MEASURES, Choice, canonical, stands_for, strategy_of
from nlcore.papers.missing_label_al.protocol import DEFAULT_SHARE, UNKNOWN_AS, Protocol
from nlcore.papers.missing_label_al.runs import MeasureRun, WholeSetRun, divide, partial_labels
from nlcore.papers.missing_label_al.study import Study, costs, is_plain, load_study
from nlcore.papers.missing_label_al.words import HEURISTICS
from nlcore.papers.profiles import Resources
from nlcore.report.draws import error_of_draws, measured
from nlcore.report.verdicts import Verdict
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import run_grid
from nlcore.scorers.missing_ratio import relabelling_cost
from nlcore.training.active import PoolView
from tests.coco_drawing import draw_coco
from tests.papers.interruption import stopped_and_resumed

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
    whole = [{"noise": n, "unknown_as": r, "seed": s, "map": asl + rng.normal(scale=0.01)}
             for n, r, s in itertools.product(NOISES, UNKNOWN_AS, SEEDS)]  # fmt: skip
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
        assert found[id].confirms, id


def test_claims_fail_with_results_that_do_not():
    found = verdicts(study(70, opposite, early=0.0, late=0.5))
    assert list(found) == [f"ml{n}" for n in range(1, 13)]
    assert {found[f"ml{n}"] for n in range(1, 8)} == {Verdict.CONTRADICTED}


def part_of(given, id, place=0):
    return next(one for one in decide_claims(given) if one.claim.id == id).parts[place]


def test_hard_medium_cannot_be_above_hard_where_the_two_are_one_run():
    given = study(10, as_claimed, late=0.0)
    hard = given.active[given.active.measure == "hard"]
    again = hard[hard.noise == 0.2].assign(measure="hard_medium", hard_share=DEFAULT_SHARE)
    others = given.active[(given.active.measure != "hard_medium") | (given.active.noise != 0.2)]
    for part in range(2):
        found = part_of(replace(given, active=pd.concat([others, again])), "ml5", part)
        assert (found.verdict, "by construction" in found.reason) == (Verdict.NOT_TESTABLE, True)
    assert part_of(given, "ml5").verdict != Verdict.NOT_TESTABLE


@pytest.mark.parametrize(("lost", "verdict"), [(5.0, Verdict.HOLDS), (-5.0, Verdict.CONTRADICTED)])
def test_asl_suffers_where_it_ends_lower_with_more_labels_missing(lost, verdict):
    given = study(10, as_claimed)
    whole = given.whole.assign(map=given.whole["map"] - lost * given.whole.noise)
    assert verdicts(replace(given, whole=whole))["ml8"] == verdict


def test_costs_are_in_the_order_that_the_paper_says_or_not():
    assert verdicts(study(10, as_claimed))["ml9"] == Verdict.HOLDS
    dear = lambda measure, noise, share: (15, 30000 if measure in ("random", "medium") else 10000 + noise)
    assert {part_of(study(10, dear), "ml9", place).verdict for place in range(3)} == {Verdict.CONTRADICTED}


@pytest.mark.parametrize(("apart", "verdict"), [(0.3, Verdict.HOLDS), (3.0, Verdict.CONTRADICTED)])
def test_splits_are_alike_within_a_point(apart, verdict):
    value = lambda measure, noise, share: (15 + apart * (share != 0.1), 10000)
    assert verdicts(study(10, value, early=0.0, late=0.0))["ml10"] == verdict


@pytest.mark.parametrize(("falls", "verdict"), [(10.0, Verdict.HOLDS), (-10.0, Verdict.CONTRADICTED)])
def test_random_gets_worse_with_noise_or_not(falls, verdict):
    value = lambda measure, noise, share: (15 - falls * noise * (measure == "random"), 10000)
    assert verdicts(study(10, value, early=0.0, late=0.0))["ml11"] == verdict


@pytest.mark.parametrize(("more", "verdict"), [(1.05, Verdict.HOLDS), (1.3, Verdict.CONTRADICTED)])
def test_the_cost_of_hard_entropy_is_held_against_that_of_random(more, verdict):
    value = lambda measure, noise, share: (15, 10000 * (more if measure == "hard_entropy" else 1))
    given = study(10, value)
    cost = given.active.cost * (1 + 0.001 * (given.active.seed % 2))
    assert verdicts(replace(given, active=given.active.assign(cost=cost)))["ml12"] == verdict


def test_measures_converge_or_not():
    level = lambda measure, noise, share: (15, 10000)
    assert verdicts(study(10, level, early=8, late=40))["ml6"] == Verdict.CONTRADICTED
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


def measure_runs(profile):
    return [spec for spec in PAPER.grid(profile).main if isinstance(spec, MeasureRun)]


def test_choices_that_must_come_to_the_same_are_one():
    same = lambda *choice, **options: canonical(Choice(*choice, **options), alike_up_to=0.2)
    assert {same("random", noise) for noise in NOISES} == {Choice("random", None)}
    assert same("entropy", 0.6, combination="product") == Choice("entropy", None)
    assert {same(m, 0.2) for m in ("medium", "hard", "hard_medium")} == {Choice("hard", 0.2)}
    assert same("hard_medium_entropy", 0.2, hard_share=0.5) == Choice("hard_entropy", 0.2)
    assert same("medium", 0.4, hard_share=0.5) == Choice("medium", 0.4)
    assert same("hard_medium", 0.4, hard_share=0.5).hard_share == 0.5
    assert same("hard_entropy", 0.2, combination="product").combination == "product"
    assert canonical(Choice("medium", 0.2), alike_up_to=0.0) == Choice("medium", 0.2)
    shown = stands_for(Choice("hard", 0.2), NOISES, alike_up_to=0.2)
    assert [(c.measure, c.noise) for c in shown] == [("medium", 0.2), ("hard", 0.2), ("hard_medium", 0.2)]
    assert len(stands_for(Choice("entropy", None), NOISES, alike_up_to=0.2)) == 3


def test_the_grid_holds_no_run_twice_and_shows_every_measure_at_every_level():
    runs = measure_runs("embedded")
    assert len(runs) == 20  # of the 28 cells 8 must come to what another comes to
    shown = [c for run in runs for c in stands_for(run.choice, NOISES, alike_up_to=0.2)]
    assert len(shown) == len(set(shown)) == 28
    assert {(c.measure, c.noise) for c in shown} == set(itertools.product(MEASURES, NOISES))


def test_a_run_that_is_not_the_one_for_its_result_is_refused():
    shared = {"source": Source(), "protocol": Protocol(), "seeds": (0,)}
    for measure, noise in (("random", 0.4), ("medium", 0.2), ("hard_medium_entropy", 0.2)):
        with pytest.raises(ValueError, match=r"gives what another choice gives; expected that one, Choice"):
            MeasureRun(**shared, measure=measure, noise=noise)
    with pytest.raises(ValueError, match="noise None: hard counts missing labels; expected the fraction"):
        MeasureRun(**shared, measure="hard", noise=None)
    with pytest.raises(ValueError, match="nothing is unknown at noise 0; expected 'masked'"):
        WholeSetRun(**shared, unknown_as="raw", noise=0.0)


@pytest.fixture(scope="module")
def store(smoke_store):
    run_grid(PAPER.grid("smoke").main, smoke_store, workers=0)
    return smoke_store


def unchecked(run, choice):
    """A run that the validation would refuse."""
    return run.model_copy(update=asdict(choice))


@pytest.mark.slow
def test_runs_that_stand_for_others_really_are_the_same(store):
    runs = {run.choice: run for run in measure_runs("smoke")}
    for other in (
        Choice("random", 0.6),
        Choice("entropy", 0.4),
        Choice("medium", 0.2),
        Choice("hard_medium", 0.2, hard_share=0.5),
        Choice("medium_entropy", 0.2),
        Choice("hard_medium_entropy", 0.2),
    ):
        run = runs[canonical(other, alike_up_to=0.2)]
        known, anew = store.result(run).arrays, unchecked(run, other).compute([]).arrays
        assert all(np.array_equal(known[name], anew[name]) for name in ("map", "map_without_person", "chosen")), other
    different = unchecked(runs[Choice("hard", 0.4)], Choice("medium", 0.4)).compute([]).arrays
    assert not np.array_equal(different["map"], store.result(runs[Choice("hard", 0.4)]).arrays["map"])


@pytest.mark.slow
def test_measures_that_are_one_run_are_one_row_and_share_all_their_images(store, tmp_path):
    found = load_study(PAPER.grid("smoke").main, store)
    out = ArtefactWriter("missing_label_al", "smoke", tmp_path, PAPER.contract.artefacts())
    flips = tables.sign_flip_table(found, out)
    assert set(flips.seeds) == {4} and set(found.final().seed) == {0, 1}  # no other table has more of some measures
    assert flips[flips.noise == 0.2].measure.tolist() == ["Medium, Hard, Hard+Medium"]
    assert len(flips[flips.noise == 0.6]) == 3
    chosen = tables.chosen_table(found, out).set_index(["noise", "measure"])
    assert (chosen["also Hard's"].xs("Hard", level="measure") == chosen.of.xs("Hard", level="measure")).all()
    assert chosen.loc[(0.2, "Medium"), "also Hard's"] == 60 > chosen.loc[(0.6, "Medium"), "also Hard's"]


@pytest.mark.parametrize(("differences", "chance"), [([1, 2, 3], 0.25), ([1, -1], 1), ([5] * 5, 2 / 32)])
def test_a_sign_flip_test_counts_the_signs_that_lead_as_far(differences, chance):
    assert tables.sign_flip_chance(np.array(differences, float)) == chance


def test_sign_flips_of_many_pairs_are_drawn_and_a_difference_that_is_none_is_found_as_often_as_it_says():
    rng = np.random.default_rng(0)
    chances = [tables.sign_flip_chance(rng.normal(size=8)) for _ in range(400)]
    assert abs(np.mean(np.array(chances) <= 0.1) - 0.1) < 0.045
    assert tables.sign_flip_chance(rng.normal(loc=2, size=20)) < 0.001


@pytest.mark.slow
def test_baselines_that_see_more_stand_beside_plain_asl_and_are_no_part_of_it(store):
    specs = PAPER.grid("smoke").main
    found = load_study(specs, store)
    assert set(found.others.baseline) == {f"asl {name} + initial" for name in UNKNOWN_AS} | {"ll-r", "ll-ct"}
    plain = load_study([spec for spec in specs if not isinstance(spec, WholeSetRun) or is_plain(spec)], store)
    pd.testing.assert_frame_equal(found.whole, plain.whole)
    assert plain.others.empty
    for baseline in found.others.baseline.unique():
        ours = found.final().query("noise == 0.4 and measure == 'hard_entropy'").set_index("seed")["map"]
        theirs = found.others.query("noise == 0.4 and baseline == @baseline").set_index("seed")["map"]
        gain = found.gain_over(baseline, 0.4)
        pd.testing.assert_series_equal(measured(gain), ours - theirs)
        assert error_of_draws(gain) is not None
    with pytest.raises(ValueError, match="ll-r counts it as absent; expected 'negative'"):
        WholeSetRun(source=Source(), protocol=Protocol(), seeds=(0,), noise=0.4, unknown_as="masked", loss="ll-r")


def test_measures_that_do_not_rank_alike_are_not_taken_for_one():
    run = next(run for run in measure_runs("smoke") if run.noise == 0.2)
    bound = run.protocol.model_copy(update={"alike_up_to": 0.5})
    wrong = MeasureRun(source=run.source, protocol=bound, seeds=(0,), noise=0.45, measure="hard")
    with pytest.raises(InputError, match=r"alike_up_to 0\.5: at noise 0\.45 an image lacks \d+ of its 80 labels"):
        wrong.compute([])


@pytest.mark.slow
def test_every_artefact_of_the_contract_is_made_with_its_series(store, tmp_path):
    contract = PAPER.contract.artefacts()
    found, out = (
        load_study(PAPER.grid("smoke").main, store),
        ArtefactWriter("missing_label_al", "smoke", tmp_path, contract),
    )
    drawn = (figures.figure_1, figures.figure_2, figures.figure_6, figures.figure_7, figures.figure_fair_baselines)
    told = (tables.heuristics_table, tables.cost_table, tables.sign_flip_table, tables.combination_table,
            tables.chosen_table, tables.rates_table, tables.surface_table, figures.surface_figure)  # fmt: skip
    for make in (*drawn, *told, tables.why_asl_table, tables.fair_gains_table, tables.exact_counts):
        make(found, out)
    for noise in NOISES:
        figures.level_figure(found, out, noise)
        for panel in "abc":
            data = pd.read_csv(out.folder / f"{figures.LEVEL_FIGURES[noise]}{panel}.csv")
            assert set(data.series) == set(contract["fig_3"]["series"])
            assert set(data.seed) == {0, 1}
    assert set(contract) <= set(out.entries)
    assert {"20 %", "40 %", "60 %"} <= set(pd.read_csv(out.folder / "exact_counts.csv")["at"])
    assert set(pd.read_csv(out.folder / "fig_2.csv").series) == {"raw", "negative", "masked"}
    assert set(pd.read_csv(out.folder / "fig_7a.csv").series) == set(contract["fig_7"]["series"])
    assert {f"ml{n}" for n in range(1, 8)} <= set(readings_atlas(found).claim)


def test_every_artefact_names_the_runs_behind_it():
    specs = PAPER.grid("smoke").main
    counts = {id: sum(map(PAPER.reads(id), specs)) for id in ("fig_1", "fig_2", "fig_3", "fig_4", "fig_7", "why_asl")}
    whole = 1 + 3 * len(UNKNOWN_AS)
    # 20 %: Random, entropy, Hard, Hard+entropy; 40 %: all eight; Fig. 7: Medium, Hard and four splits in between.
    assert counts == {"fig_1": 0, "fig_2": whole, "fig_3": 4, "fig_4": 8, "fig_7": 6, "why_asl": whole + 3}
    assert sum(map(PAPER.reads("verdicts"), specs)) == len(specs)


@pytest.mark.slow
def test_cost_follows_from_what_was_chosen_at_the_noise_it_is_shown_at(store):
    active = load_study(PAPER.grid("smoke").main, store).defaults()
    cost = active.pivot_table(index=["measure", "seed", "iteration"], columns="noise", values="cost")
    assert (cost.xs(0, level="iteration") == 0).all(axis=None)
    asked = 20 * 80 * np.outer([1, 2, 3], NOISES)  # cells of so many images, of which so many are hidden
    assert np.allclose(cost.loc["random", 0].loc[1:], asked, rtol=0.07)
    last = cost.xs(3, level="iteration")
    assert (last.loc["hard"] > last.loc["random"]).all(axis=None)
    assert (last.loc["hard", 0.2] == last.loc["medium", 0.2]).all()
    assert (last.loc["medium", 0.6] < last.loc["random", 0.6]).all()


@pytest.mark.slow
def test_heuristics_in_a_draw_of_the_test_images_are_those_of_the_curve_in_that_draw(store):
    found, draw = load_study(PAPER.grid("smoke").main, store), 17
    shifts = found.active.map_moved.map(lambda moved: float(moved[draw]))
    shifted = replace(found, active=found.active.assign(map=found.active["map"] + shifts))
    usual, there = (study.heuristics(study.defaults(), 0.4) for study in (found, shifted))
    for name in HEURISTICS:
        np.testing.assert_allclose(usual[name] + [moved[draw] for moved in usual[name + "_moved"]], there[name])
        assert usual[name + "_moved"].map(np.std).min() > 0


def small_runs(root, **protocol):
    """Active learning and plain ASL on 30 drawn images."""
    draw_coco(root, images=30, classes=6, split="val")
    source = Source(data="coco", parts=("val2017",), model="mobilenetv2_100", size=64, weights="random",
                    root=str(root), device="cpu")  # fmt: skip
    small = {"clean_share": 0.15, "budget": 2, "batch": 1, "epochs": 1, "whole_epochs": 1, "whole_schedule_epochs": 2}
    shared = {"source": source, "protocol": Protocol(**small | protocol), "seeds": (0,), "noise": 0.4}
    return MeasureRun(**shared, measure="hard_entropy"), WholeSetRun(**shared, unknown_as="raw")


def test_cost_counts_the_unknown_cells_of_the_images_that_were_chosen():
    run = next(run for run in measure_runs("smoke") if run.measure == "random")
    images = run.source.load()
    pool = divide(images, run.protocol, run.seeds).pool
    given, chosen = partial_labels(images, pool, 0.4, run.seeds), pool[:, :6].reshape(2, 3, 2)
    paid = [[(own[rows] == -1).sum() for rows in batches] for own, batches in zip(given, chosen, strict=True)]
    expected = [[0, *np.cumsum(own)] for own in paid]
    assert costs(run, chosen, 0.4).tolist() == expected


@pytest.mark.slow
def test_images_train_end_to_end_through_the_same_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    measure, whole = small_runs(tmp_path)
    arrays = measure.compute([]).arrays
    assert arrays["map"].shape == (1, 3, 1)
    assert arrays["chosen"].shape == (1, 2, 1)
    assert np.isfinite(whole.compute([]).arrays["map"]).all()


@pytest.mark.slow
def test_a_killed_run_on_images_goes_on_to_the_same_result(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    measure, whole = small_runs(tmp_path, epochs=2, whole_epochs=3)
    for run, epochs, stops in ((measure, 6, (1, 3, 5)), (whole, 3, (1, 2))):
        expected = run.compute([]).arrays
        for after in stops:
            result, left = stopped_and_resumed(run, tmp_path / f"{run.key}{after}", monkeypatch, after=after)
            assert left == epochs - after, run
            assert all(np.array_equal(result.arrays[name], expected[name]) for name in expected), run


def test_few_classes_keep_hard_and_medium_apart(tmp_path):
    """A folder with classes of its own: the fewer, the more often an image lacks more than half of its labels."""
    file = draw_coco(tmp_path, images=30, classes=6, split="val", all_categories=False)
    (tmp_path / "images").mkdir()
    file.rename(file.with_name("instances.json"))
    resources = Resources(data_root=str(tmp_path), weights="random", device="cpu")
    runs = [spec for spec in PAPER.specs("finetune", resources=resources) if isinstance(spec, MeasureRun)]
    assert {run.measure for run in runs if run.noise == 0.2} == {m for m, way in MEASURES.items() if way.counts_labels}


def test_bad_input_is_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match="measure 'hardest': unknown; expected one of random, medium"):
        strategy_of("hardest")
    shared = {"source": Source(), "seeds": (0,), "noise": None, "measure": "random"}
    with pytest.raises(InputError, match="no multiple of the batch"):
        MeasureRun(**shared, protocol=Protocol(budget=70)).compute([])
    with pytest.raises(InputError, match="smaller than the budget"):
        MeasureRun(**shared, protocol=Protocol(budget=5000)).compute([])
    with pytest.raises(InputError, match=r"clean_share 0\.9: \d+ images; expected 1 to \d+"):
        MeasureRun(**shared, protocol=Protocol(clean_share=0.9)).compute([])
    with pytest.raises(InputError, match="data_root: not given, and these runs train on images"):
        PAPER.specs("finetune")
    with pytest.raises(InputError, match=r"instances_val2017\.json: no such file"):
        PAPER.specs("paper", resources=Resources(data_root=str(tmp_path)))
