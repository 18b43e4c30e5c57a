"""docs/add_a_paper.md, followed to the letter: a paper of one's own, without an edit of nlcore."""

import os
import re
import subprocess
import sys

import nbformat
import pytest

from tests.command_line import ROOT, run_all

BLOCK = re.compile(r"^```(?:python|yaml) file=(\S+)(?: cell=(\w+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The paper's package, written from the page."""
    folder, cells = tmp_path_factory.mktemp("mine") / "clean_counts", []
    for name, tag, text in BLOCK.findall((ROOT / "docs" / "add_a_paper.md").read_text()):
        if name == "notebook":
            cells.append(nbformat.v4.new_code_cell(text.strip(), metadata={"tags": [tag]} if tag else {}))
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "notebook.ipynb")
    return folder


def run(folder, *arguments):
    places = ["--output", str(folder.parent / "figures"), "--store", str(folder.parent / "store")]
    options = ["--paper-folder", str(folder), "--papers", "clean_counts", "--profile", "smoke", "--workers", "2"]
    return run_all(*options, *places, *arguments)


def test_it_is_planned_run_reported_traced_and_verified(folder):
    assert " 6 " in run(folder, "--plan").stdout
    done = run(folder)
    assert done.returncode == 0, done.stderr
    made = folder.parent / "figures" / "clean_counts" / "smoke"
    assert {"table_1.csv", "fig_1.png", "manifest.json", "verdicts.json"} <= {path.name for path in made.iterdir()}
    assert re.search(r"cc1.*holds", done.stdout)
    assert "Counting Clean Images" in (folder.parent / "figures" / "index.html").read_text()
    shown = run(folder, "show", "clean_counts/table_1")
    assert shown.stdout.count("Count(noise=") == 6, shown.stderr
    verified = run(folder, "verify")
    assert (verified.returncode, "nothing has drifted" in verified.stdout) == (0, True), verified.stderr


def test_a_folder_that_is_no_paper_is_one_clear_line(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: paper folder {tmp_path}: no __init__.py in it; expected a paper's package\n"


def test_it_takes_no_method_of_ones_own(folder):
    done = run(folder, "--method", "json:dumps")
    told = "error: method 'json:dumps': clean_counts takes none; expected a paper with a module own.py\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_nothing_of_it_is_left_in_the_suite(folder):
    """The register is not written to: without the option the paper is unknown."""
    environment = {name: value for name, value in os.environ.items() if name != "NLCORE_PAPERS"}
    command = [sys.executable, "run_all.py", "--papers", "clean_counts", "--plan"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr.startswith("error: paper 'clean_counts': unknown")) == (2, True)
