"""`run_all.py score`: every form of input gives the same tables, bad input is one line, and the page agrees."""

import html
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nlcore.app import label_files, scoring
from nlcore.app.cli import main
from nlcore.errors import InputError
from nlcore.scorers.report import class_report, doubted_annotations, rank_images

NAMES = ["cat", "dog", "hot dog"]
FILES = ["classes.csv", "doubts.csv", "images.csv", "report.html", "summary.json"]
WITH_PARQUET = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")


@pytest.fixture(scope="module")
def arrays():
    generator = np.random.default_rng(0)
    labels = (generator.random((120, 3)) < 0.4).astype(np.int8)
    labels[7] = 0  # no tag: an empty field, where there are tags
    probs = 0.4 * labels + 0.6 * generator.random(labels.shape)
    return labels, np.where(generator.random(labels.shape) < 0.15, 1 - probs, probs)


@pytest.fixture
def frames(arrays):
    ids = pd.Index([f"{i:03d}.jpg" for i in range(len(arrays[0]))], name="image")
    return [pd.DataFrame(array, index=ids, columns=NAMES) for array in arrays]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tags(labels, delimiter=";"):
    return [delimiter.join(name for name, label in zip(NAMES, row, strict=True) if label) for row in labels]


def tables(output):
    texts = {"image": str, "tag": str, "confused_with": str}
    read = lambda name: pd.read_csv(output / f"{name}.csv", dtype=texts | ({"given": str} if name == "images" else {}))
    return {name: read(name) for name in ("images", "doubts", "classes")}


def expected(frames, delimiter=";"):
    images = rank_images(*frames, delimiter=delimiter)
    found = {"images": images, "doubts": doubted_annotations(*frames)}
    return found | {"classes": class_report(*frames, confused=scoring.CONFUSED)}


def same(found, wanted, *, ids=True):
    for name, table in wanted.items():
        read = found[name].fillna({"given": "", "confused_with": ""} if name != "doubts" else {})
        columns = [column for column in table.columns if ids or column != "image"]
        pd.testing.assert_frame_equal(read[columns], table[columns], check_dtype=False, rtol=0, atol=1e-15)


# Forms of input -------------------------------------------------------------------------------------------------------


def write_named(folder, frames):
    frames[0].to_csv("l.csv")
    frames[1].sample(frac=1, random_state=0)[["dog", "cat", "hot dog"]].to_csv("p.csv")
    return ["l.csv", "p.csv", "--ids", "image"], True


def write_unnamed_index(folder, frames):
    for frame, name in zip(frames, "lp", strict=True):
        frame.rename_axis(None).to_csv(f"{name}.csv")
    return ["l.csv", "p.csv"], True


def write_without_header(folder, frames):
    for frame, name in zip(frames, "lp", strict=True):
        frame.to_csv(f"{name}.csv", index=False, header=False)
    return ["l.csv", "p.csv", "--classes", ",".join(NAMES)], False


def write_numbered_header(folder, frames):
    """What pandas writes of arrays: columns 0, 1, 2."""
    for frame, name in zip(frames, "lp", strict=True):
        pd.DataFrame(frame.to_numpy()).to_csv(f"{name}.csv", index=False)
    return ["l.csv", "p.csv"], None


def write_tags(folder, frames):
    pd.DataFrame({"image": frames[0].index, "tags": tags(frames[0].to_numpy(), "|")}).to_csv("l.csv", index=False)
    frames[1].to_csv("p.csv")
    return ["l.csv", "p.csv", "--ids", "image", "--delimiter", "|"], True


def write_tags_alone(folder, frames):
    """One column, an empty line for an image without a tag, and a mark at the start as spreadsheets write it."""
    (folder / "l.csv").write_text("tags\n" + "\n".join(tags(frames[0].to_numpy())) + "\n", encoding="utf-8-sig")
    np.save("p.npy", frames[1].to_numpy())
    (folder / "ids.txt").write_text("\n".join(frames[0].index))
    return ["l.csv", "p.npy", "--classes", ",".join(NAMES), "--ids", "ids.txt"], True


def write_npy(folder, frames):
    np.save("l.npy", frames[0].to_numpy())
    np.save("p.npy", frames[1].to_numpy())
    return ["l.npy", "p.npy", "--classes", ",".join(NAMES)], False


def write_npz(folder, frames):
    np.savez("both.npz", labels=frames[0], probs=frames[1], ids=frames[0].index.to_numpy(str), classes=NAMES)
    return ["both.npz", "both.npz"], True


def write_one_array_npz(folder, frames):
    np.savez("l.npz", frames[0].to_numpy().astype(bool))
    np.savez("p.npz", frames[1].to_numpy())
    return ["l.npz", "p.npz", "--classes", ",".join(NAMES)], False


FORMS = [
    write_named, write_unnamed_index, write_without_header, write_numbered_header, write_tags, write_tags_alone,
    write_npy, write_npz, write_one_array_npz,
]  # fmt: skip


@pytest.mark.parametrize("write", FORMS, ids=lambda write: write.__name__[6:])
def test_every_form_of_input_gives_the_same_tables(folder, frames, capsys, write):
    arguments, ids = write(folder, frames)
    if ids is None:  # classes without a name are numbered
        frames = [frame.set_axis(["0", "1", "2"], axis=1) for frame in frames]
    assert main(["score", *arguments]) == 0
    assert sorted(path.name for path in (folder / "scored").iterdir()) == FILES
    same(tables(folder / "scored"), expected(frames, "|" if "|" in arguments else ";"), ids=ids)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    printed = capsys.readouterr().out
    assert "120 images, 3 classes" in printed and "report: scored/report.html" in printed


def test_predictions_in_the_place_of_probabilities_are_told(folder, frames, capsys):
    arguments, _ = write_named(folder, frames)
    assert main(["score", *arguments]) == 0
    assert "warning" not in capsys.readouterr().out
    arguments, _ = write_named(folder, (frames[0], frames[1].round()))
    assert main(["score", *arguments]) == 0
    line = "in the first 120 images every probability is 0 or 1"
    line += ": these look like predictions, and scores will mostly tie"
    assert f"warning: {line}" in capsys.readouterr().out
    assert json.loads((folder / "scored" / "summary.json").read_text())["warnings"] == [line]


def test_a_csv_read_in_pieces_is_the_same(folder, frames, monkeypatch):
    monkeypatch.setattr(label_files, "CHUNK_CELLS", 40)
    for write in (write_without_header, write_tags):
        arguments, ids = write(folder, frames)
        assert main(["score", *arguments]) == 0
        same(tables(folder / "scored"), expected(frames, "|" if "|" in arguments else ";"), ids=ids)


@WITH_PARQUET
@pytest.mark.parametrize("form", ["matrix", "texts", "lists"])
def test_parquet_gives_the_same_tables(folder, frames, form):
    listed = tags(frames[0].to_numpy())
    column = listed if form == "texts" else [text.split(";") for text in listed]
    table = frames[0] if form == "matrix" else pd.DataFrame({"image": frames[0].index, "tags": column})
    table.to_parquet("l.parquet")
    frames[1].to_parquet("p.parquet")
    assert main(["score", "l.parquet", "p.parquet", "--ids", "image"]) == 0
    same(tables(folder / "scored"), expected(frames))


def test_without_pyarrow_parquet_is_refused_in_one_line(folder, capsys, monkeypatch):
    (folder / "l.parquet").write_bytes(b"PAR1")
    np.save("p.npy", np.full((2, 2), 0.5))
    monkeypatch.setattr(label_files.importlib.util, "find_spec", lambda name: None)
    assert main(["score", "l.parquet", "p.npy"]) == 2
    told = "error: l.parquet: found no package that reads Parquet; expected pyarrow (the extra parquet), or a CSV\n"
    assert capsys.readouterr().err == told


def test_unknown_labels_are_in_no_count(folder, arrays):
    labels, probs = arrays[0].copy(), arrays[1]
    labels[10:50, 1] = -1
    np.save("l.npy", labels)
    np.save("p.npy", probs)
    assert main(["score", "l.npy", "p.npy"]) == 0
    found = tables(folder / "scored")
    doubts = found["doubts"]
    assert len(doubts) > 0 and (labels[doubts["image"].astype(int), doubts["tag"].astype(int)] == doubts["given"]).all()
    counted = json.loads((folder / "scored" / "summary.json").read_text())["annotations"]
    assert counted == {"given": (labels == 1).sum(), "not_given": (labels == 0).sum(), "unknown": 40}
    assert found["classes"].set_index("tag").loc["1", "unknown"] == 40
    assert "40 unknown" in (folder / "scored" / "report.html").read_text()


def test_maps_larger_than_a_block_are_scored_with_progress_and_leave_only_the_results(folder, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    labels = (generator.random((60_000, 40), dtype=np.float32) < 0.1).astype(np.int8)
    probs = np.float32(0.4) * labels + np.float32(0.6) * generator.random(labels.shape, dtype=np.float32)
    labels[:500] = 1 - labels[:500]
    np.save("l.npy", labels)
    np.save("p.npy", probs)
    monkeypatch.setattr(scoring, "LARGE", 1_000_000)
    maps = label_files.read_annotations(folder / "l.npy", folder / "p.npy")
    assert isinstance(maps.labels, np.memmap) and isinstance(maps.probs, np.memmap)
    assert main(["score", "l.npy", "p.npy", "--top", "100"]) == 0
    assert sorted(path.name for path in (folder / "scored").iterdir()) == FILES
    found = tables(folder / "scored")
    ranked = rank_images(labels, probs, top=100)
    assert found["images"]["image"].astype(int).tolist() == ranked["image"].tolist()
    assert len(found["doubts"]) == 100
    told = capsys.readouterr().err.splitlines()
    assert told == ["checking values", "annotations in doubt", "label quality"]
    doubts = doubted_annotations(labels, probs)
    summary = json.loads((folder / "scored" / "summary.json").read_text())
    assert summary["doubted"]["annotations"] == len(doubts) > 100
    assert summary["doubted"]["images"] == doubts["image"].nunique()


# The other files ------------------------------------------------------------------------------------------------------


def test_the_summary_adds_up_and_names_options_and_versions(folder, frames):
    write_named(folder, frames)
    assert main(["score", "l.csv", "p.csv", "--ids", "image", "--pooling", "min", "--output", "a/b"]) == 0
    summary, found = json.loads((folder / "a" / "b" / "summary.json").read_text()), tables(folder / "a" / "b")
    doubts = found["doubts"]
    assert summary["images"] == 120 and summary["classes"] == 3
    assert summary["doubted"] == {
        "annotations": len(doubts),
        "extra": (doubts["direction"] == "extra").sum(),
        "missing": (doubts["direction"] == "missing").sum(),
        "images": doubts["image"].nunique(),
    }
    assert summary["health"] == pytest.approx(1 - doubts["image"].nunique() / 120, abs=1e-12)
    assert summary["score"]["lowest"] == found["images"]["score"].min()
    assert summary["options"]["pooling"] == "min" and summary["options"]["labels"] == "l.csv"
    assert summary["versions"]["numpy"] == np.__version__


def visible(page):
    """The text of a page as a reader sees it, on one line."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_page_says_what_the_tables_say_and_loads_nothing(folder, frames):
    arguments, _ = write_named(folder, frames)
    assert main(["score", *arguments]) == 0
    page, found = (folder / "scored" / "report.html").read_text(), tables(folder / "scored")
    assert re.findall(r"https?:|//\w+\.\w|@import|url\(", page) == []
    assert all(source.startswith(("#", "data:")) for source in re.findall(r'(?:src|href)="([^"]*)"', page))
    text = visible(page)
    for row in found["images"].head(36).itertuples():
        assert f"{row.image} Label quality {row.score:.3f} Given: " in text
    for row in found["doubts"].head(60).itertuples():
        assert re.search(rf"{row.image} {row.tag} [−+] {row.direction} {row.probability:.3f} {row.score:.3f}", text)
    for row in found["classes"].itertuples():
        assert f"{row.tag} {row.annotated} {row.doubted_extra} {row.doubted_missing} " in text
    assert "__" not in text and "nan" not in text.split()


def test_pictures_are_in_the_page(folder, frames):
    arguments, _ = write_named(folder, frames)
    (folder / "photos").mkdir()
    ranked = rank_images(*frames)["image"]
    for image in ranked[:3]:
        Image.new("RGB", (900, 500), (200, 40, 40)).save(folder / "photos" / image)
    (folder / "photos" / ranked[3]).write_bytes(b"no picture")
    assert main(["score", *arguments, "--images", "photos", "--top", "5"]) == 0
    page = (folder / "scored" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    assert page.count("no picture of this image") == 2
    assert "The 5 worst images" in page and f'alt="Image {ranked[0]}"' in page


@pytest.mark.parametrize(("top", "told"), [([], "; all are in doubts.csv"), (["--top", "70"], "; the worst 70 are in"),
                                           (["--top", "5"], "The 5 worst of")])  # fmt: skip
def test_the_page_says_how_many_doubts_are_in_the_file(folder, frames, top, told):
    arguments, _ = write_named(folder, frames)
    frames[1].mask(np.random.default_rng(0).random(frames[1].shape) < 0.4, 1 - frames[1]).to_csv("p.csv")
    assert main(["score", *arguments, *top]) == 0
    total = json.loads((folder / "scored" / "summary.json").read_text())["doubted"]["annotations"]
    text = visible((folder / "scored" / "report.html").read_text())
    assert total > 70 and told in text and ("are in doubts.csv" in text) == (top != ["--top", "5"])
    assert len(tables(folder / "scored")["doubts"]) == (int(top[1]) if top else total)


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_fits_the_screen_in_a_browser_without_an_error(folder, frames, browser, width):
    arguments, _ = write_named(folder, frames)
    (folder / "photos").mkdir()
    for image in rank_images(*frames)["image"][:4]:
        Image.new("RGB", (900, 500), (200, 40, 40)).save(folder / "photos" / image)
    assert main(["score", *arguments, "--images", "photos"]) == 0
    page, problems = browser.new_page(viewport={"width": width, "height": 900}), []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else problems.append(r.url[:200]))
    page.goto((folder / "scored" / "report.html").resolve().as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("[...document.images].filter(i => i.src && i.naturalWidth > 0).length") == 4
    page.focus(".wide >> nth=0")  # tables scroll by keyboard
    page.click("nav a[href='#reading']")
    assert page.is_visible("#reading") and problems == []
    page.close()


def test_names_are_no_markup(folder, frames):
    frames[0].columns = frames[1].columns = ["<b>cat</b>", "dog & co", "fox"]
    frames[0].to_csv("l.csv")
    frames[1].to_csv("p.csv")
    assert main(["score", "l.csv", "p.csv", "--ids", "image"]) == 0
    page = (folder / "scored" / "report.html").read_text()
    assert "<b>cat</b>" not in page and "&lt;b&gt;cat" in page and "dog &amp; co" in page


def test_a_folder_that_is_there_keeps_its_other_files(folder, frames):
    arguments, _ = write_named(folder, frames)
    (folder / "scored").mkdir()
    (folder / "scored" / "notes.txt").write_text("mine")
    (folder / "scored" / "images.csv").write_text("old")
    assert main(["score", *arguments]) == 0
    assert sorted(path.name for path in (folder / "scored").iterdir()) == sorted([*FILES, "notes.txt"])
    same(tables(folder / "scored"), expected(frames))


# Bad input ------------------------------------------------------------------------------------------------------------

LABELS = "image,cat,dog\na,1,0\nb,0,1\nc,1,1\n"
PROBS = "image,cat,dog\na,0.9,0.1\nb,0.2,0.7\nc,0.8,0.6\n"
IDS = ["--ids", "image"]


@pytest.mark.parametrize(
    ("labels", "probs", "options", "line"),
    [
        (None, PROBS, [], "file: found 'l.csv'; expected one that is there"),
        ("", PROBS, IDS, "l.csv: found nothing in its first line"),
        (LABELS, "image,cat,dog\na,0.9,0.1,7\n", IDS, "p.csv: found more fields in a row than"),
        (LABELS, PROBS + "d,0.1,0.2,0.3\n", IDS, "p.csv: cannot be read ("),
        (b"\xff\xfe\x00", PROBS, IDS, "l.csv: cannot be read ("),
        (
            LABELS,
            PROBS,
            [],
            "p.csv, image 0, counted from 0, column 'image': found 'a'; expected a probability between 0 and 1 (--ids",
        ),
        (LABELS.replace("b,0", "b,2"), PROBS, IDS, "l.csv, image 'b', column 'cat': found 2; expected 1, 0 or -1"),
        (LABELS.replace("b,0", "b,"), PROBS, IDS, "l.csv, image 'b', column 'cat': found an empty field; expected 1"),
        (LABELS.replace("b,0", "b,0.5"), PROBS, IDS, "image 'b', column 'cat': found 0.5; expected 1, 0 or -1"),
        (LABELS, PROBS.replace("0.7", "1.7"), IDS, "p.csv, image 'b', column 'dog': found 1.7; expected a probability"),
        (LABELS, PROBS.replace("0.7", "high"), IDS, "p.csv, image 'b', column 'dog': found 'high'; expected a"),
        (LABELS, PROBS.replace("c,", "z,"), IDS, "ids of probs: found ['z']; expected those of labels"),
        (LABELS, PROBS.replace("dog", "fox"), IDS, "classes of probs: found ['fox']; expected those of labels"),
        (LABELS.replace("cat", "dog"), PROBS, IDS, "columns of l.csv: found ['dog']; expected each name once"),
        (LABELS, PROBS.replace("c,0.8,0.6\n", ""), IDS, "ids of probs: found 'all but c'; expected those of labels"),
        ("1,0\n0,1\n", "0.9,0.1\n", [], "shape of labels: found (2, 2); expected (1, 2), that of probs"),
        (LABELS, PROBS, ["--ids", "file"], "ids: found 'file'; expected a column of each table, or a text file"),
        (LABELS, PROBS, [*IDS, "--classes", "cat,fox"], "classes: found ['fox']; expected the names"),
        (LABELS, PROBS, [*IDS, "--classes", "cat,,dog"], "classes: found 'cat,,dog'; expected names with commas"),
        (
            "image,tags\na,cat\nb,cat;fox\nc,dog\n",
            PROBS,
            IDS,
            "l.csv, image 'b': found the tag 'fox'; expected some of cat, dog,",
        ),
        ("tags\ncat\n\ndog\n", "0.9,0.1\n" * 3, [], "l.csv: found tags, and no names of classes; expected --classes"),
        ("cat,dog\n", "cat,dog\n0.9,0.1\n", [], "shape of labels: found (0, 2)"),
        ("cat,dog\n1,0\n", ",cat,dog\na,0.9,0.1\n", [], "l.csv: found no ids of its images; expected them in a column"),
        (
            "cat,dog\n1,0\n0,1\n1,1\n",
            PROBS,
            IDS,
            "l.csv: found no column 'image'; expected one with the ids of its images, as p.csv",
        ),
        (
            LABELS,
            "photo,cat,dog\na,0.9,0.1\nb,0.2,0.7\nc,0.8,0.6\n",
            IDS,
            "p.csv: found no column 'image'; expected one",
        ),
        ("tags\ncat\ndog\ndog\n", PROBS, IDS, "l.csv: found no column 'image'; expected one"),
        (LABELS.replace("b,", ",", 1), PROBS, IDS, "ids, in column 'image': found 'an empty field'; expected one for"),
        (
            "1001,1,0\n1002,0,1\n",
            "0.9,0.1\n" * 2,
            [],
            "l.csv, image 0, counted from 0, column 0: found 1001; expected 1, 0 or -1 for",
        ),
        (LABELS, PROBS, [*IDS, "--pooling", "best"], "pooling: found 'best'; expected one of min, max"),
        (LABELS, PROBS, [*IDS, "--top", "0"], "top: found 0; expected one or more"),
        (LABELS, PROBS, [*IDS, "--top", "few"], "'--top'"),
        (LABELS, PROBS, [*IDS, "--delimiter", ""], "delimiter: found ''; expected one character or more"),
        (LABELS, PROBS, [*IDS, "--images", "photos"], "images: found 'photos'; expected a folder"),
        (LABELS, PROBS, [*IDS, "--images", "."], "images .: found no picture named "),
        (LABELS, PROBS, [*IDS, "--output", "p.csv"], "output: found 'p.csv'; expected a folder, or a new name"),
        (LABELS, PROBS, [*IDS, "--output", "p.csv/deeper"], "output p.csv/deeper: cannot be written ("),
        (LABELS, PROBS, ["more.csv"], "more.csv"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(folder, capsys, labels, probs, options, line):
    for name, content in (("l.csv", labels), ("p.csv", probs)):
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(folder.iterdir())
    assert main(["score", "l.csv", "p.csv", *options]) == 2
    printed = capsys.readouterr()
    assert line in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""
    assert not ("--ids" in options and "--ids" in printed.err), "nobody is told to do what he did"
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("save", "line"),
    [
        (lambda: np.save("l.npy", np.zeros(3, dtype=int)), "labels in l.npy: found 'int64 of shape (3,)'; expected"),
        (lambda: np.save("l.npy", np.array([["a"]])), "labels in l.npy: found '<U1 of shape (1, 1)'; expected numbers"),
        (lambda: np.save("l.npy", np.array([[None]])), "l.npy: cannot be read ("),
        (lambda: Path("l.npy").write_bytes(b"short"), "l.npy: cannot be read ("),
        (lambda: np.save("l.npy", np.full((3, 2), 5)), "labels[0, 0]: found 5; expected 1, 0, or -1 for unknown"),
        (lambda: np.save("l.npy", np.full((3, 2), np.nan)), "labels[0, 0]: found nan; expected 1, 0, or -1"),
        (lambda: np.save("l.npy", np.zeros((4, 2))), "shape of labels: found (4, 2); expected (3, 2)"),
    ],
)
def test_a_bad_array_is_one_line_and_leaves_nothing(folder, capsys, save, line):
    save()
    np.save("p.npy", np.full((3, 2), 0.5))
    assert main(["score", "l.npy", "p.npy"]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["l.npy", "p.npy"]


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"a": np.zeros((3, 2)), "b": np.zeros((3, 2))}, "l.npz: found the arrays a, b; expected one named labels"),
        ({}, "l.npz: found the arrays none; expected one named labels"),
        ({"labels": np.zeros((3, 2)), "ids": ["a"]}, "ids in l.npz: found 1; expected 3, as labels has"),
        ({"labels": np.array([[None]])}, "l.npz: cannot be read ("),
    ],
)
def test_a_bad_npz_is_one_line(folder, capsys, arrays, line):
    np.savez("l.npz", **arrays)
    np.save("p.npy", np.full((3, 2), 0.5))
    assert main(["score", "l.npz", "p.npy"]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1


def test_whole_numbers_are_no_probabilities(folder, capsys):
    np.save("l.npy", np.zeros((3, 2)))
    np.save("p.npy", np.zeros((3, 2), dtype=int))
    assert main(["score", "l.npy", "p.npy"]) == 2
    assert "probs in p.npy: found 'int64 of shape (3, 2)'; expected floating-point" in capsys.readouterr().err


def test_an_unknown_kind_of_file_and_options_of_the_papers_are_refused(folder, capsys):
    (folder / "l.xlsx").write_text("x")
    assert main(["score", "l.xlsx", "l.xlsx"]) == 2
    assert "file: found 'l.xlsx'; expected a name that ends in .csv, .parquet" in capsys.readouterr().err
    assert main(["--papers", "galc_slr", "score", "l.xlsx", "l.xlsx"]) == 2
    assert capsys.readouterr().err == (
        "error: --papers: found before score; expected only options of score, after it\n"
    )


def test_a_full_disk_leaves_nothing_behind(folder, frames, capsys, monkeypatch):
    arguments, _ = write_named(folder, frames)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    assert main(["score", *arguments, "--output", "a/b"]) == 2
    assert "output a/b: cannot be written (No space left on device); expected" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["l.csv", "p.csv"]


def test_an_interruption_leaves_nothing_behind(folder, frames, monkeypatch, capsys):
    arguments, _ = write_named(folder, frames)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, "render", interrupted)
    assert main(["score", *arguments]) == 130
    assert capsys.readouterr().err == "interrupted: nothing was written.\n"
    assert sorted(path.name for path in folder.iterdir()) == ["l.csv", "p.csv"]


def test_functions_raise_what_the_command_line_prints(folder):
    with pytest.raises(InputError, match=r"file: found .*none\.csv'; expected one that is there"):
        label_files.read_annotations(folder / "none.csv", folder / "none.csv")


# By itself, with a ceiling on what the process may allocate: unlike resident memory, this counts no page of a map,
# of which the kernel keeps as many as it likes. Scored once before, so that no import is counted.
MEASURE = """
import resource
from pathlib import Path
from nlcore.app.cli import main

def allocated_bytes():
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmData")).split()[1]) * 1024

assert main(["score", "few_l.npy", "few_p.npy", "--output", "few"]) == 0
ceiling = allocated_bytes() + (100 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (ceiling, ceiling))
assert main(["score", "l.npy", "p.npy", "--top", "100"]) == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's process status")
def test_maps_are_scored_in_bounded_memory(folder):
    generator = np.random.default_rng(0)
    labels = (generator.random((100_000, 500), dtype=np.float32) < 0.02).astype(np.int8)
    probs = np.float32(0.7) * labels + np.float32(0.3) * generator.random(labels.shape, dtype=np.float32)
    labels[:1000] = 1 - labels[:1000]
    for name, array in {"l": labels, "p": probs}.items():  # 250 MB of both, and 50 MB of flags: 40 MB were allocated
        np.save(f"{name}.npy", array)
        np.save(f"few_{name}.npy", array[:2000])
    command, places = [sys.executable, "-c", MEASURE], {"PYTHONPATH": str(Path(label_files.__file__).parents[2])}
    subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | places)
    assert len(tables(folder / "scored")["images"]) == 100
