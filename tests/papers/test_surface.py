"""Other rates and lengths: images held out are training images, and they alone choose."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from nlcore.data.source import Source
from nlcore.papers import paper
from nlcore.papers.surface import (
    HeldOutSource,
    SurfaceRun,
    at_chosen_points,
    chosen_points,
    joined,
    surface_row,
    surface_runs,
)
from nlcore.papers.surface_report import Shown, gains_table, points_table
from nlcore.report.writer import ArtefactWriter
from nlcore.runs.job import make_jobs

PAPERS = ("multi_al", "missing_label_al", "galc_slr")


def points(name, kind=SurfaceRun):
    return [spec for spec in paper(name).grid("smoke").main if type(spec) is kind]


@pytest.mark.parametrize("source", [Source(min_labels=2), Source(data="simulated", images=3000, test_images=500)])
def test_a_fifth_of_the_training_images_stands_in_the_place_of_the_test_images(source):
    images, held = source.load(), HeldOutSource(**dict(source))
    found = held.load()
    assert len(found.test) == pytest.approx(0.2 * len(images.train), rel=0.03)
    assert held.sizes() == pytest.approx((len(found.train), len(found.test)), rel=0.03)
    often = images.targets[images.train].sum(axis=0) >= 20
    shares = found.targets[found.test].sum(axis=0)[often] / images.targets[images.train].sum(axis=0)[often]
    assert np.all(np.abs(shares - 0.2) < 0.1)  # of every class that has images enough
    assert sorted([*found.train, *found.test]) == sorted(images.train)
    assert not set(found.test) & set(images.test)
    assert found.inputs is images.inputs  # of many images one copy is enough
    assert np.array_equal(held.load().test, found.test)
    assert held != source


def test_the_run_is_the_papers_own_on_other_images():
    held = next(run for run in points("multi_al") if run.judged == "held out" and run.run.noise is not None)
    tested = SurfaceRun(run=held.run, judged="test")
    assert held.placed().source == HeldOutSource(**dict(held.source))
    assert len({held.key, tested.key, held.run.key}) == 3
    (own,), (same,), (other,) = (spec.compute_together([spec], [[]]) for spec in (held.run, tested, held))
    assert all(np.array_equal(own.arrays[name], same.arrays[name]) for name in own.arrays)
    assert not np.array_equal(own.arrays["map"], other.arrays["map"])
    seen = np.concatenate([other.arrays["chosen"].ravel(), *held.placed().labelled([held.placed()])[0].initial])
    assert not set(seen) & set(held.placed().source.load().test)


def test_another_code_of_the_run_is_another_point(monkeypatch):
    run = points("multi_al")[0]
    before = run.data_fingerprint()
    assert before == run.run.key
    changed = run.run.model_copy(update={"protocol": run.protocol.model_copy(update={"epochs": 3})})
    assert SurfaceRun(run=changed, judged=run.judged).key != run.key


def test_what_a_point_needs_first_is_trained_without_the_images_held_out():
    run = next(spec for spec in points("galc_slr") if spec.run.method == "galc_slr")
    (estimate,) = run.requires()
    (classifier,) = estimate.requires()
    assert type(estimate.run).__name__ == "MatrixEstimates" and type(classifier.run).__name__ == "SilverClassifier"
    assert estimate.judged == classifier.judged == "held out"
    divided, held = classifier.placed().divided(), set(HeldOutSource(**dict(run.source)).load().test)
    assert not set(divided.both) & held
    images = classifier.placed().source.load()
    assert len(images.crops.rows) and not set(images.crops.rows) & held  # nor are single objects cut from these
    assert estimate.shared_pass() is None


@pytest.mark.parametrize("name", PAPERS)
def test_every_method_is_at_every_point_on_both_kinds_of_images(name):
    specs = paper(name).grid("smoke").main
    runs = [spec for spec in specs if type(spec) is SurfaceRun]
    held = {_like(spec.run) for spec in runs if spec.judged == "held out"}
    tested = {_like(spec.run) for spec in runs if spec.judged == "test"} | {_like(spec) for spec in specs} & held
    assert held == tested
    lengths = {(run.protocol.epochs, run.protocol.learning_rate) for run in held}
    assert len(lengths) == 3
    jobs = [job for job in make_jobs(runs) if len(job.specs) > 1]
    assert jobs and all(len({(spec.judged, spec.protocol) for spec in job.specs}) == 1 for job in jobs)


def _like(run):
    """A run but for the share of clean images, which paper 2 has of all."""
    protocol = getattr(run, "protocol", None)
    return run.model_copy(update={"protocol": protocol.model_copy(update={"clean_share": 0.1})}) if hasattr(
        protocol, "clean_share") else run  # fmt: skip


def test_as_many_images_are_clean_where_some_are_held_out():
    held = next(run for run in points("missing_label_al") if run.judged == "held out")
    tested = next(run for run in points("missing_label_al") if run.judged == "test")
    splits = [run.placed().labelled([run.placed()])[0] for run in (held, tested)]
    assert splits[0].initial.shape == splits[1].initial.shape
    assert splits[0].pool.shape[1] < splits[1].pool.shape[1]


def test_a_profile_with_fewer_seeds_has_a_surface_of_these():
    seeds = {spec.seeds for spec in paper("multi_al").grid("smoke", seeds=[1]).main if type(spec) is SurfaceRun}
    assert seeds == {(1,)}
    assert not [s for s in paper("multi_al").grid("smoke", seeds=[7]).main if type(s) is SurfaceRun]


class Run:
    """Stands for a run: its point."""

    def __init__(self, epochs, rate):
        self.protocol = type("Protocol", (), {"epochs": epochs, "learning_rate": rate})


def surface(values, held_out):
    """values, held_out: method -> mAP at (20, 0.1), (20, 0.01) and (40, 0.1), the first the profile's own."""
    rng = np.random.default_rng(0)

    def rows(said):
        for method, seed in ((method, seed) for method in said for seed in range(3)):
            for point, value in zip(((20, 0.1), (20, 0.01), (40, 0.1)), said[method], strict=True):
                curve = value + np.array([-3.0, 1.0, 0.0]) + rng.normal(scale=1e-3)
                yield surface_row(Run(*point), method, seed, curve, map=curve[-1])

    return joined(rows(values), rows(held_out))


def test_each_method_gets_the_point_that_images_held_out_prefer_whatever_the_test_images_say():
    found = surface({"a": [50, 60, 70], "b": [50, 60, 70]}, {"a": [30, 20, 10], "b": [10, 20, 30]})
    best = chosen_points(found).set_index("method")
    assert best.loc["a"].tolist() == [20, 0.1, 3] and best.loc["b"].tolist() == [40, 0.1, 3]
    assert at_chosen_points(found).groupby("method")["map"].mean().round().to_dict() == {"a": 50, "b": 70}
    assert np.allclose(found.stopped, found["map"] + 1, atol=0.01)  # both curves are highest one epoch earlier


def test_of_equal_points_the_profiles_own_is_taken():
    rows = [surface_row(Run(*point), "a", 0, np.array([1.0]), map=1.0) for point in ((40, 0.1), (20, 0.01))]
    assert chosen_points(joined(rows, rows)).iloc[0].tolist() == ["a", 40, 0.1, 1]


def test_a_point_that_lacks_seeds_is_no_choice_and_seeds_that_choose_otherwise_are_counted():
    found = surface({"a": [50, 60, 70]}, {"a": [30, 20, 10]})
    assert chosen_points(found[~((found.epochs == 40) & (found.seed == 2))]).empty
    turned = found.assign(held_out=found.held_out.mask((found.seed == 2) & (found.epochs == 40), 31.5))
    assert chosen_points(turned).iloc[0].tolist() == ["a", 20, 0.1, 2]


def test_a_row_without_a_partner_stays_in_the_figure_and_out_of_the_choice():
    rows = [surface_row(Run(20, 0.1), "a", seed, np.array([1.0, 2.0]), map=2.0) for seed in range(2)]
    found = joined(rows, rows[:1])
    assert len(found) == 2 and found.held_out.tolist()[0] == 2 and np.isnan(found.held_out[1])
    assert at_chosen_points(found).seed.tolist() == [0]


def test_without_images_held_out_nothing_is_chosen():
    rows = [surface_row(Run(20, 0.1), "a", seed, np.array([1.0]), map=1.0) for seed in range(2)]
    found = joined(rows, [])
    assert found.held_out.isna().all() and not len(chosen_points(found)) and not len(at_chosen_points(found))
    expected = ["epochs", "learning_rate", "method", "seed", "trained", "map", "held_out", "stopped"]
    assert list(joined([], []).columns) == expected


def test_tables_say_who_is_ahead_at_one_rate_for_all_and_at_each_ones_own(tmp_path):
    found = surface({"a": [50, 60, 70], "b": [50, 55, 60]}, {"a": [30, 20, 10], "b": [10, 20, 30]})
    out, shown = ArtefactWriter("p", "smoke", tmp_path, {}), Shown({"a": "A", "b": "B"}, 0.4, "all run", "none")
    table = points_table(found, shown, out, deviations="")
    assert table[table.chosen != ""].chosen.tolist() == ["by 3 of 3 seeds alone; at the edge"] * 2
    assert table[table.chosen != ""][["method", "epochs", "learning rate"]].to_numpy().tolist() == [
        ["A", 20, 0.1], ["B", 40, 0.1]]  # fmt: skip
    gains = gains_table(found, shown, combinations("ab", 2), out, deviations="").set_index("for")["A minus B"]
    said = [float(text.split()[0]) for text in gains]
    assert np.allclose(said, [5, 0, 10, -10], atol=0.1)
    assert gains.index.tolist() == ["all methods"] * 3 + ["each method its own"]
    stored = pd.read_csv(out.folder / "epochs_by_rate_gains.csv")
    assert stored.epochs.tolist()[:3] == [20, 20, 40] and np.isnan(stored.epochs[3])


def test_where_nothing_was_held_out_tables_say_so_and_have_no_row_for_a_choice(tmp_path):
    rows = [surface_row(Run(*point), method, seed, np.array([1.0]), map=1.0 + seed)
            for point in ((20, 0.1), (40, 0.1)) for method in "ab" for seed in range(3)]  # fmt: skip
    found, shown = joined(rows, []), Shown({"a": "A", "b": "B"}, 0.4, "all run", "none")
    out = ArtefactWriter("p", "smoke", tmp_path, {})
    assert "chosen" not in points_table(found, shown, out, deviations="")
    assert gains_table(found, shown, combinations("ab", 2), out, deviations="")["for"].tolist() == ["all methods"] * 2
    assert "No images were held out" in (out.folder / "rates.md").read_text()


@pytest.mark.parametrize("name", PAPERS)
def test_surface_runs_judge_the_profiles_own_point_on_images_held_out_alone(name):
    own = points(name)[0].protocol
    runs = list(surface_runs([own, own], lambda protocol, judged: [points(name)[0].run]))
    assert [run.judged for run in runs] == ["held out", "held out", "test"]
