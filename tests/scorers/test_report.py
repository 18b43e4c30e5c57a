"""The report on one's own labels: cleanlab as the oracle, unknown labels, DataFrames and memory maps."""

import warnings

import numpy as np
import pandas as pd
import pytest
from cleanlab.count import compute_confident_joint
from cleanlab.internal.multilabel_utils import onehot2int
from cleanlab.multilabel_classification import get_label_quality_scores
from cleanlab.multilabel_classification.dataset import (
    common_multilabel_issues,
    overall_multilabel_health_score,
    rank_classes_by_multilabel_quality,
)
from cleanlab.multilabel_classification.filter import find_label_issues as cleanlab_images
from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

from nlcore.errors import InputError
from nlcore.scorers import POOLINGS, find_label_issues, label_quality_scores
from nlcore.scorers import report as module
from nlcore.scorers.annotations import as_annotations
from nlcore.scorers.report import (
    class_report,
    confident_joints,
    doubted_annotations,
    flag_annotations,
    label_health,
    label_report,
    rank_images,
    score_images,
    swapped_tags,
)

SHAPES = [(40, 2), (300, 7), (2000, 3), (60, 25)]
REPORTS = (rank_images, doubted_annotations, class_report, swapped_tags)


def make_data(shape, seed=0, *, prevalence=0.3):
    """Labels with both kinds in every class, and probabilities that mostly agree; no two are equal."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(shape) < prevalence).astype(int)
    labels[0], labels[1] = 1, 0
    probs = 0.4 * labels + 0.6 * generator.random(shape)
    return labels, np.where(generator.random(shape) < 0.15, 1 - probs, probs)


@pytest.fixture(params=SHAPES, ids=str)
def data(request):
    return make_data(request.param)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cleanlab, of classes with few annotations
        yield


# cleanlab -------------------------------------------------------------------------------------------------------------


def test_images_are_scored_and_ranked_as_by_cleanlab(data):
    labels, probs = data
    ranked = rank_images(labels, probs)
    expected = get_label_quality_scores(onehot2int(labels), probs)
    np.testing.assert_allclose(ranked["score"], expected[ranked["image"]], rtol=1e-12)
    assert ranked["score"].is_monotonic_increasing
    in_order = cleanlab_images(onehot2int(labels), probs, return_indices_ranked_by="self_confidence", n_jobs=1)
    assert ranked.loc[ranked["doubted"] > 0, "image"].tolist() == list(in_order)


def test_annotations_in_doubt_are_those_of_cleanlab_in_its_order(data):
    labels, probs = data
    doubts = doubted_annotations(labels, probs)
    by_class, *_ = find_multilabel_issues_per_class(
        onehot2int(labels), probs, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    assert len(doubts) == sum(map(len, by_class)) > 0
    for k, images in enumerate(by_class):
        assert doubts.loc[doubts["tag"] == str(k), "image"].tolist() == list(images)
    assert doubts["score"].is_monotonic_increasing


def test_classes_have_the_numbers_of_cleanlab(data):
    labels, probs = data
    classes = class_report(labels, probs).set_index("tag").sort_index(key=lambda tags: tags.astype(int))
    assert len(classes) == labels.shape[1]
    listed = onehot2int(labels)
    ranked = rank_classes_by_multilabel_quality(listed, probs).set_index("Class Index").sort_index()
    np.testing.assert_allclose(classes["health"], ranked["Label Quality Score"], rtol=1e-12)
    np.testing.assert_allclose(classes["doubted_missing"] / len(probs), ranked["Inverse Label Noise"], rtol=1e-12)
    common = common_multilabel_issues(listed, probs)
    for given, column in ((True, "doubted_extra"), (False, "doubted_missing")):
        numbers = common[common["In Given Label"] == given].set_index("Class Index").sort_index()["Num Examples"]
        assert classes[column].tolist() == numbers.tolist()


def test_noise_is_what_lies_off_the_diagonal_of_cleanlabs_confident_joint(data):
    labels, probs = data
    joint = compute_confident_joint(onehot2int(labels), probs, multi_label=True)
    np.testing.assert_array_equal(confident_joints(labels, probs), joint)
    classes = class_report(labels, probs).set_index("tag").loc[[str(k) for k in range(len(joint))]]
    np.testing.assert_allclose(classes["noise_in_annotated"], joint[:, 1, 0] / joint[:, 1].sum(axis=1))
    np.testing.assert_allclose(classes["noise_in_not_annotated"], joint[:, 0, 1] / joint[:, 0].sum(axis=1))


def test_health_is_that_of_cleanlab(data):
    labels, probs = data
    expected = overall_multilabel_health_score(onehot2int(labels), probs)
    assert label_health(labels, flag_annotations(labels, probs)) == pytest.approx(expected, abs=1e-12)
    assert expected < 1


# What each table says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", POOLINGS)
def test_scores_are_those_of_the_pooling(pooling):
    labels, probs = make_data((50, 5))
    ranked = rank_images(labels, probs, pooling=pooling)
    np.testing.assert_array_equal(ranked["score"], np.sort(label_quality_scores(labels, probs, pooling=pooling)))


def test_the_rows_of_a_doubted_annotation_fit_together():
    labels, probs = make_data((300, 7))
    doubts = doubted_annotations(labels, probs)
    image, tag = doubts["image"].to_numpy(), doubts["tag"].astype(int).to_numpy()
    np.testing.assert_array_equal(doubts["given"], labels[image, tag])
    np.testing.assert_array_equal(doubts["probability"], probs[image, tag])
    np.testing.assert_array_equal(doubts["suggested"], 1 - doubts["given"])
    np.testing.assert_array_equal(doubts["direction"], np.where(doubts["given"] == 1, "extra", "missing"))
    assert set(doubts["direction"]) == {"extra", "missing"}
    counted = np.bincount(image, minlength=300)
    ranked = rank_images(labels, probs)
    np.testing.assert_array_equal(ranked["doubted"], counted[ranked["image"]])


def test_given_tags_are_named_and_top_keeps_the_worst():
    labels, probs = make_data((30, 3))
    names = ["cat", "dog", "fox"]
    every = rank_images(labels, probs, classes=names, delimiter="|")
    for image, given in zip(every["image"], every["given"], strict=True):
        assert given == "|".join(name for name, label in zip(names, labels[image], strict=True) if label)
    pd.testing.assert_frame_equal(rank_images(labels, probs, classes=names, delimiter="|", top=4), every.head(4))
    doubts = doubted_annotations(labels, probs)
    assert len(doubts) > 2
    pd.testing.assert_frame_equal(doubted_annotations(labels, probs, top=2), doubts.head(2))


def test_swaps_are_counted_in_images_that_doubt_both_ways():
    labels = np.array([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1]])
    flags = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 0], [0, 1, 1]], dtype=bool)
    probs = np.full((4, 3), 0.5)
    swaps = swapped_tags(labels, probs, flags=flags, classes=["cat", "dog", "fox"])
    assert list(swaps.itertuples(index=False, name=None)) == [("cat", "dog", 2), ("dog", "cat", 1), ("fox", "dog", 1)]
    classes = class_report(labels, probs, flags=flags, classes=["cat", "dog", "fox"]).set_index("tag")
    assert classes["confused_with"].to_dict() == {"cat": "dog (3)", "dog": "cat (3); fox (1)", "fox": "dog (1)"}
    fewer = class_report(labels, probs, flags=flags, classes=["cat", "dog", "fox"], confused=1).set_index("tag")
    assert fewer.loc["dog", "confused_with"] == "cat (3)"


def test_one_call_makes_the_tables_of_all():
    labels, probs = make_data((300, 7))
    names, ids = list("abcdefg"), [f"{i}.jpg" for i in range(300)]
    flags = np.empty(labels.shape, dtype=bool)
    found = label_report(labels, probs, ids=ids, classes=names, pooling="min", delimiter="|", top=40, out=flags)
    assert found.flags is flags
    np.testing.assert_array_equal(flags, find_label_issues(labels, probs).per_class)
    np.testing.assert_array_equal(found.scores, label_quality_scores(labels, probs, pooling="min"))
    named = {"ids": ids, "classes": names}
    expected = rank_images(labels, probs, **named, pooling="min", delimiter="|", top=40)
    pd.testing.assert_frame_equal(found.images, expected)
    pd.testing.assert_frame_equal(found.doubts, doubted_annotations(labels, probs, **named, top=40))
    pd.testing.assert_frame_equal(found.classes, class_report(labels, probs, classes=names, confused=5))
    pd.testing.assert_frame_equal(found.swapped, swapped_tags(labels, probs, classes=names))
    assert found.totals["health"] == label_health(labels, flags) < 1
    assert found.totals["doubted"]["annotations"] == flags.sum() > 40 == len(found.doubts)
    assert found.totals["annotations"]["given"] == labels.sum()


def test_one_call_matches_dataframes_by_index_and_columns():
    labels, probs = make_data((300, 3))
    ids, names = pd.Index([f"{i}.jpg" for i in range(300)], name="image"), ["cat", "dog", "fox"]
    given, model = (pd.DataFrame(array, index=ids, columns=names) for array in (labels, probs))
    shuffled = model.sample(frac=1, random_state=0)[["fox", "cat", "dog"]]
    found, expected = label_report(given, shuffled), label_report(labels, probs, ids=list(ids), classes=names)
    for name in ("images", "doubts", "classes", "swapped"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name), check_names=False)
    assert found.totals == expected.totals


def test_doubts_with_the_scores_of_images_are_in_the_order_of_images():
    labels, probs = make_data((300, 7))
    scores = score_images(labels, probs).round(1)  # many are equal
    ranked, plain = rank_images(labels, probs, scores=scores), doubted_annotations(labels, probs)
    doubts = doubted_annotations(labels, probs, scores=scores)
    assert doubts["image"].unique().tolist() == ranked.loc[ranked["doubted"] > 0, "image"].tolist()
    np.testing.assert_array_equal(doubts["image_score"], scores[doubts["image"]])
    assert doubts.groupby("image")["score"].is_monotonic_increasing.all()
    restored = doubts.sort_values(["score", "image", "tag"], ignore_index=True)[list(plain.columns)]
    pd.testing.assert_frame_equal(restored, plain.sort_values(["score", "image", "tag"], ignore_index=True))
    pd.testing.assert_frame_equal(doubted_annotations(labels, probs, scores=scores, top=3), doubts.head(3))


# Unknown labels -------------------------------------------------------------------------------------------------------


def test_an_unknown_annotation_is_never_in_doubt_and_leaves_every_count():
    labels, probs = make_data((300, 4))
    unknown = np.random.default_rng(1).random(labels.shape) < 0.3
    unknown[:2] = False
    masked = np.where(unknown, -1, labels)
    flags = flag_annotations(masked, probs)
    assert flags.any() and not flags[unknown].any()
    classes = class_report(masked, probs).set_index("tag")
    for k in range(4):
        known = ~unknown[:, k]
        alone = class_report(labels[known, k : k + 1], probs[known, k : k + 1]).loc[0]
        for name in (*classes.columns[:2], *classes.columns[3:-1]):
            assert classes.loc[str(k), name] == alone[name], name
        assert classes.loc[str(k), "unknown"] == unknown[:, k].sum()


def test_an_image_without_a_known_label_ranks_last_and_is_in_no_share():
    labels, probs = make_data((20, 3))
    labels[5] = -1
    ranked = rank_images(labels, probs)
    assert ranked["image"].iloc[-1] == 5 and np.isnan(ranked["score"].iloc[-1]) and ranked["given"].iloc[-1] == ""
    flags = np.zeros(labels.shape, dtype=bool)
    flags[0, 0] = True
    assert label_health(labels, flags) == 1 - 1 / 19


def test_a_class_without_a_known_label_has_no_numbers():
    labels, probs = make_data((20, 3))
    labels[:, 1] = -1
    row = class_report(labels, probs).set_index("tag").loc["1"]
    assert row[["annotated", "not_annotated", "unknown", "doubted_extra", "doubted_missing"]].tolist() == [
        0, 0, 20, 0, 0,
    ]  # fmt: skip
    assert row[["noise_in_annotated", "noise_in_not_annotated", "health"]].isna().all()
    assert np.isnan(label_health(np.full((2, 2), -1), np.zeros((2, 2), dtype=bool)))


# DataFrames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", REPORTS, ids=lambda f: f.__name__)
def test_dataframes_are_matched_by_index_and_columns(function):
    labels, probs = make_data((300, 3))
    ids, names = [f"{i}.jpg" for i in range(300)], ["cat", "dog", "fox"]
    frames = (pd.DataFrame(array, index=ids, columns=names) for array in (labels, probs))
    given, model = next(frames), next(frames).sample(frac=1, random_state=0)[["fox", "cat", "dog"]]
    named = {"ids": ids, "classes": names} if function in (rank_images, doubted_annotations) else {"classes": names}
    expected = function(labels, probs, **named)
    assert len(expected) > 0
    pd.testing.assert_frame_equal(function(given, model), expected, check_dtype=False)


def test_whole_numbers_as_an_index_are_matched_with_a_default_index():
    labels, probs = make_data((30, 2))
    shuffled = pd.DataFrame(probs).sample(frac=1, random_state=0)
    data = as_annotations(pd.DataFrame(labels), shuffled)
    np.testing.assert_array_equal(data.probs, probs)


def test_a_default_index_is_matched_by_position_with_names():
    labels, probs = make_data((3, 2))
    data = as_annotations(pd.DataFrame(labels, index=list("abc"), columns=["cat", "dog"]), pd.DataFrame(probs))
    np.testing.assert_array_equal(data.probs, probs)
    assert list(data.ids) == ["a", "b", "c"] and data.classes == ("cat", "dog")


def test_columns_of_several_types_are_read_as_numbers():
    labels, probs = make_data((30, 2))
    mixed = pd.DataFrame({"cat": labels[:, 0].astype(bool), "dog": pd.array(labels[:, 1], dtype="Int64")})
    np.testing.assert_array_equal(as_annotations(mixed, probs).labels, labels)


def frame(values, **names):
    return pd.DataFrame(values, **names)


TWO = np.array([[1, 0], [0, 1]])
HALF = np.full((2, 2), 0.5)


@pytest.mark.parametrize(
    ("labels", "probs", "options", "line"),
    [
        (TWO[:1], HALF, {}, r"shape of labels: found \(1, 2\); expected \(2, 2\)"),
        (frame(TWO, columns=["a", "b"]), frame(HALF, columns=["a", "c"]), {}, r"classes of probs: found \['c'\]"),
        (frame(TWO, columns=["a", "b"]), frame(HALF[:, :1], columns=["a"]), {}, "classes of probs: found 'all but b'"),
        (frame(TWO, index=["x", "y"]), frame(HALF, index=["x", "z"]), {}, r"ids of probs: found \['z'\]"),
        (
            frame(TWO, index=["x", "x"]),
            frame(HALF, index=["x", "z"]),
            {},
            r"ids of labels: found \['x'\]; expected each",
        ),
        (frame([["cat", "0"]] * 2), HALF, {}, "labels or probs: found text"),
        (TWO, HALF, {"classes": ["a"]}, "number of classes: found 1; expected 2"),
        (TWO, HALF, {"classes": ["a", "a"]}, r"classes: found \['a'\]; expected each name once"),
        (frame(TWO, columns=["a", "b"]), HALF, {"classes": ["a", "c"]}, r"classes: found \['c'\]; expected the names"),
        (TWO, HALF, {"ids": ["a"]}, "number of ids: found 1; expected 2"),
        (TWO, HALF, {"top": 0}, "top: found 0; expected a whole number"),
        (TWO, HALF, {"pooling": "best"}, "pooling: found 'best'; expected one of min"),
        (TWO, HALF, {"flags": HALF}, r"flags: found 'float64 of shape \(2, 2\)'; expected booleans of shape"),
        (TWO * 2, HALF, {}, r"labels\[0, 0\]: found 2; expected 1, 0, or -1"),
        (TWO, HALF * 3, {}, r"probs\[0, 0\]: found 1.5; expected a probability"),
    ],
)
def test_bad_input_is_told_in_one_line(labels, probs, options, line):
    with pytest.raises(InputError, match=line) as error:
        rank_images(labels, probs, **options)
    assert "\n" not in str(error.value)


NAMED = {"index": ["x", "y"], "columns": ["cat", "dog"]}
BY_NAME = (frame(TWO, **NAMED), frame(HALF, **NAMED))


@pytest.mark.parametrize(
    ("labels", "probs", "options", "line"),
    [
        (
            frame([[1, 0], [0, 3]], **NAMED),
            BY_NAME[1],
            {},
            r"labels\[1, 1\], image 'y', class 'dog': found 3; expected 1",
        ),
        (
            BY_NAME[0],
            frame(HALF * 3, **NAMED),
            {},
            r"probs\[0, 0\], image 'x', class 'cat': found 1.5; expected a prob",
        ),
        (
            frame([[1, np.nan], [0, 1]], **NAMED),
            HALF,
            {},
            r"labels\[0, 1\], image 'x', class 'dog': found nan; expected",
        ),
        (frame({"cat": pd.array([1, None], "Int64"), "dog": [True, False]}), HALF, {}, r"labels\[1, 0\], class 'cat'"),
        (TWO * 2, HALF, {"ids": ["x", "y"]}, r"labels\[0, 0\], image 'x': found 2; expected 1, 0, or -1"),
        (TWO * 2, HALF, {}, r"labels\[0, 0\]: found 2; expected 1, 0, or -1"),
        (
            BY_NAME[0],
            BY_NAME[1].rename(columns={"dog": "fox"}),
            {},
            r"classes of probs: found \['fox'\]; expected those",
        ),
        (BY_NAME[0], BY_NAME[1].drop(index="y"), {}, "ids of probs: found 'all but y'; expected those of labels"),
        (TWO, HALF[:1], {}, r"shape of labels: found \(2, 2\); expected \(1, 2\), that of probs"),
        (TWO, TWO, {}, "probs: found the type int64; expected floating-point numbers"),
        ([[1, 0]], HALF, {}, "labels: found a list; expected a NumPy array"),
        (TWO, HALF, {"pooling": "best"}, "pooling: found 'best'; expected one of min"),
        (TWO, HALF, {"top": 0}, "top: found 0; expected a whole number"),
        (TWO, HALF, {"confused": -1}, "confused: found -1; expected a whole number"),
        (
            TWO,
            HALF,
            {"out": np.empty((1, 2), bool)},
            r"flags: found 'bool of shape \(1, 2\)'; expected booleans of shape",
        ),
    ],
)
def test_one_call_tells_bad_input_in_one_line_by_name(labels, probs, options, line):
    with pytest.raises(InputError, match=f"^{line}") as error:
        label_report(labels, probs, **options)
    assert "\n" not in str(error.value)


def test_a_bad_probability_is_told_by_image_whatever_the_order_of_rows():
    model = frame([[0.5, 0.5], [0.5, np.nan]], index=["y", "x"], columns=["dog", "cat"])
    with pytest.raises(InputError, match=r"probs\[0, 0\], image 'x', class 'cat': found nan; expected a probability"):
        label_report(BY_NAME[0], model)


def test_a_bad_value_is_counted_in_the_whole_where_scores_are_made_in_blocks(monkeypatch):
    labels, probs = make_data((300, 7))
    probs[200, 3] = 1.5
    monkeypatch.setattr("nlcore.scorers.blocks.CACHE_BYTES", 1 << 12)
    for function in (score_images, label_report):
        with pytest.raises(InputError, match=r"^probs\[200, 3\]: found 1.5"):
            function(labels, probs)


def test_scores_of_images_that_do_not_fit_are_refused():
    for function in (rank_images, doubted_annotations):
        with pytest.raises(InputError, match=r"shape of scores: found \(3,\); expected '?\(2,\)"):
            function(TWO, HALF, scores=np.zeros(3))


# Large arrays ---------------------------------------------------------------------------------------------------------


def test_memory_maps_give_the_tables_of_arrays(tmp_path, monkeypatch):
    labels, probs = make_data((3000, 20))
    labels, probs = labels.astype(np.int8), probs.astype(np.float32)
    maps = []
    for name, array in (("labels", labels), ("probs", probs)):
        np.save(tmp_path / f"{name}.npy", array)
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    expected = [function(labels, probs) for function in REPORTS]
    monkeypatch.setattr("nlcore.scorers.blocks.CACHE_BYTES", 1 << 12)  # many blocks of rows
    flags = np.memmap(tmp_path / "flags", bool, "w+", shape=labels.shape)
    flag_annotations(*maps, out=flags)
    np.testing.assert_array_equal(flags, find_label_issues(labels, probs).per_class)
    for function, table in zip(REPORTS, expected, strict=True):
        pd.testing.assert_frame_equal(function(*maps, flags=flags), table)


def test_half_precision_is_read_as_single():
    labels, probs = make_data((200, 4))
    probs = probs.astype(np.float16)
    doubts, expected = (doubted_annotations(labels, array) for array in (probs, probs.astype(np.float32)))
    assert len(doubts) > 0
    pd.testing.assert_frame_equal(doubts, expected)


def test_blocks_of_classes_judge_as_all_at_once_and_somebody_may_look_on(monkeypatch):
    labels, probs = make_data((300, 7))
    plain = find_label_issues(labels, probs).per_class
    monkeypatch.setattr(module, "_class_blocks", lambda array, size: [slice(0, 3), slice(3, 5), slice(5, 7)])
    seen = []

    def watch(blocks, what):
        for block in blocks:
            seen.append((what, block.start))
            yield block

    np.testing.assert_array_equal(flag_annotations(labels, probs, watch=watch), plain)
    assert seen == [("checking values", 0)] + [("annotations in doubt", start) for start in (0, 3, 5)]
