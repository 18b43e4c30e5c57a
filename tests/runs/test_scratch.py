"""What a run keeps until it is finished: found again after a kill, gone afterwards."""

import pytest

from nlcore.runs import Result, RunFailedError, Spec, Store, run_grid, scratch_folder
from tests.runs.trivial import Checkpointed, Square


class Interrupted(Spec):
    """Leaves a file, and fails at the first attempt."""

    def compute(self, inputs):
        folder = scratch_folder()
        if folder.exists():
            return Result({"found": sorted(path.name for path in folder.iterdir())})
        folder.mkdir(parents=True)
        (folder / "epoch 1").touch()
        raise RuntimeError("killed, as it were")


def test_a_killed_run_goes_on_from_what_it_left_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "marks").mkdir()
    store, spec = Store(tmp_path / "store"), Checkpointed(marks=str(tmp_path / "marks"))
    run_grid([spec], store, workers=1)
    assert store.result(spec).values == {"count": 2}
    marks = sorted(path.name for path in (tmp_path / "marks").iterdir())
    assert marks == [f"{count} in {spec.key}" for count in range(3)]
    assert list((store.root / "scratch").iterdir()) == []


def test_there_is_no_scratch_folder_outside_a_run_and_none_for_runs_that_do_not_ask(tmp_path):
    store = Store(tmp_path)
    run_grid([Square(number=3)], store, workers=0)
    assert scratch_folder() is None
    assert not (store.root / "scratch").exists()


def test_a_failed_run_keeps_its_scratch_folder_until_it_is_finished_or_forgotten(tmp_path):
    store, spec = Store(tmp_path), Interrupted()
    with pytest.raises(RunFailedError, match="killed, as it were"):
        run_grid([spec], store, workers=0)
    assert scratch_folder() is None
    assert [path.name for path in store.scratch(spec).iterdir()] == ["epoch 1"]
    run_grid([spec], store, workers=0)
    assert store.result(spec).values == {"found": ["epoch 1"]}
    assert not store.scratch(spec).exists()
    store.scratch(spec).mkdir(parents=True)
    store.forget(spec)
    assert not store.scratch(spec).exists()
