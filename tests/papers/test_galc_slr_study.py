"""The study from end to end at the smallest scale, on features and on drawn images, and what bad input is told."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from nlcore.correction import corrected_probabilities
from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.losses import asymmetric_loss, asymmetric_loss_of_probabilities
from nlcore.papers.galc_slr import PAPER, figures, tables
from nlcore.papers.galc_slr.claims import _stand_in, decide_claims, readings_atlas
from nlcore.papers.galc_slr.examples import Examples, capped, divide, load_examples
from nlcore.papers.galc_slr.matrices import reliability, silver_gradient
from nlcore.papers.galc_slr.methods import WAYS, SilverGoldLoss
from nlcore.papers.galc_slr.protocol import METHODS, MIXUP, T_ESTIMATOR, Protocol
from nlcore.papers.galc_slr.runs import GoldClassifier, MatrixEstimates, SilverClassifier, TransitionEstimates
from nlcore.papers.galc_slr.study import load_study
from nlcore.papers.profiles import Resources
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Result, Store, run_grid, with_requirements
from tests.coco_drawing import draw_coco
from tests.papers.interruption import stopped_and_resumed


@pytest.fixture(scope="module")
def store(smoke_store):
    run_grid(PAPER.grid("smoke", seeds=[0]).main, smoke_store, workers=0)
    return smoke_store


@pytest.fixture(scope="module")
def study(store):
    return load_study(PAPER.grid("smoke", seeds=[0]).main, store)


@pytest.mark.slow
def test_every_artefact_of_the_contract_is_made_with_its_series(study, store, tmp_path):
    asked = PAPER.contract.artefacts()
    out = ArtefactWriter("galc_slr", "smoke", tmp_path, asked)
    figures.figure_1(out)
    figures.figure_3(out)
    for make in (tables.table_1, figures.figure_2, figures.figure_4, figures.figure_5, figures.figure_6,
                 tables.slope_table, tables.distance_table, tables.memorisation_table, tables.sigmoid_table,
                 tables.closeness_table, figures.clean_gold_figure, tables.readings_table,
                 tables.elsewhere_table, figures.calibration_figure, figures.surface_figure, tables.surface_table,
                 tables.rates_table, tables.exact_counts):  # fmt: skip
        make(study, out)
    verdicts = decide_claims(study)
    manifest = json.loads(out.finish(study.specs, store, verdicts=verdicts, reads=PAPER.reads).read_text())
    assert manifest["not_made"] == []
    assert [v.claim.id for v in verdicts[:8]] == [f"gs{n}" for n in range(1, 9)]
    read = lambda name: pd.read_csv(out.folder / f"{name}.csv")
    assert list(METHODS) == asked["table_1"]["columns"] == list(read("table_1").columns[2:-1])
    assert set(read("table_1")["noise %"]) == {0, 40, 60}
    assert set(asked["fig_4"]["series"]) <= set(read("fig_4").series)
    for panel in "abc":
        assert set(read(f"fig_5{panel}").series) == set(METHODS)
        assert set(read(f"fig_5{panel}").noise) == {0, 40, 60}
    assert {"asl", "galc_slr"} <= set(read("fig_6a").series)
    assert set(read("fig_6b").gold) == {5, 10}
    assert read("fig_6b").published.notna().all()
    assert set(read("fig_6c").series.astype(str)) == {"all", "50", "10"}
    assert read("fig_1").label.tolist().count("wrong") == 1
    assert set(read("fig_3").kind) == {"node", "arrow"}
    assert {"40 %", "60 %"} <= set(read("exact_counts")["at"])
    near, paper = read("closeness").set_index("ours"), PAPER.contract.published()["table_1"]
    assert {"asl", "galc_slr", "galc_slr as written", "galc_slr, silver classifier bce"} <= set(near.index)
    assert near.loc["asl", "levels"] == near.loc["galc_slr, silver classifier bce", "levels"] == 3
    assert near.loc["galc_slr, cap 10", "levels"] == 1
    ours = {n: study.values("map", method="asl", noise=n).mean() for n in study.levels}
    apart = [abs(ours[n] - paper["asl"][f"{n:.0%}"[:-1]][0]) for n in study.levels]
    assert near.loc["asl", "mAP"] == pytest.approx(np.mean(apart), abs=0.01)


@pytest.mark.slow
def test_the_atlas_takes_a_reading_at_the_levels_that_all_its_seeds_ran(study):
    levels = lambda found: set(found.scores[found.scores.method == "galc_slr"].noise)
    assert levels(_stand_in(study, "galc_slr", silver_loss="bce")) == {0.0, 0.4, 0.6}
    more = study.scores[study.scores.noise == 0.4].assign(seed=1)
    assert levels(_stand_in(replace(study, scores=pd.concat([study.scores, more])), "galc_slr", silver_loss="bce")) == {
        0.4
    }


@pytest.mark.slow
def test_records_hold_fractions_and_the_study_percent(study, store):
    for spec in (spec for spec in study.specs if isinstance(spec, GoldClassifier)):
        values = dict(store.result(spec).values)
        history = values.pop("history")
        assert all(0 <= value < 1 for value in [*values.values(), *(row["map"] for row in history)])
        assert len(history) == (spec.protocol.epochs if spec.follows_epochs else 1)
        assert history[-1]["map"] == values["map"]
    assert study.scores["map"].between(1, 100).all() and study.scores.noise.max() == 0.6
    assert study.curves.epoch.max() == 4


@pytest.mark.slow
def test_runs_that_stand_for_others_really_are_the_same(study, store):
    specs = [spec for spec in study.specs if isinstance(spec, GoldClassifier)]
    gold_only = [spec for spec in specs if spec.method == "gold only"]
    assert [spec.noise for spec in gold_only] == [None]
    for noise in (0.0, 0.6):  # past the validation, which refuses them
        again = gold_only[0].model_copy(update={"noise": noise}).compute([])
        assert again.values["map"] == store.result(gold_only[0]).values["map"]
    asl = next(spec for spec in specs if spec.noise == 0 and spec.method == "asl")
    last = lambda method: asl.model_copy(update={"method": method}).compute([]).values["map"]
    clean = [spec.method for spec in specs if spec.noise == 0]
    methods = ["asl", "galc_slr as written", "galc_slr", "glc", "galc_slr, second sigmoid", MIXUP, T_ESTIMATOR]
    readings = ["galc_slr as written, clipped", "galc_slr as written, second sigmoid"]
    assert list(dict.fromkeys(clean)) == [*methods, *readings]
    assert last("asl + clean gold") == store.result(asl).values["map"]
    # The true matrix is the identity here. Computed all the same, it only adds the sigmoid's rounding and the floor.
    assert last("true matrix") == pytest.approx(store.result(asl).values["map"], abs=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["asl", "galc_slr", "galc_slr as written", "gold only", "identity, second sigmoid"])
def test_a_classifier_is_the_same_alone_as_in_the_pass_that_it_shared(study, store, method):
    spec = next(s for s in study.specs if isinstance(s, GoldClassifier) and s.method == method and s.noise != 0)
    alone = spec.compute([store.result(required) for required in spec.requires()])
    assert dict(alone.values) == dict(store.result(spec).values)


@pytest.mark.slow
def test_silver_classifiers_of_one_seed_share_a_pass_and_are_as_alone(store):
    specs = [s for s in with_requirements(PAPER.grid("smoke", seeds=[0]).main) if isinstance(s, SilverClassifier)]
    together = [s for s in specs if s.shared_pass() == specs[0].shared_pass()]
    assert len(together) == 3, "one for each level of noise"
    protocol = specs[0].protocol.model_copy(update={"epochs": 12})
    longer = [spec.model_copy(update={"protocol": protocol}) for spec in together]
    assert len(longer[0].divided().silver) % 256 % 4, "the last batch's cells are no whole number of vectors"
    shared = SilverClassifier.compute_together(longer, [[]] * len(longer))
    for spec, result in zip(longer, shared, strict=True):
        for name, array in spec.compute([]).arrays.items():
            assert np.array_equal(array, result.arrays[name])


@pytest.mark.slow
def test_a_run_stands_at_every_method_and_level_that_it_is(study):
    counted = study.main.groupby(["noise", "method"]).size()
    assert len(counted) == 3 * len(METHODS) and (counted == 1).all()
    assert study.values("map", method="gold only", noise=0.6).tolist() == (
        study.values("map", method="gold only", noise=0.0).tolist()
    )
    behind = PAPER.reads("table_1")
    assert {spec.gold for spec in study.specs if behind(spec)} == {0.1}


@pytest.mark.slow
def test_what_estimates_lacked_is_counted(study):
    rows = study.runs(study.distances, noise=0.4, matrix="galc_slr")
    assert rows.borrowed_regulators.tolist() == [2]  # mouse and toaster have no crop and no single-label image
    assert rows.single_label_images.tolist() == [2026]
    assert (rows.identity_rows > 0).all()


@pytest.mark.slow
def test_an_unfinished_grid_is_told_and_shown_in_part_when_asked(store):
    wider = PAPER.grid("smoke", seeds=[0, 9]).main
    with pytest.raises(InputError, match=r"seed=9.*not finished"):
        load_study(wider, store)
    assert load_study(wider, store, partial=True).seed_counts().unfinished.tolist() == [8, 29, 10]


@pytest.mark.slow
def test_other_epochs_and_rates_stand_apart_and_change_nothing_else(store):
    specs = PAPER.grid("smoke", seeds=[0]).main
    found, alone = load_study(specs, store), load_study([s for s in specs if not s.protocol.reading], store)
    pd.testing.assert_frame_equal(found.scores, alone.scores)
    pd.testing.assert_frame_equal(found.distances, alone.distances)
    cells = found.surface.groupby(["epochs", "learning_rate"]).method.nunique()
    assert cells.to_dict() == {(2, 0.003): 4, (4, 0.001): 4, (4, 0.003): 4}
    usual = found.surface.query("epochs == 4 and learning_rate == 0.003 and method == 'asl'")["map"].iloc[0]
    assert usual == found.values("map", method="asl", noise=0.4).iloc[0]


@pytest.mark.slow
def test_the_readings_that_the_estimate_hangs_on_are_in_the_atlas(study):
    named = readings_atlas(study).groupby("reading").claim.agg(set)
    assert {"gs1", "gs6"} <= named["ASL's bias taken out before the estimate"]
    assert {"gs1", "gs6"} <= named["the algorithm as written, over silver images as it is printed"]


def test_reliability_counts_every_cell_once_and_says_what_is_there():
    outputs, labels = np.array([[0.01, 0.5, 1.0], [0.04, 0.52, 0.97]]), np.array([[0, 1, 1], [0, 0, 1]])
    rows = reliability(outputs, labels)
    assert [row["cells"] for row in rows] == [2, 2, 2]
    assert [row["share"] for row in rows] == [0, 0.5, 1]
    assert rows[0]["output"] == pytest.approx(0.025)


def drawn(tmp_path, monkeypatch, profile):
    """The profile's runs of three methods, made tiny, on drawn images."""
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    resources = Resources(data_root=str(tmp_path / "coco"), device="cpu", weights="random")
    chosen = [
        spec
        for spec in PAPER.specs(profile, seeds=[0], resources=resources)
        if isinstance(spec, GoldClassifier) and spec.noise == 0.4 and spec.follows_epochs and spec.cap is None
    ]
    return [small(spec) for spec in chosen if spec.method in ("asl", "galc_slr", "galc_slr as written")]


def small(spec):
    source = spec.source.model_copy(update={"model": "test_resnet", "size": 32})
    protocol = spec.protocol.model_copy(update={"epochs": 2, "batch_size": 16, "gold": 0.3})
    return spec.model_copy(update={"source": source, "protocol": protocol, "gold": 0.3})


def draw_both(tmp_path, year):
    draw_coco(tmp_path / "coco", images=60, year=year)
    draw_coco(tmp_path / "coco", images=30, seed=1, year=year, split="val")


@pytest.mark.slow
def test_the_finetune_path_trains_a_network_on_a_folder_of_images(tmp_path, monkeypatch):
    draw_both(tmp_path, 2017)
    specs, store = drawn(tmp_path, monkeypatch, "finetune"), Store(tmp_path / "store")
    run_grid(specs, store, workers=0)
    assert len(specs) == 3
    for spec in specs:
        assert 0 < store.result(spec).values["map"] <= 1
        assert [row["epoch"] for row in store.result(spec).values["history"]] == [1, 2]
    estimates = store.result(specs[1].requires()[0]).values
    assert estimates["borrowed_regulators"] > 70  # of 80 classes six are drawn


@pytest.mark.slow
def test_the_paper_path_trains_on_the_official_layout_of_coco_2014(tmp_path, monkeypatch):
    draw_both(tmp_path, 2014)
    specs, store = drawn(tmp_path, monkeypatch, "paper"), Store(tmp_path / "store")
    run_grid(specs, store, workers=0)
    examples = specs[0].examples()
    assert examples.train.max() < 60 <= examples.test.min()
    assert (examples.targets[examples.train].sum(axis=1) >= 2).all()
    assert (examples.targets[examples.single].sum(axis=1) == 1).all()
    assert "average_map" in store.result(specs[0]).values["history"][0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [GoldClassifier, SilverClassifier])
def test_a_killed_training_on_images_goes_on_to_the_same_result(tmp_path, monkeypatch, kind):
    draw_both(tmp_path, 2014)
    gold = drawn(tmp_path, monkeypatch, "paper")[0]
    run = gold if kind is GoldClassifier else SilverClassifier(**gold.shared())
    whole = run.compute([])
    result, epochs = stopped_and_resumed(run, tmp_path / "scratch", monkeypatch, after=1)
    assert epochs == run.protocol.epochs - 1
    assert result.values == whole.values
    assert all(np.array_equal(result.arrays[name], array) for name, array in whole.arrays.items())


def test_a_plan_of_the_paper_costs_gpu_hours(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    draw_both(tmp_path, 2014)
    monkeypatch.setattr(Source, "sizes", lambda source: (65_268, 31_739))
    specs = PAPER.specs("paper", resources=Resources(data_root=str(tmp_path / "coco")))
    assert len({spec.key for spec in specs}) == len(specs)
    work = [spec.work() for spec in specs if isinstance(spec, GoldClassifier)]
    assert {own.unit for own in work} == {"train tresnet_m 224"}
    assert sum(own.amount for own in work) > 3600 * 100 * 1000  # at 1,000 images a second


def test_the_rehearsal_is_the_paper_on_few_images():
    paper, rehearsal = (PAPER.profiles()[name] for name in ("paper", "rehearsal"))
    assert rehearsal["source"].pop("limit") == 60
    assert (paper.pop("evidence"), rehearsal.pop("evidence")) == ("exact", "stand-in")
    assert rehearsal["protocol"] == {"epochs": 2, "batch_size": 8}
    scale = ("seeds", "noises", "protocol")
    assert {k: v for k, v in paper.items() if k not in scale} == {k: v for k, v in rehearsal.items() if k not in scale}


def test_the_weights_that_training_starts_from_are_part_of_the_key(tmp_path):
    draw_both(tmp_path, 2017)
    keys = lambda **more: {
        spec.key for spec in PAPER.specs("finetune", resources=Resources(data_root=str(tmp_path / "coco"), **more))
    }
    assert not keys() & keys(weights="random")
    assert keys() == keys(device="cpu")


def test_bad_input_is_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match="data_root: not given, and these runs train on images"):
        PAPER.specs("finetune")
    with pytest.raises(InputError, match=r"instances_train2014\.json: no such file"):
        PAPER.specs("paper", resources=Resources(data_root=str(tmp_path)))
    draw_coco(tmp_path, images=20, classes=1)
    draw_coco(tmp_path, images=20, classes=1, split="val")
    alone = PAPER.specs("finetune", resources=Resources(data_root=str(tmp_path), device="cpu"))[0]
    with pytest.raises(InputError, match=r"images: 0 for training and 0 for tests have two labels; expected some"):
        load_examples(alone.source)


FIELDS = {
    "source": Source(device="cpu"),
    "protocol": Protocol(epochs=2, batch_size=8, learning_rate=1e-2, average_decay=None, gold=0.2),
    "noise": 0.4,
    "gold": 0.2,
    "seed": 0,
}


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"method": "gold only"}, r"noise 0\.4: 'gold only' is the same training as 'gold only' at None"),
        ({"method": "asl + clean gold", "noise": 0.0}, r"noise 0\.0: 'asl \+ clean gold' .* as 'asl' at 0\.0"),
        ({"method": "true matrix", "noise": 0.0}, r"the same training as 'asl' at 0\.0"),
        ({"method": "glc", "noise": None}, "noise None: 'glc' sees the noise; expected a fraction"),
        ({"method": "identity, second sigmoid", "cap": 10}, "cap 10: 'identity, second sigmoid' does not depend on it"),
        ({"method": "asl", "silver_loss": "bce"}, "silver_loss bce: 'asl' does not depend on it"),
        ({"method": "glc", "cap": 10}, "cap 10: 'glc' does not depend on it"),
        ({"method": "gold count", "estimate_on": "silver"}, "estimate_on silver: 'gold count' does not depend"),
    ],
)
def test_a_run_that_is_not_the_one_for_its_result_is_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        GoldClassifier(**FIELDS | fields)


@pytest.mark.parametrize("profile", ["smoke", "embedded"])
def test_every_run_is_asked_for_once(profile):
    specs = PAPER.grid(profile).main
    assert len({spec.key for spec in specs}) == len(specs)
    settings = PAPER.profiles()[profile]
    levels, seeds = len(settings["noises"]), len(settings["seeds"])
    main = [s for s in specs if isinstance(s, GoldClassifier) and PAPER.reads("table_1")(s)]
    assert len(main) == seeds * (levels * len(METHODS) - (levels - 1) - 2)


def tiny_examples(classes=5, images=40, single=(0, 0, 0, 1)):
    """`images` with two labels each to train on; single-label images of classes 0 and 1 only."""
    rng = np.random.default_rng(0)
    targets = np.zeros((images + len(single), classes), dtype=np.int8)
    for row in targets[:images]:
        row[rng.choice(classes, 2, replace=False)] = 1
    targets[np.arange(images, images + len(single)), list(single)] = 1
    parts = np.arange(images), np.arange(4), np.arange(images, images + len(single))
    return Examples(rng.normal(size=(len(targets), 8)).astype(np.float32), targets, *parts, tuple("abcde"[:classes]))


def test_gold_and_silver_part_the_training_images_and_noise_is_exact():
    examples = tiny_examples()
    divided, smaller = (divide(examples, gold=g, noise=0.4, seed=3) for g in (0.2, 0.1))
    assert sorted([*divided.gold, *divided.silver]) == examples.train.tolist()
    assert set(smaller.gold) < set(divided.gold)
    for rows in (divided.gold, divided.silver):
        lost = (examples.targets[rows] > divided.noisy[rows]).sum()
        assert lost == round(0.4 * examples.targets[rows].sum())
    rest = np.setdiff1d(np.arange(len(examples.targets)), examples.train)
    assert (divided.noisy[rest] == examples.targets[rest]).all()


@pytest.mark.parametrize("gold", [0.0, 0.01, 1.0])
def test_an_empty_gold_or_silver_set_is_an_error(gold):
    with pytest.raises(InputError, match=r"gold .* of 40 images; expected some gold and some silver"):
        divide(tiny_examples(), gold=gold, noise=0.4, seed=0)


def test_crops_of_single_objects_join_the_single_label_images_of_the_embedded_set():
    images, examples = Source().load(), load_examples(Source())
    whole, crops = np.split(examples.single, [len(examples.single) - len(images.crops.classes)])
    assert (len(whole), len(crops)) == (79, 1947)
    assert crops.tolist() == list(range(len(images.inputs), len(examples.inputs)))
    assert np.array_equal(examples.inputs[crops], images.crops.features)
    assert np.array_equal(examples.single_classes[79:], images.crops.classes)
    assert np.isin(whole, images.train).all() and (images.targets[whole].sum(axis=1) == 1).all()


def test_caps_keep_at_most_so_many_of_each_class():
    classes = np.array([2, 0, 0, 0, 1, 1])
    assert len(capped(classes, None, 0)) == 6
    assert np.bincount(classes[capped(classes, 2, 0)]).tolist() == [2, 2, 1]
    assert capped(classes[:0], 2, 0).tolist() == []


@pytest.mark.parametrize("single", [(0, 0, 0, 1), ()])
def test_a_class_without_a_single_label_image_borrows_a_regulator_and_is_counted(monkeypatch, single):
    examples = tiny_examples(single=single)
    monkeypatch.setattr(MatrixEstimates, "examples", lambda self: examples)
    monkeypatch.setattr(SilverClassifier, "examples", lambda self: examples)
    silver = SilverClassifier(**FIELDS).compute([])
    estimate = MatrixEstimates(**FIELDS).compute([silver])
    assert estimate.values["borrowed_regulators"] == 5 - len(set(single))
    assert estimate.values["single_label_images"] == len(single)
    assert np.allclose(estimate.arrays["galc_slr"].sum(axis=1), 1)


@pytest.mark.parametrize("bad, what", [(np.nan, "NaN or infinite"), (-0.1, "negative")])
def test_a_bad_matrix_is_an_error_before_training(monkeypatch, bad, what):
    examples = tiny_examples()
    monkeypatch.setattr(GoldClassifier, "examples", lambda self: examples)
    matrix = np.eye(5)
    matrix[3, 1] = bad
    with pytest.raises(InputError, match=f"corruption matrix: row 3 has {what} entries"):
        GoldClassifier(**FIELDS, method="glc").compute([Result({}, {"glc": matrix})])


def gradient(loss, logits, targets):
    logits = logits.detach().clone().requires_grad_()
    loss(logits, targets).backward()
    return logits.grad


@pytest.mark.parametrize("method", METHODS)
def test_gold_images_never_pass_through_the_matrix(method):
    """A batch of trusted images only: every method's loss is plain ASL, whatever the matrix."""
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.cat([torch.eye(4).repeat(2, 1)[:6], torch.ones(6, 1)], dim=1)
    found = gradient(SilverGoldLoss(WAYS[method], torch.rand(4, 4)), logits, targets)
    plain = gradient(SilverGoldLoss(WAYS["asl + clean gold"], None), logits, targets)
    torch.testing.assert_close(found, plain)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("method", ["galc_slr", "galc_slr as written", "galc_slr as written, clipped", "true matrix"])
def test_the_corrected_losss_gradient_is_that_of_asl_of_c_g(method):
    """In closed form as by automatic differentiation, where C'g is cut off too, and with gold images among them."""
    draws = torch.Generator().manual_seed(0)
    logits, matrix = 4 * torch.randn(2, 9, 4, generator=draws), torch.rand(2, 4, 4, generator=draws)
    targets = (torch.rand(2, 9, 5, generator=draws) < 0.4).float()
    targets[0, 0, :4] = -1

    def written_out(logits, targets):
        labels, trusted = targets[..., :-1], targets[..., -1:] > 0
        observed = corrected_probabilities(torch.sigmoid(logits), matrix, floor=WAYS[method].floor)
        return asymmetric_loss_of_probabilities(torch.where(trusted, torch.sigmoid(logits), observed), labels)

    observed = corrected_probabilities(torch.sigmoid(logits), matrix, floor=None)
    assert (observed > 1).any()
    found = gradient(SilverGoldLoss(WAYS[method], matrix), logits, targets)
    torch.testing.assert_close(found, gradient(written_out, logits, targets), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("matrix", [torch.eye(4), torch.full((4, 4), 0.9)])
def test_with_a_second_sigmoid_silver_images_have_a_bounded_loss_of_c_g_as_logits(matrix):
    """Its gradient is that of ASL of C'g as logits; the second image is gold, and its loss is that of g as ever."""
    logits = torch.tensor([[30.0, -30.0, 2.0, -2.0]] * 2)
    targets = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0, 1.0]])  # the last column: trusted

    def written_out(logits, targets):
        return asymmetric_loss(torch.sigmoid(logits[:1]) @ matrix, targets[:1, :-1]) + asymmetric_loss(
            logits[1:], targets[1:, :-1]
        )

    found = gradient(SilverGoldLoss(WAYS["identity, second sigmoid"], matrix), logits, targets)
    torch.testing.assert_close(found, gradient(written_out, logits, targets), rtol=1e-4, atol=1e-6)
    silver = asymmetric_loss(torch.sigmoid(logits[:1]) @ matrix, targets[:1, :-1])
    assert silver < 5, "bounded, though two labels are as wrong as can be"


def test_asl_on_mixtures_is_trained_for_what_both_images_cost():
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, generator=draws)
    own, their = (torch.randint(-1, 2, (3, 4), generator=draws).float() for _ in range(2))

    def written_out(logits, targets):
        return 0.3 * asymmetric_loss(logits, own) + 0.7 * asymmetric_loss(logits, their)

    targets = torch.cat([own, their, torch.full((3, 1), 0.3)], dim=1)
    found = gradient(SilverGoldLoss(WAYS[MIXUP], None), logits, targets)
    torch.testing.assert_close(found, gradient(written_out, logits, targets), rtol=1e-4, atol=1e-6)


def test_asl_on_mixtures_is_the_same_whoever_shares_its_pass_and_another_than_plain_asl():
    low, high = (GoldClassifier(**FIELDS | {"noise": noise}, method=MIXUP) for noise in (0.2, 0.6))
    together = GoldClassifier.compute_together([low, high], [[], []])
    for alone, beside in zip([low.compute([]), high.compute([])], together, strict=True):
        assert alone.values == beside.values
        np.testing.assert_equal(alone.arrays, beside.arrays)
    plain = GoldClassifier(**FIELDS | {"noise": 0.6}, method="asl").compute([])
    assert together[1].values["map"] != plain.values["map"]


def test_reweighted_asl_takes_wrong_labels_less_seriously_and_is_asl_where_rates_are_zero():
    logits, targets = torch.tensor([[-2.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, -1.0, 0.0]])
    plain = gradient(SilverGoldLoss(WAYS["asl"], None), logits, targets)
    none = gradient(SilverGoldLoss(WAYS[T_ESTIMATOR], torch.zeros(2, 3)), logits, targets)
    torch.testing.assert_close(none, plain)
    rates = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.5, 0.5]])  # added, lost
    found = gradient(SilverGoldLoss(WAYS[T_ESTIMATOR], rates), logits, targets) / plain
    p = torch.sigmoid(torch.tensor(2.0))
    expected = (1 - p) / (0.1 + 0.9 * (1 - p)), (1 - p) / (1 - 0.5 * p)  # P(class) / P(given label)
    torch.testing.assert_close(found[0, :2], torch.stack(expected))
    assert (found[0, :2] < 0.6).all() and torch.isnan(found[0, 2])


def test_the_t_estimate_is_the_same_whoever_shares_its_pass():
    low, high = (TransitionEstimates(**FIELDS | {"noise": noise}) for noise in (0.2, 0.6))
    together = TransitionEstimates.compute_together([low, high], [[], []])
    for spec, result in zip((low, high), together, strict=True):
        alone = spec.compute([])
        assert alone.values == result.values
        np.testing.assert_array_equal(alone.arrays["rates"], result.arrays["rates"])
    lost = [result.values["rows"][-1]["lost_counted"] for result in together]  # the last row is of all classes
    assert lost == pytest.approx([0.2, 0.6], abs=0.03)
    by_way = {row["decided_by"]: row["classes"] for row in together[0].values["rows"]}
    assert by_way["pairs of labels"] + by_way["predictions (Dual-T)"] == by_way["either"] == 80
    assert all(result.arrays["rates"].shape == (2, 80) for result in together)


def test_the_t_estimate_knows_no_true_label():
    spec, rng = TransitionEstimates(**FIELDS), np.random.default_rng(0)
    labels, said = (rng.random((300, 6)) < 0.4).astype(np.int8), rng.random((300, 6))
    truths = labels, rng.permutation(labels)
    one, other = (spec._decided(truth, labels, said, -np.log(said)) for truth in truths)
    np.testing.assert_array_equal(one.arrays["rates"], other.arrays["rates"])
    assert one.values["rows"][-1]["lost_counted"] == 0 < other.values["rows"][-1]["lost_counted"]


def test_no_table_of_rates_is_written_where_nothing_was_estimated(study, tmp_path):
    out = ArtefactWriter("galc_slr", "smoke", tmp_path, {})
    none = replace(study, transitions=study.transitions[:0])
    assert tables.transition_table(none, out).empty and not list(tmp_path.rglob("transition_rates.*"))
    assert len(tables.transition_table(study, ArtefactWriter("galc_slr", "smoke", tmp_path / "all", {}))) == 3 * 3
    assert (tmp_path / "all" / "transition_rates.csv").exists()


def test_the_matrix_as_written_leaves_silver_images_no_gradient_under_a_second_sigmoid_either():
    logits, targets = torch.zeros(2, 80), torch.zeros(2, 81)  # g = 1/2 everywhere, C'g = 20
    targets[:, 0] = 1
    loss = SilverGoldLoss(WAYS["galc_slr as written, second sigmoid"], torch.full((80, 80), 0.5))
    assert gradient(loss, logits, targets).abs().max() == 0
    corrected = SilverGoldLoss(WAYS["identity, second sigmoid"], torch.eye(80))
    assert gradient(corrected, logits, targets).abs().max() > 0.05


def test_the_sigmoid_takes_the_gradient_of_absent_labels_away():
    logits, labels = np.array([[3, -2, -2, 3]], dtype=np.float32), np.array([[1, 0, 0, 0]])
    written = 1 / (1 + np.exp(-3 * np.eye(4)))
    effect = silver_gradient(logits, labels, written, None)
    assert effect["above_one"] == 1 and effect["from_absent"] == 0 and effect["with_gradient"] == 0.25
    assert silver_gradient(logits, labels, written, 1e-6)["with_gradient"] == 0
    assert silver_gradient(logits, labels, np.eye(4), 1e-6)["from_absent"] > 0
