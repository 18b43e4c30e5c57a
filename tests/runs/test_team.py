"""One run in several processes: what one process gives, also when one of them dies, and on whose GPUs and cores."""

import json

import numpy as np
import pytest

from nlcore.app.cli import main
from nlcore.errors import InputError
from nlcore.papers.teacher_student import features
from nlcore.runs import Store, make_engine, plan_grid, run_grid, run_grids
from nlcore.runs.job import Job, make_jobs
from nlcore.runs.local import LocalEngine
from nlcore.training import distributed
from nlcore.training.state_file import SECONDS
from tests.runs.dividing import Trained
from tests.runs.test_grid import records
from tests.runs.trivial import Placed, Square

GIB = 2**30


def together(spec, root, *, gpus_per_run=2):
    store = Store(root)
    engine = make_engine(workers=gpus_per_run)
    run_grids({"runs": plan_grid([spec], store)}, store, engine, gpus_per_run=gpus_per_run)
    return store


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process gives."""
    store = Store(tmp_path_factory.mktemp("alone"))
    run_grid([Trained()], store, workers=0)
    return store.result(Trained())


def same(result, other):
    assert result.values == other.values
    for name, array in other.arrays.items():
        np.testing.assert_allclose(result.arrays[name], array, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_processes_that_share_a_training_give_what_one_gives_under_the_same_key(alone, tmp_path):
    """Three: of the last batch's two images one of them has none."""
    store = together(Trained(), tmp_path, gpus_per_run=3)
    same(store.result(Trained()), alone)
    assert list(records(tmp_path)) == [store.path(Trained()).name]
    assert not store.scratch(Trained()).exists()
    (line,) = map(json.loads, (tmp_path / "costs.jsonl").read_text().splitlines())
    assert line["seconds"] == pytest.approx(store.read(Trained()).seconds, rel=0.01), "of all three cores"


@pytest.mark.slow
def test_a_team_of_which_one_is_killed_goes_on_from_its_checkpoint_to_the_same_result(alone, tmp_path, monkeypatch):
    monkeypatch.setenv(SECONDS, "0")
    spec = Trained(marks=str(tmp_path), ends=(("first", 2, "killed"), ("other", 3, "killed")))
    same(together(spec, tmp_path / "store").result(spec), alone)
    made = [int(epoch) for epoch in (tmp_path / "first").read_text().split()]
    assert made[:3] == [1, 1, 2], "the model and its average; then it was killed"
    assert made[3:5] == [2, 2], "the first epoch was not made again"
    assert [made.count(epoch) for epoch in (1, 4)] == [2, 2]


@pytest.mark.slow
def test_what_another_process_fails_of_is_what_the_run_fails_of(tmp_path):
    spec = Trained(marks=str(tmp_path), ends=(("other", 1, "failed"),))
    with pytest.raises(InputError, match="image 7: unreadable; expected one that decodes"):
        together(spec, tmp_path / "store")
    assert records(tmp_path / "store") == {}


def test_only_divisible_runs_get_several_processes():
    jobs = make_jobs([Trained(), Square(number=1)], gpus_per_run=4)
    assert [job.processes for job in jobs] == [4, 1]
    assert [job.processes for job in make_jobs([Trained(), Square(number=1)])] == [1, 1]


def test_a_job_of_several_processes_has_its_gpus_to_itself():
    pair, single = Job((Placed(number=1, device="cuda"),), processes=2), Job((Placed(number=2, device="cuda"),))
    engine = LocalEngine(8, gpus=[80 * GIB] * 3, runs_per_gpu=4).__enter__()
    first, second = engine._places_for(pair)
    for place in (first, second):
        place.running["pair"] = (pair, None)
    assert not engine.has_room(pair), "one GPU is left"
    (third,) = engine._places_for(single)
    assert {place.variables["CUDA_VISIBLE_DEVICES"] for place in (first, second, third)} == {"0", "1", "2"}
    third.running["single"] = (single, None)
    assert engine._places_for(single) == [third], "beside its like"


def test_a_job_of_several_processes_takes_as_many_cores():
    pair, single = Job((Placed(number=1, device="cpu"),), processes=2), Job((Placed(number=2, device="cpu"),))
    engine = LocalEngine(3, gpus=[]).__enter__()
    engine.cores.running["pair"] = (pair, None)
    assert not engine.has_room(pair)
    assert engine.has_room(single)


def test_more_processes_than_there_are_gpus_or_cores_are_refused_before_any_run(tmp_path):
    store = Store(tmp_path)
    plans = {"runs": plan_grid([Trained(), Square(number=1)], store)}
    with pytest.raises(InputError, match=r"gpus-per-run: found 3; expected at most 2, which one machine has"):
        run_grids(plans, store, make_engine(workers=2), gpus_per_run=3)
    with LocalEngine(8, gpus=[GIB]) as engine:
        assert engine.most_processes(Job((Placed(number=1, device="cuda"),))) == 1
    assert records(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("0", "gpus-per-run: found 0; expected one or more"),
        ("2", "gpus-per-run: found 2; expected 1, as profile smoke trains heads on features"),
    ],
)
def test_a_number_that_cannot_be_is_one_line(number, said, tmp_path, capsys):
    arguments = ["--papers", "galc_slr", "--profile", "smoke", "--store", str(tmp_path), "--gpus-per-run", number]
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_of_processes_that_look_together_one_keeps_the_features(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path))

    def make(array):
        found = array((2, 3))
        found[np.arange(2)] = np.ones((2, 3))
        return found

    token = distributed._team.set(distributed.Team(1, 2))
    features.keep("key", make)
    distributed._team.reset(token)
    assert list(tmp_path.iterdir()) == []
    features.keep("key", make)
    assert np.array_equal(features.mapped("key", make), np.ones((2, 3)))
