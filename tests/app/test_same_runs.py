"""For every paper and profile the batch and the notebook ask for the same runs, and both find the same places."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from nlcore.app.batch import Batch, check, with_parameters
from nlcore.data.celeba import ATTRIBUTES_FILE, IMAGES_FOLDER, TAGS
from nlcore.errors import InputError
from nlcore.papers import BUILT_IN, paper, papers
from nlcore.papers.paper import Asked, Paper
from nlcore.papers.profiles import Resources
from tests.coco_drawing import draw_coco

ROOT = Path(__file__).resolve().parents[2]
PARTS = (("train", 2014), ("val", 2014), ("train", 2017), ("val", 2017))
CASES = [(name, profile) for name in BUILT_IN for profile in papers()[name].profiles()]


@pytest.fixture(scope="module")
def resources(tmp_path_factory):
    """Drawn folders of every kind that a profile may ask for."""
    root = tmp_path_factory.mktemp("folders")
    for seed, (split, year) in enumerate(PARTS):
        draw_coco(root / "coco", images=12, classes=6, seed=seed, split=split, year=year)
    images = root / "celeba" / IMAGES_FOLDER
    images.mkdir(parents=True)
    for number in range(1, 9):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(images / f"{number:06d}.jpg")
    rows = [f"{number:06d}.jpg " + " ".join("1" if (number + k) % 3 else "-1" for k in range(len(TAGS)))
            for number in range(1, 9)]  # fmt: skip
    (root / "celeba" / ATTRIBUTES_FILE).write_text("\n".join(["8", " ".join(TAGS), *rows]) + "\n")
    return {"data_root": str(root / "coco"), "celeba_root": str(root / "celeba")}


def batch_for(name, profile, resources, tmp_path):
    settings = paper(name).profiles()[profile]
    given = {"data_root": resources["data_root"], "weights": "random", "on_bad_image": "skip", "device": "cpu"}
    if "celeba" in settings:
        given["celeba_root"] = resources["celeba_root"]
    asked = Asked(profile, (0, 1), Resources(**given), output=tmp_path / "figures", store=tmp_path / "store")
    return Batch([name], asked)


class Enough(Exception):
    """The notebook has asked for its runs."""


def asked_by_notebook(one, parameters, monkeypatch):
    """Execute the notebook's parameters, as Papermill would give them, and its cell that opens the paper."""
    found = {}

    def stop(self, profile="embedded", *, workers=None, **given):
        found["asked"] = asked = Asked.of(profile, given)
        found["keys"] = {spec.key for spec in self.specs(profile, seeds=asked.seeds, resources=asked.resources)}
        raise Enough

    monkeypatch.setattr(Paper, "open", stop)
    cells = [cell for cell in nbformat.read(one.notebook, 4).cells if cell.cell_type == "code"]
    scope = {}
    exec(next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])), scope)
    scope |= parameters
    with pytest.raises(Enough):
        exec(next(cell.source for cell in cells if "PAPER.open(" in cell.source), scope)
    return found


@pytest.mark.parametrize(("name", "profile"), CASES)
def test_batch_and_notebook_ask_for_the_same_runs(name, profile, resources, tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    batch, one = batch_for(name, profile, resources, tmp_path), paper(name)
    found = asked_by_notebook(one, batch.notebook_parameters(one), monkeypatch)
    assert found["keys"] == {spec.key for spec in batch.grids[name]}
    assert one.folder(found["asked"]) == batch.folder(one)


def test_every_notebook_states_the_same_parameters_and_its_own_after_them():
    cells = [
        next(c.source for c in nbformat.read(one.notebook, 4).cells if "parameters" in c.metadata.get("tags", []))
        for one in papers().values()
    ]
    shared = min(cells, key=len)
    assert "variant: str" in shared.splitlines()[-1]
    assert all(cell.startswith(shared) for cell in cells)


@pytest.mark.parametrize(
    ("changed", "folder"),
    [
        ({}, "embedded"),
        ({"seeds": [0]}, "embedded.seeds-0"),
        ({"seeds": [0, 1, 2, 3, 4]}, "embedded"),
        ({"partial": True}, "embedded.partial"),
        ({"weights": "random"}, "embedded.weights-random"),
        ({"variant": "mine"}, "embedded.mine"),
        ({"colour": "red"}, "embedded.colour-red"),
        ({"review": "sheets/filled.csv"}, "embedded.review-filled"),
        ({"device": "cpu", "workers": 3}, "embedded"),
    ],
)
def test_what_is_not_the_profile_itself_goes_to_a_folder_of_its_own(changed, folder, tmp_path):
    batch = with_parameters(Batch(["multi_al"], Asked(output=tmp_path)), changed)
    assert batch.folder(paper("multi_al")) == tmp_path / "multi_al" / folder


def test_a_notebook_finds_what_was_named_from_where_the_batch_began(tmp_path, monkeypatch):
    """Its kernel works in notebooks/: a relative path would lead elsewhere there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coco").mkdir()
    (tmp_path / "own.pth").touch()
    one = paper("multi_al")

    def given(**resources):
        return Batch([one.id], Asked(resources=Resources(**resources), output=tmp_path)).notebook_parameters(one)

    found = given(data_root="coco", weights="own.pth")
    assert (found["data_root"], found["weights"]) == (str(tmp_path / "coco"), str(tmp_path / "own.pth"))
    assert given(weights="timm")["weights"] == "timm" and given()["data_root"] is None
    own = with_parameters(Batch([one.id], Asked(output=tmp_path)), {"review": "own.pth", "colour": "red"})
    assert own.parameters == {"review": str(tmp_path / "own.pth"), "colour": "red"}


def test_a_file_that_is_not_there_is_told_before_any_work(tmp_path):
    batch = Batch(["cleanlab_ema"], Asked(profile="smoke", output=tmp_path))
    with pytest.raises(InputError, match=r"parameter review: found .* expected a file that is there"):
        check(with_parameters(batch, {"review": "/no/such.csv"}))


def test_the_seeds_of_a_parameter_are_those_of_the_grid(tmp_path):
    """`-p seeds=[0]` once changed what the notebook showed, and not what was computed for it."""
    batch = with_parameters(Batch(["multi_al"], Asked(profile="smoke", output=tmp_path)), {"seeds": [3]})
    assert {spec.seeds for spec in batch.grids["multi_al"]} == {(3,)}


def test_random_weights_must_be_asked_for_and_are_another_run(resources, tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"first")

    def keys(given):
        found = Resources(data_root=resources["data_root"], weights=given, device="cpu")
        return {spec.key for spec in paper("multi_al").specs("paper", resources=found)}

    published, drawn, file = keys(None), keys("random"), keys(str(weights))
    assert not published & drawn
    assert not file & (published | drawn)
    assert keys("timm:miil_in21k_ft_in1k") == published
    weights.write_bytes(b"other")
    assert not keys(str(weights)) & file
    shutil.move(weights, tmp_path / "moved.safetensors")
    with pytest.raises(InputError, match="no such file; expected a file of them, wheel:NAME, timm, timm:TAG"):
        keys(str(weights))
    with pytest.raises(InputError, match="timm publishes none of that tag for tresnet_m"):
        keys("timm:best")


@pytest.mark.parametrize("name", ["multi_al", "missing_label_al", "galc_slr", "teacher_student"])
def test_a_key_follows_the_content_of_a_folder_and_neither_its_place_nor_the_device(name, resources, tmp_path):
    folder = tmp_path / "coco"
    shutil.copytree(resources["data_root"], folder)

    def keys(root, device="cpu"):
        found = Resources(data_root=str(root), weights="random", device=device)
        return [spec.key for spec in paper(name).specs("paper", seeds=[0], resources=found)]

    before = keys(folder)
    assert keys(folder, "auto") == before
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    assert keys(moved) == before
    for file in (moved / "annotations").glob("*.json"):  # in place, same length, as an editor would
        content = json.loads(file.read_text())
        first, other = content["annotations"][0], content["annotations"][1]
        first["category_id"] = next(k for k in range(1, 7) if k != first["category_id"] and k != other["category_id"])
        file.write_text(json.dumps(content))
    assert not set(keys(moved)) & set(before)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_plain_papermill_finds_the_same_places_from_wherever_it_is_started(tmp_path):
    """A notebook that opens nothing would not show it: the smallest profile of one paper, from three folders."""
    notebook = paper("multi_al").notebook
    environment = {name: value for name, value in os.environ.items() if name not in ("NLCORE_OUTPUT", "NLCORE_STORE")}
    seen = set()
    for place in (ROOT, ROOT / "notebooks", tmp_path):
        code = "from nlcore import places; print(places.figures_folder(), places.store_folder(), places.cache_folder())"
        done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, env=environment)
        seen.add(done.stdout)
    assert seen == {f"{ROOT / 'figures'} {ROOT / '.nlcore' / 'store'} {ROOT / '.nlcore' / 'images'}\n"}
    command = [sys.executable, "-m", "papermill", str(notebook), str(tmp_path / "out.ipynb"), "--no-progress-bar"]
    command += ["-p", "profile", "smoke", "-p", "workers", "1", "--kernel", "python3"]
    places = {"NLCORE_OUTPUT": str(tmp_path / "figures"), "NLCORE_STORE": str(tmp_path / "store")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | places)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "unknown parameter" not in done.stderr
    assert (tmp_path / "figures" / "multi_al" / "smoke" / "table_1.csv").is_file()
