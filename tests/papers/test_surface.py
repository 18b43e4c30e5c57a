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
    assert held.sizes() == (len(found.train), len(found.test)) == (round(0.8 * len(images.train)), len(found.test))
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
    assert estimate.shared_pass() is None


@pytest.mark.parametrize("name", PAPERS)
def test_every_method_is_at_every_point_on_both_kinds_of_images(name):
    specs = paper(name).grid("smoke").main
    runs = [spec for spec in specs if type(spec) is SurfaceRun]
    held = {spec.run for spec in runs if spec.judged == "held out"}
    tested = {spec.run for spec in runs if spec.judged == "test"} | {spec for spec in specs if spec in held}
    assert held == tested
    lengths = {(spec.protocol.epochs, spec.protocol.learning_rate) for spec in held}
    assert len(lengths) == 3
    jobs = [job for job in make_jobs(runs) if len(job.specs) > 1]
    assert jobs and all(len({(spec.judged, spec.protocol) for spec in job.specs}) == 1 for job in jobs)


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
    assert best.loc["a"].tolist() == [20, 0.1] and best.loc["b"].tolist() == [40, 0.1]
    assert at_chosen_points(found).groupby("method")["map"].mean().round().to_dict() == {"a": 50, "b": 70}
    assert np.allclose(found.stopped, found["map"] + 1, atol=0.01)  # both curves are highest one epoch earlier


def test_of_equal_points_the_profiles_own_is_taken():
    rows = [surface_row(Run(*point), "a", 0, np.array([1.0]), map=1.0) for point in ((40, 0.1), (20, 0.01))]
    assert chosen_points(joined(rows, rows)).iloc[0].tolist() == ["a", 40, 0.1]


def test_without_images_held_out_nothing_is_chosen():
    rows = [surface_row(Run(20, 0.1), "a", seed, np.array([1.0]), map=1.0) for seed in range(2)]
    found = joined(rows, [])
    assert found.held_out.isna().all() and not len(chosen_points(found)) and not len(at_chosen_points(found))
    assert list(joined([], []).columns) == ["epochs", "learning_rate", "method", "seed", "map", "held_out", "stopped"]


def test_tables_say_who_is_ahead_at_one_rate_for_all_and_at_each_ones_own(tmp_path):
    found = surface({"a": [50, 60, 70], "b": [50, 55, 60]}, {"a": [30, 20, 10], "b": [10, 20, 30]})
    out, shown = ArtefactWriter("p", "smoke", tmp_path, {}), Shown({"a": "A", "b": "B"}, 0.4, "all run", "none")
    table = points_table(found, shown, out, deviations="")
    assert table[table.chosen == "yes"][["method", "epochs", "learning rate"]].to_numpy().tolist() == [
        ["A", 20, 0.1], ["B", 40, 0.1]]  # fmt: skip
    gains = gains_table(found, shown, combinations("ab", 2), out, deviations="").set_index("for")["A minus B"]
    said = [float(text.split()[0]) for text in gains]
    assert np.allclose(said, [5, 0, 10, -10], atol=0.1)
    assert gains.index.tolist() == ["all methods"] * 3 + ["each method its own"]
    stored = pd.read_csv(out.folder / "epochs_by_rate_gains.csv")
    assert stored.epochs.tolist()[:3] == [20, 20, 40] and np.isnan(stored.epochs[3])


@pytest.mark.parametrize("name", PAPERS)
def test_surface_runs_judge_the_profiles_own_point_on_images_held_out_alone(name):
    own = points(name)[0].protocol
    runs = list(surface_runs([own, own], lambda protocol: [points(name)[0].run]))
    assert [run.judged for run in runs] == ["held out", "held out", "test"]
