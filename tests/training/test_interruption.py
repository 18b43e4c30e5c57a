"""Interrupted runs of active learning and single trainings go on to the same result, bit for bit on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nlcore.errors import InputError
from nlcore.training import state_file
from nlcore.training.active import Budget
from nlcore.training.state_file import read_state
from tests.training import interruptible
from tests.training.interruptible import (
    GIVEN,
    LEARNERS,
    Interrupted,
    Interruption,
    finished,
    killed,
    learn_actively,
    same,
    train_images,
)

STEPS = [3 * steps for steps in (2, 4, 5, 7)]  # of the four trainings: three epochs on 8, 14, 20 and 26 images by 4
MEMBERS = {"heads": 2, "images": 1}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def save_always(monkeypatch):
    monkeypatch.setenv(state_file.SECONDS, "0")


@pytest.fixture(scope="module")
def undisturbed():
    """What comes of each kind of run that keeps nothing."""
    return {kind: learn_actively(kind) for kind in LEARNERS}


def interrupt(kind, folder, *at):
    with pytest.raises(Interrupted):
        learn_actively(kind, folder, Interruption(*at))


def resume(kind, folder):
    """The outcome, and how many steps were made for it."""
    event = Interruption()
    return learn_actively(kind, folder, event), event.counts["step"]


# --- in this process ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize(
    ("event", "number", "left"),
    [
        pytest.param("step", 1, sum(STEPS), id="at the very beginning"),
        pytest.param("evaluation", 3, sum(STEPS) - 2, id="first training, second epoch"),
        pytest.param("choice", 1, sum(STEPS[1:]), id="in the first choice"),
        pytest.param("choice", 2, sum(STEPS[2:]), id="in the second choice, all drawn"),
        pytest.param("step", sum(STEPS[:2]) + 1, sum(STEPS[2:]), id="right after the second choice"),
        pytest.param("evaluation", 2 * 6 + 3, sum(STEPS[2:]) - 5, id="training 2, second epoch"),
        pytest.param("evaluation", 4 * 6, 7, id="in the last evaluation"),
    ],
)
def test_interrupted_active_learning_goes_on_to_the_same_result(kind, event, number, left, undisturbed, tmp_path):
    interrupt(kind, tmp_path, event, number * MEMBERS[kind] if event == "choice" and number > 1 else number)
    outcome, steps = resume(kind, tmp_path)
    assert same(outcome, undisturbed[kind])
    assert steps == left


def timed(event, monkeypatch):
    """The event, with a clock that it moves on: a second passes with each step."""
    monkeypatch.setattr(state_file, "monotonic", lambda: float(event.counts["step"]))
    return event


@pytest.mark.parametrize("seconds", [1, 5, 9, 14, 20, 33, 70])
def test_whatever_the_clock_let_be_saved_the_result_is_the_same(seconds, undisturbed, tmp_path, monkeypatch):
    """Some states and trainings get saved before an interruption, and others not."""
    monkeypatch.setenv(state_file.SECONDS, str(seconds))
    moments = np.random.default_rng(seconds).integers(min(3 * seconds, 50), sum(STEPS), size=5)
    for number in (*moments, 0):
        event = timed(Interruption("step", number), monkeypatch)
        try:
            outcome = learn_actively("heads", tmp_path, event)
            break
        except Interrupted:
            pass
    assert same(outcome, undisturbed["heads"])
    kept = seconds < sum(STEPS)
    assert any(tmp_path.iterdir()) == kept
    assert (event.counts["step"] < sum(STEPS)) == kept


def test_a_state_is_not_saved_again_before_its_time(tmp_path, monkeypatch):
    """The trainings take 6, 12, 15 and 21 seconds: 16 have passed before the second choice, and not until the third."""
    monkeypatch.setenv(state_file.SECONDS, "16")
    learn_actively("heads", tmp_path, timed(Interruption(), monkeypatch))
    saved = read_state(tmp_path / "state.safetensors")
    assert [name for name in saved.tensors if name.startswith("chosen/")] == ["chosen/0", "chosen/1"]
    assert len(saved.state["histories"]) == 2


def test_a_process_that_finds_a_training_finished_keeps_the_next_choice_at_once(tmp_path, monkeypatch):
    """Else what it saves of the next training would be of no use to the process after it, each time anew."""
    monkeypatch.setenv(state_file.SECONDS, "12")
    with pytest.raises(Interrupted):
        learn_actively("heads", tmp_path, timed(Interruption("choice", 3 * 2), monkeypatch))
    with pytest.raises(Interrupted):
        learn_actively("heads", tmp_path, timed(Interruption("step", 15), monkeypatch))
    event = timed(Interruption(), monkeypatch)
    learn_actively("heads", tmp_path, event)
    assert event.counts["step"] == 7


def test_a_training_whose_choice_was_not_kept_is_made_again(undisturbed, tmp_path):
    """On a GPU the choice may be another when it is made again."""
    other = np.repeat(1 - GIVEN[None], 2, axis=0)
    with pytest.raises(Interrupted):
        learn_actively("heads", tmp_path, Interruption("evaluation", 6 + 3), given=other)
    (tmp_path / "state.safetensors").unlink()
    assert [file.name for file in tmp_path.iterdir()] == ["training_1.safetensors"]
    outcome, steps = resume("heads", tmp_path)
    assert same(outcome, undisturbed["heads"])
    assert steps == sum(STEPS)


def test_nothing_is_written_without_a_folder_nor_by_a_short_run(undisturbed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learn_actively("heads")
    monkeypatch.delenv(state_file.SECONDS)
    assert same(learn_actively("heads", tmp_path / "run"), undisturbed["heads"])
    assert list(tmp_path.iterdir()) == []


def test_the_folder_holds_the_last_state_and_its_training_only(undisturbed, tmp_path):
    outcome, _ = resume("heads", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["state.safetensors", "training_3.safetensors"]
    again, steps = resume("heads", tmp_path)
    assert steps == 0
    assert same(outcome, again)
    assert same(outcome, undisturbed["heads"])


@pytest.mark.parametrize(
    ("file", "left"), [("state.safetensors", sum(STEPS)), ("training_2.safetensors", sum(STEPS[2:]))]
)
def test_damaged_files_are_set_aside_and_their_part_is_done_again(file, left, undisturbed, tmp_path, capsys):
    interrupt("heads", tmp_path, "evaluation", 2 * 6 + 3)
    content = bytearray((tmp_path / file).read_bytes())
    content[-1000] ^= 4
    (tmp_path / file).write_bytes(content)
    outcome, steps = resume("heads", tmp_path)
    assert same(outcome, undisturbed["heads"])
    assert steps == left
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{tmp_path / file}: damaged (its checksum does not agree): set aside, starting anew"]


def test_a_folder_of_another_run_is_refused_and_left_alone(tmp_path, monkeypatch):
    interrupt("heads", tmp_path, "evaluation", 15)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(InputError, match=r"state.safetensors: a checkpoint of another run \(other budget\)"):
        learn_actively("heads", tmp_path, budget=Budget(16, 4))
    with pytest.raises(InputError, match=r"another run \(other images or labels\)"):
        learn_actively("heads", tmp_path, given=np.repeat(1 - GIVEN[None], 2, axis=0))
    monkeypatch.setattr(interruptible, "RECIPE", replace(interruptible.RECIPE, learning_rate=0.5))
    with pytest.raises(InputError, match=r"another run \(other recipe\)"):
        learn_actively("heads", tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


# --- in processes that get a SIGKILL ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "left"),
    [
        pytest.param(("step", 3), sum(STEPS) - 2, id="first training, in mid-epoch"),
        pytest.param(("step", sum(STEPS[:2]) + 1), sum(STEPS[2:]), id="right after the second choice"),
        pytest.param(("step", sum(STEPS[:2]) + 12), sum(STEPS[2:]) - 10, id="training 2, in mid-epoch"),
    ],
)
def test_killed_active_learning_on_images_goes_on_to_the_same_result(at, left, undisturbed, tmp_path):
    killed(learn_actively, "images", tmp_path, at=at)
    outcome, events = finished(learn_actively, "images", tmp_path)
    assert same(outcome, undisturbed["images"])
    assert events["step"] == left


def test_a_training_killed_three_times_goes_on_to_the_same_result(tmp_path):
    """In the second step of epochs 2, 4 and 6 of a training of eight."""
    file = tmp_path / "run.safetensors"
    outcome = train_images()
    for _ in range(3):
        killed(train_images, file, at=("step", 2 * 6 + 2))
    resumed, events = finished(train_images, file)
    assert same(outcome, resumed)
    assert events == {"step": 2 * 6, "evaluation": 2 * 2, "choice": 0}
