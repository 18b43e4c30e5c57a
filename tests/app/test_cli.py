"""The command line: bad input is one line and exit code 2, and leaves nothing behind."""

import json

import nbformat
import pytest

from nlcore.app import notebooks
from nlcore.app.batch import Batch
from nlcore.app.cli import main
from nlcore.errors import InputError
from nlcore.papers import papers
from nlcore.runs import Store, plan_grid
from nlcore.runs.progress import duration
from tests.coco_drawing import draw_coco
from tests.runs.trivial import Total


@pytest.fixture
def folders(tmp_path):
    return {"output": tmp_path / "figures", "store": tmp_path / "store"}


def call(folders, *arguments):
    return main([*arguments, "--output", str(folders["output"]), "--store", str(folders["store"])])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--papers", "resnet"], "paper 'resnet': unknown; expected one of multi_al, missing_label_al, cleanlab_ema"),
        (["--papers", ""], "papers: none named; expected one or more of"),
        (["--profile", "huge"], "profile 'huge': cleanlab_ema has none of that name; expected one of smoke, embedded"),
        (["--profile", "huge"], "rehearsal\n"),
        (["--seeds", "a-b"], "seeds 'a-b': cannot read 'a-b'; expected numbers and ranges"),
        (["--seeds", ","], "seeds ',': no seed in it"),
        (["--workers", "0"], "workers: found 0; expected one or more"),
        (["--workers", "many"], "'--workers'"),
        (["show", "--papers", "galc_slr"], "(options of the papers belong before the word show)"),
        (["--budget", "many"], "'--budget'"),
        (["--budget", "0"], "budget: found 0 hours; expected a number above zero"),
        (["--budget", "-2", "--plan"], "budget: found -2 hours; expected a number above zero"),
        (["--budget", "5", "--partial"], "budget: found 5 hours beside --partial; expected one of them"),
        (["--runs-only", "--partial"], "runs-only: found beside --partial, which computes nothing; expected one of"),
        (["--runs-only", "--update-notebooks"], "runs-only: found beside --update-notebooks, which needs the"),
        (["--runs-only", "verify"], "runs-only: found beside verify, which needs the notebooks; expected one of"),
        (["--address", "auto"], "address auto: only the Ray engine has one; expected --engine ray with it"),
        (["--device", "tpu"], "device: found 'tpu'; expected auto, cpu, cuda"),
        (["--gpus", "4"], "gpus: found 4 without --plan; expected both"),
        (["--gpus", "0", "--plan"], "gpus: found 0; expected one or more"),
        (
            ["-p", "colour=red"],
            "parameter 'colour': 03_cleanlab_ema.ipynb has none of that name; expected one of profile",
        ),
        (["-p", "partial=7"], "parameter 'partial': found 7; expected bool, as 03_cleanlab_ema.ipynb states it"),
        (["-p", "seeds=[a]"], "parameter 'seeds': found ['a']; expected Optional[list[int]], as 03_cleanlab"),
        (["-p", "partial"], "-p: found 'partial'; expected NAME=VALUE"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(folders, capsys, arguments, line):
    assert call(folders, *(["--papers", "cleanlab_ema"] if "--papers" not in arguments else []), *arguments) == 2
    printed = capsys.readouterr()
    assert line in printed.err
    assert printed.err.count("\n") == 1
    assert not folders["output"].exists()
    assert not folders["store"].exists()


@pytest.mark.parametrize("which", ["output", "store"])
def test_a_folder_that_cannot_be_written_is_told_before_any_work(folders, capsys, which):
    folders[which].write_text("a file is in the way")
    assert call(folders, "--profile", "smoke") == 2
    error = capsys.readouterr().err
    assert "not writable (it is a file)" in error
    assert str(folders[which]) in error
    assert error.count("\n") == 1


def test_the_plan_says_what_there_is_to_run_and_computes_nothing(folders, capsys):
    assert call(folders, "--papers", "cleanlab_ema", "--profile", "smoke", "--plan") == 0
    printed = capsys.readouterr().out
    assert "cleanlab_ema" in printed
    # Three datasets: five folds, scores three times, flags, statistics, twice predictions and accuracy; three times
    # four tag folds.
    assert " 54 " in printed
    assert " cpu " in printed
    assert " assumed " in printed
    assert not folders["output"].exists()
    assert list(folders["store"].rglob("*.safetensors")) == []


def test_a_plan_for_gpus_that_are_elsewhere_counts_their_hours(folders, capsys, tmp_path):
    for split, images in (("train", 30), ("val", 12)):
        draw_coco(tmp_path, images=images, split=split)
    asked = ["--papers", "galc_slr", "--profile", "finetune", "--data-root", str(tmp_path), "--weights", "random"]
    told = []
    for more in ([], ["--gpus", "4"], ["--gpus", "4", "--device", "cpu"], ["--gpus", "4", "--device", "cuda"]):
        assert call(folders, *asked, "--plan", *more) == 0
        told.append(capsys.readouterr().out)
    here, elsewhere, on_cores, by_name = told
    assert by_name == elsewhere
    assert " cuda " in elsewhere and "GPU-hours" in elsewhere and "4 GPUs elsewhere" in elsewhere
    assert not any(" cuda " in text or "GPU-hours" in text for text in (here, on_cores))
    assert not folders["store"].exists() or list(folders["store"].rglob("*.safetensors")) == []


def test_the_estimate_is_shared_among_workers_but_no_shorter_than_the_longest_run(tmp_path):
    plan = plan_grid([Total(number=8)], Store(tmp_path))
    assert plan.seconds == 9
    assert plan.wall_seconds(3) == 3
    assert plan.wall_seconds(100) == 1


@pytest.mark.parametrize(("seconds", "text"), [(12.3, "12 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_every_notebook_states_a_type_for_every_parameter_and_takes_what_the_batch_gives():
    own = {"cleanlab_ema": {"review": "Optional[str]"}}  # what is asked of one paper alone, and may be left out
    for one in papers().values():
        stated = notebooks.stated_parameters(one.notebook)
        given = set(Batch().notebook_parameters(one))
        assert {name: kind for name, kind in stated.items() if name not in given} == own.get(one.id, {}), one.id
        assert given <= set(stated), one.id


def test_an_installed_package_without_notebooks_says_so(tmp_path):
    with pytest.raises(InputError, match=r"notebook: found .*01_multi_al\.ipynb'; expected one that is there, as in a"):
        notebooks.check_parameters(tmp_path / "01_multi_al.ipynb", {})


def _notebook(path, source):
    cell = nbformat.v4.new_code_cell("level: int = 1", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell(source)], metadata=kernel), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("print('about to'); raise ValueError('no such class')", r"cell \d raised ValueError: no such class"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its kernel died"),
    ],
)
def test_a_notebook_that_fails_leaves_no_result_and_a_clear_message(tmp_path, source, message):
    output = tmp_path / "out" / "notebook.ipynb"
    with pytest.raises(notebooks.NotebookFailedError, match=message):
        notebooks.execute(_notebook(tmp_path / "n.ipynb", source), output, {"level": 2})
    assert not output.exists()
    assert [path.name for path in output.parent.glob("*")] in ([], ["notebook.ipynb.failed"])


@pytest.mark.slow
def test_outputs_are_kept_in_the_source_without_what_papermill_added(tmp_path):
    notebook, executed = _notebook(tmp_path / "n.ipynb", "print(level + 1)"), tmp_path / "executed.ipynb"
    notebooks.execute(notebook, executed, {"level": 41})
    notebooks.store_outputs(executed, notebook)
    cells = json.loads(notebook.read_text())["cells"]
    assert len(cells) == 2
    assert cells[1]["outputs"][0]["text"] == ["42\n"]


def test_two_executions_of_a_notebook_settle_to_the_same_outputs():
    def executed(id, pieces, noise):
        shown = {"text/html": f'<table id="T_{id}"><td id="T_{id}_row0">', "text/plain": f"<Styler at 0x7f{id}>"}
        table = nbformat.v4.new_output("display_data", shown)
        streams = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in pieces]
        warning = nbformat.v4.new_output("stream", name="stderr", text=noise)
        cell = nbformat.v4.new_code_cell("print(1)", outputs=[warning, *streams, table])
        found = nbformat.v4.new_notebook(cells=[cell])
        notebooks.settle(found)
        return found.cells[0].outputs

    one, other = executed("0f3ab", ["a\n", "b\n"], "/home/me"), executed("c75c7", ["a\nb\n"], "/home/you")
    assert one == other
    assert [output.output_type for output in one] == ["stream", "display_data"]
    assert one[1].data["text/html"] == '<table id="T_00000"><td id="T_00000_row0">'
    assert one[1].data["text/plain"] == "<Styler>"
