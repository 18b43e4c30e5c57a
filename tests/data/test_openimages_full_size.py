"""scripts/open_images_at_full_size.py on a thousandth of the images, and what that says of all of them."""

import importlib.util
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from nlcore.data import openimages_csv
from nlcore.data.openimages import open_images

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "open_images_at_full_size.py"
SHARE = 0.001


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("open_images_at_full_size", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def root(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full") / "size"
    script.write_release(folder, share=SHARE, photographs=5)
    return folder


def test_the_files_have_a_share_of_the_releases_counts_and_its_columns(script, root):
    data = open_images(root, images=True)
    assert (len(data.machine), data.is_validation.sum(), data.verified.sum()) == (9_011 + 167, 167, 42)
    assert data.machine.shape[1] == len(data.class_names) == script.TRAINABLE
    assert data.present.sum() == 10 and data.absent["training"] == 9_006
    assert data.machine.count(1).sum() / len(data.machine) == pytest.approx(7.8, abs=0.1)
    assert 0.65 < data.human.count(1).sum() / len(data.human.values) < 0.75
    # In the release people were asked about what a machine had said; a twentieth was said with too little confidence.
    asked = data.human[data.is_validation] >= 0
    assert 0.93 < data.machine[data.is_validation][asked].mean() < 0.97


def test_labels_are_what_a_plain_reading_of_the_file_finds(root):
    wanted = {}
    for line in (root / "machine_ann_2016_08/validation/labels.csv").read_text().splitlines()[1:]:
        image, _, label, confidence = line.split(",")
        if float(confidence) >= 0.5:
            wanted.setdefault(image, set()).add(label)
    data = open_images(root)
    rows = np.flatnonzero(data.is_validation)
    assert any(wanted.values())
    for row in rows:
        found = {data.class_ids[k] for k in np.flatnonzero(data.machine[row])}
        assert found == wanted.get(f"{data.image_ids[row]:016x}", set()) & set(data.class_ids)


def test_labels_of_nine_million_images_take_less_than_eight_gigabytes(root, monkeypatch):
    """What Python has in memory at most while a thousandth is read, in small chunks, times a thousand."""
    monkeypatch.setattr(openimages_csv, "ROWS", 2_000)
    tracemalloc.start()
    try:
        labels = open_images(root).machine
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert labels.nbytes == 5 * len(labels.values) + 8 * (len(labels) + 1)
    assert labels.nbytes / SHARE < 0.5e9
    assert labels.nbytes < peak < SHARE * 8e9


def test_the_script_reports_and_tidies_up(script, tmp_path, capsys):
    script.main(tmp_path / "made" / "up", SHARE, 3, keep=False)
    report = dict(re.split(r"  +", line) for line in capsys.readouterr().out.splitlines())
    assert report["images"] == "9,178: 167 validation, 42 of them verified"
    assert report["photographs"].startswith("6 present")
    assert report["classes"] == "6,012 trainable of 7,881"
    assert not (tmp_path / "made" / "up").exists()
