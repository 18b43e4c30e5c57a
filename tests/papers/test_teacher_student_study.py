"""The study from end to end at the smallest scale: runs, tables, figures, keys."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from nlcore.errors import InputError
from nlcore.papers.teacher_student import PAPER, figures, tables
from nlcore.papers.teacher_student.claims import CHOSEN, OWN, by_reading, decide_claims, other_rates, readings_atlas
from nlcore.papers.teacher_student.fetches import FlippedFeatures
from nlcore.papers.teacher_student.problem import Chosen, flip
from nlcore.papers.teacher_student.protocol import METHODS, Protocol
from nlcore.papers.teacher_student.runs import Labels, Method, Network
from nlcore.papers.teacher_student.study import load_study
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Store, run_grid, with_requirements

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(smoke_store):
    run_grid(PAPER.grid("smoke").main, smoke_store, workers=0)
    return smoke_store


@pytest.fixture(scope="module")
def study(store):
    return load_study(PAPER.grid("smoke").main, store)


def test_every_artefact_of_the_contract_is_made_with_its_series(study, store, tmp_path):
    contract = PAPER.contract.artefacts()
    out = ArtefactWriter("teacher_student", "smoke", tmp_path, contract)
    for make in (tables.table_1, tables.quality_table, tables.table_2, tables.table_3, tables.activation_table,
                 tables.corrections, tables.equal_budgets, tables.rates_table,
                 tables.stages_table, tables.verified_positives, figures.figure_1, figures.figure_4, figures.figure_5,
                 figures.figure_6, figures.correction_figure, tables.exact_counts):  # fmt: skip
        make(study, out)
    for table in ("table_4", "table_5", "table_6"):
        tables.ablation_table(study, out, table)
    figures.figure_2(out)
    figures.figure_3(out)
    out.finish(PAPER.grid("smoke").main, store, verdicts=decide_claims(study), reads=PAPER.reads)
    manifest = json.loads((out.folder / "manifest.json").read_text())
    assert manifest["not_made"] == []
    assert {"5 % clean", "50 % clean"} <= set(pd.read_csv(out.folder / "exact_counts.csv")["at"])
    assert manifest["seeds"] == [0, 1]
    for panel, metric in (("a", "mAP"), ("b", "AP_all")):
        frame = pd.read_csv(out.folder / f"fig_5{panel}.csv")
        assert list(dict.fromkeys(frame.series)) == contract["fig_5"]["series"]
        assert frame[metric].between(0, 1).all()
        assert set(frame.seed) == {0, 1}
    assert pd.read_csv(out.folder / "table_2.csv").series.tolist() == list(METHODS)
    assert set(pd.read_csv(out.folder / "fig_6.csv").series) == {"noisy", "finetune_whole", "proposed"}
    assert set(readings_atlas(study).claim) == {"ts1", "ts2", "ts3", "ts8"}


def test_behind_an_artefact_stand_the_runs_that_it_shows(study):
    specs = PAPER.grid("smoke").main
    behind = {id: [spec for spec in specs if PAPER.reads(id)(spec)] for id in PAPER.contract.artefacts()}
    assert behind["table_1"] == [specs[0]] and isinstance(specs[0], Labels)
    assert behind["fig_2"] == behind["table_3"] == []
    assert {spec.activation for spec in behind["table_4"]} == {"sigmoid", "linear"}
    assert {spec.method for spec in behind["table_2"]} == set(METHODS)
    assert all(spec.budget is None and spec.labels == "hard" for spec in behind["table_2"])
    assert any(PAPER.reads("why_equal_budgets")(spec) and spec.budget for spec in specs[1:])
    assert not PAPER.reads("why_equal_budgets")(specs[0])


def test_other_rates_stand_apart_and_take_the_place_of_all_that_ran_with_them(study):
    lower, longer, chosen = other_rates(study).values()
    assert set(study.scores.columns) == set(study.surface.columns) - {"reading"}
    value = lambda scores, series, fraction: (
        replace(study, scores=scores).values(series, fraction, "AP_all").sort_index().tolist()
    )
    own = by_reading(study).query("reading == @OWN")
    for series in ("noisy", "finetune_last", "proposed", "linear"):
        assert value(lower, series, 0.05) != value(study.scores, series, 0.05)
        assert len(value(lower, series, 0.05)) == len(value(own, series, 0.05)) == 2
    assert value(lower, "proposed", 0.5) == [], "not run"
    assert value(longer, "finetune_last", 0.05) == value(study.scores, "finetune_last", 0.05), "left as it is"
    assert value(longer, "tanh", 0.05) != value(study.scores, "tanh", 0.05)
    assert set(chosen.reading) <= {OWN, "lower rates", "longer joint training"}


def test_a_method_gets_the_rates_that_its_validation_part_chooses_whatever_the_test_part_says(study):
    judged = study.surface.metric == "validation_AP_all"
    best = study.surface.reading == "lower rates"
    favoured = study.surface.assign(value=study.surface.value.where(~(judged & best), 2.0))
    chosen = other_rates(replace(study, surface=favoured))[CHOSEN]
    assert set(chosen.reading) == {"lower rates"}
    favoured = study.surface.assign(value=study.surface.value.where(~(~judged & best), 2.0))
    same, unmoved = other_rates(replace(study, surface=favoured))[CHOSEN], other_rates(study)[CHOSEN]
    assert same.reading.tolist() == unmoved.reading.tolist()


def test_of_equal_rates_the_profiles_own_are_chosen(study):
    own = by_reading(study).query("reading == @OWN")
    same = own.assign(reading="a twin")
    assert set(other_rates(replace(study, surface=same))[CHOSEN].reading) == {OWN}


def test_a_reading_decides_only_what_it_ran_and_over_its_own_seeds(study):
    for scores in other_rates(study).values():
        (decided,) = decide_claims(replace(study, scores=scores), "ts3")
        ran = {part.name: part.estimate.pairs if part.estimate else 0 for part in decided.parts}
        assert [pairs for name, pairs in ran.items() if "at 5%" in name] == [2, 2]
        assert [pairs for name, pairs in ran.items() if "at 10%" in name] == [0, 0]


def test_stages_keep_every_field_that_is_not_of_joint_training_or_of_one_method():
    later = {"embedding", "verified_per_batch", "threshold", "cleaning_weight", "classification_weight", "teacher_rate",
             "student_rate", "joint_passes", "finetune_passes", "reading"}  # fmt: skip
    other = Protocol(**{name: 0.5 if name == "threshold" else "x" if name == "reading" else 7 for name in
                        Protocol.model_fields})  # fmt: skip
    kept = {name for name in Protocol.model_fields if getattr(other.of_stages, name) == getattr(other, name)}
    assert kept == set(Protocol.model_fields) - later


def test_verified_sets_are_nested_and_apart_from_validation_and_test(study):
    problem = study.problem(0)
    small, large = (set(problem.verified(f)[0].tolist()) for f in (0.05, 0.3))
    assert small < large
    rest = set(problem.verified(0.3)[1].tolist())
    parts = [large, rest, set(problem.validation.tolist()), set(problem.test.tolist())]
    assert len(set.union(*parts)) == sum(map(len, parts)) == len(problem.clean)


def test_an_empty_verified_set_is_told(study):
    with pytest.raises(InputError, match=r"verified set: empty, 0\.0001 of"):
        study.problem(0).verified(0.0001)


def test_a_threshold_outside_of_0_and_1_is_no_protocol():
    for threshold in (0, 1, 2):
        with pytest.raises(ValueError, match="threshold"):
            Protocol(threshold=threshold)


def test_the_weights_of_the_two_losses_change_next_to_nothing(study, store):
    """Each head has a loss of its own, and RMSProp divides a gradient by its size."""
    spec = next(s for s in study.specs if isinstance(s, Method) and s.method == "proposed" and s.seed == 1)
    inputs = [store.result(required) for required in spec.requires()]
    told, changes = {}, {"as it is": {}, "heavy": {"cleaning_weight": 1.0}, "higher rate": {"teacher_rate": 3e-2}}
    for name, change in changes.items():
        protocol = spec.protocol.model_copy(update=change)
        told[name] = spec.model_copy(update={"protocol": protocol}).compute(inputs).values["teacher_mAP"]
    assert told["heavy"] == pytest.approx(told["as it is"], abs=1e-3)
    assert told["higher rate"] != pytest.approx(told["as it is"], abs=1e-3)


def test_a_run_does_not_depend_on_the_others(study, store, tmp_path):
    spec = next(s for s in study.specs if isinstance(s, Method) and s.method == "proposed" and s.seed == 1)
    alone = Store(tmp_path)
    run_grid([spec], alone, workers=0)
    np.testing.assert_array_equal(
        alone.result(spec).arrays["probabilities"], store.result(spec).arrays["probabilities"]
    )


def test_the_last_layer_on_the_features_is_the_noisy_network(study, store):
    specs = with_requirements(PAPER.grid("smoke").main)
    network = next(spec for spec in specs if isinstance(spec, Network) and spec.labels == "noisy")
    arrays = store.result(network).arrays
    logits = arrays["features"] @ arrays["last/weight"].T + arrays["last/bias"]
    test = study.problem(network.seed).test.numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[test])), arrays["probabilities"], atol=1e-5)


def test_an_unfinished_grid_is_told_and_shown_in_part_when_asked(store):
    wider = PAPER.grid("smoke", seeds=[0, 1, 7]).main
    with pytest.raises(InputError, match=r"not finished"):
        load_study(wider, store)
    assert (load_study(wider, store, partial=True).seed_counts().unfinished > 0).all()
    with pytest.raises(InputError, match="no finished run"):
        load_study(PAPER.grid("smoke", seeds=[8]).main, store, partial=True)


def test_flips_mirror_along_both_axes():
    images = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2).expand(64, 3, 2, 2)
    seen = {tuple(image[0].flatten().tolist()) for image in flip(images, torch.Generator().manual_seed(0))}
    assert seen == {(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)}


def test_features_of_mirror_images_are_drawn_as_images_are_flipped():
    images = torch.randint(256, (50, 3, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    plain, *copies = (images.flip(axes).flatten(1).float().numpy() for axes in ((), (3,), (2,), (2, 3)))
    targets, rows = torch.arange(50).view(50, 1) % 2, torch.tensor([9, 4, 4, 0, 39, 30])
    mirrored, options = np.stack(copies)[:, :40], {"device": torch.device("cpu")}  # the last ten are not trained on
    fetch = FlippedFeatures(plain, mirrored, targets, generator=torch.Generator().manual_seed(2), **options)
    again = torch.Generator().manual_seed(2)
    for _ in range(10):
        features, labels = fetch(rows)
        assert torch.equal(features, flip(images[rows], again).flatten(1).float())
        assert torch.equal(labels, targets[rows].float())


def test_chosen_images_are_read_when_they_are_asked_for_and_no_others():
    class Watched:
        shape, asked = (10, 2, 2, 3), []

        def __getitem__(self, rows):
            self.asked += np.asarray(rows).tolist()
            return np.zeros((len(rows), 2, 2, 3), np.uint8)

    images, rows = Watched(), np.array([9, 4, 2])
    chosen = Chosen(images, rows)
    assert (chosen.shape, chosen.nbytes, len(chosen)) == ((3, 2, 2, 3), 36, 3)
    assert images.asked == []
    chosen[np.array([2, 0])]
    chosen[1:]
    assert images.asked == [2, 9, 4, 2]
