"""Section 5.2: injected errors are counted exactly, images are held out once, CelebA runs through the same code."""

import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nlcore.data.celeba import TAGS
from nlcore.data.embedded_set import embedded
from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.papers.cleanlab_ema import PAPER, figures, tables
from nlcore.papers.cleanlab_ema.claims import lift
from nlcore.papers.cleanlab_ema.protocol import Protocol
from nlcore.papers.cleanlab_ema.review import (
    Tagging,
    injected_flags,
    injected_lifts,
    injected_scores,
    load_tagging,
    to_review,
)
from nlcore.papers.cleanlab_ema.scoring import flag_metrics
from nlcore.papers.cleanlab_ema.study import Study
from nlcore.papers.cleanlab_ema.tagging import HeldOutTags, inject_errors, tagged_rows, tagging_labels
from nlcore.papers.paper import Paper
from nlcore.papers.profiles import Resources, load_profile
from nlcore.report.verdicts import Verdict
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import RunFailedError, Store, Work, run_grid
from nlcore.training import loop


def as_study(tagging):
    return Study(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), tagging=tagging)


def test_injected_errors_swap_one_label_of_an_exact_share_of_images():
    targets = (np.random.default_rng(0).random((200, 12)) < 0.2).astype(np.int8)
    labelled = targets.any(axis=1)
    wrong = inject_errors(targets, np.random.default_rng(1))
    changed = (wrong != targets).sum(axis=1)
    assert set(changed) == {0, 2}  # one label lost, one gained
    assert (changed > 0).sum() == round(0.15 * labelled.sum())
    np.testing.assert_array_equal(wrong.sum(axis=1), targets.sum(axis=1))
    assert not changed[~labelled].any()


@pytest.mark.parametrize(("kind", "lost", "gained"), [("swapped", 1, 1), ("removed", 1, 0), ("added", 0, 1)])
def test_errors_of_each_kind_lose_or_gain_one_label_of_the_same_images(kind, lost, gained):
    targets = (np.random.default_rng(0).random((200, 12)) < 0.2).astype(np.int8)
    wrong = inject_errors(targets, np.random.default_rng(1), kind=kind)
    swapped = inject_errors(targets, np.random.default_rng(1))
    rows = (wrong != targets).any(axis=1)
    np.testing.assert_array_equal(rows, (swapped != targets).any(axis=1))
    assert set((targets > wrong).sum(axis=1)[rows]) == {lost}
    assert set((wrong > targets).sum(axis=1)[rows]) == {gained}


def certain(kinds, *, noise=0.01):
    """A tagging whose classifier knows the true tags almost surely, with errors of these kinds, two seeds each."""
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 6)) < 0.4).astype(np.int8)
    targets[~targets.any(axis=1), 0] = 1
    probabilities = np.clip(np.where(targets == 1, 0.9, 0.1) + rng.normal(scale=noise, size=targets.shape), 0, 1)
    injected = {kind: {seed: (inject_errors(targets, np.random.default_rng(seed), kind=kind), probabilities)
                       for seed in (0, 1)} for kind in kinds}  # fmt: skip
    return Tagging(Source(), tuple("abcdef"), np.arange(400), targets, probabilities, injected)


def test_every_pooling_scores_every_kind_of_error():
    found = injected_scores(certain(("swapped", "removed", "added")))
    assert len(found) == 3 * 2 * 10
    by_kind = found[found.pooling == "min"].groupby("kind").auprc.min()
    assert (by_kind > 0.99).all(), "one low score is enough for the minimum"
    chance = injected_scores(certain(("swapped",), noise=10))
    assert chance.auprc.max() < 0.6


def test_flags_are_held_against_the_injected_errors_of_each_kind():
    found = injected_flags(certain(("swapped", "removed", "added"))).set_index(["kind", "seed"])
    assert (found.example_precision > 0.95).all()
    recall = found.example_recall.groupby("kind").mean()
    assert recall["swapped"] > 0.95
    # One annotation of a class is flagged where its probability reaches the mean of the other kind: about half do.
    assert recall[["removed", "added"]].between(0.3, 0.7).all()
    assert set((found.annotation_wrong * 400 * 6).round()) == {60, 120}  # a swap is two wrong annotations


def test_flags_are_counted_by_annotation_and_by_example():
    flags = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]], bool)
    wrong = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    assert flag_metrics(flags, wrong) == {
        "annotation_flagged": 3 / 12, "annotation_wrong": 2 / 12, "annotation_precision": 1 / 3,
        "annotation_recall": 1 / 2, "example_flagged": 2 / 4, "example_wrong": 2 / 4, "example_precision": 1 / 2,
        "example_recall": 1 / 2,
    }  # fmt: skip
    nothing = flag_metrics(~flags & False, wrong & False)
    assert np.isnan([nothing["example_precision"], nothing["annotation_recall"]]).all()


@pytest.fixture(scope="module")
def tagging(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    specs = [spec for spec in PAPER.specs("smoke", seeds=[0]) if isinstance(spec, HeldOutTags)]
    run_grid(specs, store, workers=0)
    return load_tagging(store.results(specs)[0])


@pytest.mark.slow
def test_every_labelled_image_is_held_out_once(tagging):
    assert len(tagging.rows) == embedded().targets.any(axis=1).sum()
    assert np.isfinite(tagging.probabilities).all()
    assert set(tagging.injected["swapped"]) == {0, 1}


@pytest.mark.slow
def test_low_scores_find_injected_errors(tagging):
    lifts = injected_lifts(tagging)
    assert (lifts[lifts.k == 100].lift > 1.5).all()
    assert (lifts.lift <= 1 / 0.15 + 0.01).all()


@pytest.mark.slow
def test_pictures_are_shown_only_where_their_licence_permits(tagging, tmp_path):
    out = ArtefactWriter("cleanlab_ema", "smoke", tmp_path, PAPER.contract.artefacts())
    figures.figure_1(as_study(tagging), out)
    figures.figure_4(as_study(tagging), out)
    shown = pd.read_csv(out.folder / "fig_1.csv")
    assert len(shown) == 15
    assert set(embedded().licence_ids[shown.row]) <= {4, 5, 7, 8}
    assert shown.credit.str.contains("flickr").all()
    assert shown["rank"].is_monotonic_increasing
    assert pd.read_csv(out.folder / "fig_4.csv").doubted_tag.nunique() == 3


def test_the_claim_on_lift_holds_on_errors_that_are_found_and_fails_on_chance():
    rng = np.random.default_rng(0)
    targets = (rng.random((2000, 5)) < 0.4).astype(np.int8)
    targets[:, 0] |= ~targets.any(axis=1)
    good, chance = {}, {}
    for seed in range(5):
        wrong = inject_errors(targets, rng)
        good[seed] = (wrong, np.where(targets == 1, 0.9, 0.1) + rng.normal(scale=0.01, size=targets.shape))
        chance[seed] = (wrong, rng.random(targets.shape))
    for injected, confirmed in ((good, True), (chance, False)):
        tagging = Tagging(Source(), tuple("abcde"), np.arange(2000), targets, good[0][1], {"swapped": injected})
        on_injected, on_celeba = lift(as_study(tagging))
        assert on_injected.verdict.confirms == confirmed
        assert on_celeba.verdict == Verdict.NOT_RUN


@pytest.fixture
def reviewable():
    """A thousand images with one doubtful tag each, and the study of them."""
    rng = np.random.default_rng(0)
    targets = (rng.random((1000, 5)) < 0.4).astype(np.int8)
    probabilities = np.clip(np.where(targets == 1, 0.8, 0.2) + rng.normal(scale=0.05, size=targets.shape), 0, 1)
    tagging = Tagging(Source(), tuple("abcde"), np.arange(1000), targets, probabilities, {})
    return as_study(tagging)


def filled(study, folder, *, lowest, random):
    """The sheet as a person who finds so many wrong would leave it, in a file."""
    out = ArtefactWriter(PAPER.id, "smoke", folder, {})
    sheet = tables.review_sheet(study, out)
    low, drawn = (study.tagging.rows[places] for places in to_review(study.tagging))
    both = np.intersect1d(low, drawn)
    wrong = [*np.setdiff1d(low, both)[:lowest], *np.setdiff1d(drawn, both)[:random]]
    path = folder / "filled.csv"
    sheet.assign(wrong=sheet.row.isin(wrong).astype(int)).to_csv(path, index=False)
    return path


def test_a_review_decides_by_the_ratio_of_its_two_shares(reviewable, tmp_path):
    study = reviewable.reviewed(filled(reviewable, tmp_path, lowest=67, random=15))
    assert (study.review.lowest, study.review.random) == ((67, 100), (15, 100))
    part = list(lift(study))[-1]
    assert part.verdict == Verdict.HOLDS and part.published == pytest.approx(np.log(4.5))
    assert np.exp(part.estimate.mean) == pytest.approx(67 / 15)
    # Katz: exp(log(67 / 15) -+ 1.96 sqrt(1/67 - 1/100 + 1/15 - 1/100))
    np.testing.assert_allclose(np.exp([part.estimate.low, part.estimate.high]), [2.746, 7.265], atol=1e-3)
    table = tables.review_lift(study, ArtefactWriter(PAPER.id, "smoke", tmp_path / "out", {}))
    assert list(table.published) == [0.67, 0.15, 4.5] and table.ours.iloc[-1] == pytest.approx(67 / 15)


def test_a_review_that_finds_as_much_in_both_samples_does_not_confirm(reviewable, tmp_path):
    study = reviewable.reviewed(filled(reviewable, tmp_path, lowest=20, random=18))
    assert list(lift(study))[-1].verdict == Verdict.INCONCLUSIVE
    study = reviewable.reviewed(filled(reviewable, tmp_path / "again", lowest=5, random=40))
    assert list(lift(study))[-1].verdict == Verdict.CONTRADICTED


def test_the_sheet_does_not_tell_which_images_the_score_doubts(reviewable, tmp_path):
    sheet = pd.read_csv(filled(reviewable, tmp_path, lowest=1, random=1))
    assert list(sheet.columns) == ["row", "image", "given_tags", "wrong"] and sheet.row.is_unique
    low, _ = to_review(reviewable.tagging)
    places = np.flatnonzero(sheet.row.isin(reviewable.tagging.rows[low]))
    assert places.min() < 20 and places.max() > len(sheet) - 20, "spread over the sheet"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda sheet: sheet.assign(wrong=[None, *sheet.wrong[1:]]), "1 rows not reviewed; expected 0 or 1"),
        (lambda sheet: sheet.assign(row=sheet.row + 1), "other images than were to be reviewed; expected"),
        (lambda sheet: sheet.assign(wrong=0), "no lift in it; expected something wrong"),
        (lambda sheet: sheet.drop(columns="wrong"), "other images than were to be reviewed; expected"),
    ],
)
def test_a_sheet_that_cannot_be_used_is_told(reviewable, tmp_path, spoil, told):
    path = filled(reviewable, tmp_path, lowest=5, random=5)
    spoil(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(InputError, match=told):
        reviewable.reviewed(path)
    with pytest.raises(InputError, match="cannot be read"):
        reviewable.reviewed(tmp_path / "none.csv")


def draw_celeba(root, images):
    """A folder in CelebA's layout; an image's brightness tells whether it smiles."""
    (root / "img_align_celeba").mkdir(parents=True)
    rng, lines = np.random.default_rng(0), [str(images), " ".join(TAGS)]
    for number in range(1, images + 1):
        tags = rng.random(len(TAGS)) < 0.4
        tags[-1] |= not tags.any()
        name = f"{number:06d}.jpg"
        pixels = rng.integers(0, 60, size=(40, 32, 3)) + 180 * int(tags[-1])
        Image.fromarray(pixels.astype(np.uint8)).save(root / "img_align_celeba" / name)
        lines.append(" ".join([name, *("1" if tag else "-1" for tag in tags)]))
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def celeba(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    draw_celeba(tmp_path / "celeba", 32)
    return tmp_path / "celeba"


def on_celeba(specs):
    return [spec for spec in specs if isinstance(spec, HeldOutTags) and spec.source.data == "celeba"]


@pytest.fixture
def small_images(monkeypatch):
    """The profile with its own network, on images that a core can train on while one waits."""

    def smaller(package, profile):
        settings = load_profile(package, profile)
        return settings | {"celeba": settings["celeba"] | {"source": settings["celeba"]["source"] | {"size": 64}}}

    # By its module: `nlcore.papers.paper` is also the function that looks a paper up.
    monkeypatch.setattr(sys.modules[Paper.__module__], "load_profile", smaller)


@pytest.mark.slow
def test_a_folder_of_celeba_reaches_the_tables_and_figures(celeba, small_images, tmp_path):
    """As the notebook does it: the session computes, and section 5.2 is made of CelebA's tags and pictures."""
    session = PAPER.open(
        "rehearsal", seeds=[0], workers=0, celeba_root=str(celeba), weights="random", device="cpu",
        output=tmp_path / "figures", store=tmp_path / "store",
    )  # fmt: skip
    study, out = session.study, session.out
    assert len(on_celeba(session.grid.specs)) == 8  # four folds on the given labels, four with injected errors
    table = tables.table_1(study, out)
    assert tuple(table.tag) == TAGS
    assert table["accuracy published"].notna().all()
    assert table["images"].sum() == study.tagging.given.sum() == study.tagging.images.targets.sum()
    assert list(tables.lift_injected(study, out).k) == [10]  # of 32 images
    sheet = tables.review_sheet(study, out)
    assert sorted(sheet.row) == list(range(32)) and sheet.image.str.fullmatch(r"\d{6}\.jpg").all()
    for make, id in ((figures.figure_1, "fig_1"), (figures.figure_4, "fig_4")):
        drawn = make(study, out)
        shown = pd.read_csv(out.folder / f"{id}.csv")
        assert set(shown.doubted_tag) <= set(TAGS)
        assert shown.credit.str.fullmatch(r"CelebA \d+").all()
        assert sum(len(axis.images) for axis in drawn.axes) == len(shown) > 0
        assert out.entries[id]["deviations"] == ""
    assert "CelebA" in out.entries["table_1"]["caption"]
    session.finish()


def test_what_a_person_gives_reaches_the_runs_and_only_what_decides_results_their_keys(celeba):
    def runs(**given):
        return on_celeba(PAPER.specs("rehearsal", resources=Resources(celeba_root=str(celeba), **given)))

    given = {"weights": "random", "device": "cpu", "on_bad_image": "skip", "deterministic": True}
    for spec in runs(**given):
        assert {name: getattr(spec.source, name) for name in given} == given
    moved = celeba.rename(celeba.with_name("elsewhere"))
    elsewhere = Resources(celeba_root=str(moved), weights="random", device="auto")
    keys = [spec.key for spec in on_celeba(PAPER.specs("rehearsal", resources=elsewhere))]
    moved.rename(celeba)
    assert keys == [spec.key for spec in runs(**given)]
    assert not {spec.key for spec in runs()} & set(keys)  # published weights, as the profile says
    assert {spec.source.weights for spec in runs()} == {"timm:ra_in1k"}


def test_a_killed_training_on_images_goes_on_from_its_last_checkpoint(celeba, tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CHECKPOINT_SECONDS", "0")
    source = Source(data="celeba", model="resnet18", size=32, weights="random", root=str(celeba), device="cpu")
    run = HeldOutTags(source=source, protocol=Protocol(epochs=3, batch_size=8), fold=1, injected=0)
    undisturbed, killed = Store(tmp_path / "undisturbed"), Store(tmp_path / "killed")
    run_grid([run], undisturbed, workers=0)
    trained = []

    def train_epoch(training, *others):
        if training.epoch == 2 and trained == [0, 1]:
            raise RuntimeError("killed, as it were")
        trained.append(training.epoch)
        whole_epoch(training, *others)

    whole_epoch = loop._train_epoch
    monkeypatch.setattr(loop, "_train_epoch", train_epoch)
    with pytest.raises(RunFailedError, match="killed, as it were"):
        run_grid([run], killed, workers=0)
    assert [path.name for path in killed.scratch(run).iterdir()] == ["training.safetensors"]
    trained.append("killed")
    run_grid([run], killed, workers=0)
    assert trained == [0, 1, "killed", 2]
    assert killed.read(run).checksum == undisturbed.read(run).checksum
    assert not killed.scratch(run).exists()


def test_an_image_that_cannot_be_read_is_left_out_when_asked(celeba):
    (celeba / "img_align_celeba" / "000005.jpg").write_bytes(b"no image")
    source = Source(data="celeba", model="resnet18", size=32, weights="random", root=str(celeba), on_bad_image="skip")
    images = source.load()
    assert 4 not in tagged_rows(images)
    assert len(tagged_rows(images)) == 31
    changed = (tagging_labels(images, 0) != images.targets).any(axis=1)
    assert changed.sum() == round(0.15 * 31)
    assert set(np.flatnonzero(changed)) <= set(tagged_rows(images))
    with pytest.raises(InputError, match=r"000005\.jpg"):
        source.model_copy(update={"on_bad_image": "fail"}).load()


def draw_attributes(root, images):
    """CelebA's list alone, of the seven tags and three other attributes; one of these tells who smiles."""
    names = ("Bald", *TAGS, "Mouth_Open", "Young")
    rng, lines = np.random.default_rng(0), [str(images), " ".join(names)]
    for number in range(1, images + 1):
        given = rng.random(len(names)) < 0.4
        given[names.index("Mouth_Open")] = given[names.index("Smiling")]
        lines.append(" ".join([f"{number:06d}.jpg", *("1" if one else "-1" for one in given)]))
    root.mkdir()
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    return root


def test_without_its_images_celebas_tags_are_told_from_its_other_attributes(tmp_path):
    root = draw_attributes(tmp_path / "list", 600)
    specs = PAPER.specs("embedded", seeds=[0], resources=Resources(celeba_root=str(root)))
    runs = [spec for spec in specs if isinstance(spec, HeldOutTags) and spec.source.data == "attributes"]
    assert len(runs) == 4 * (1 + 2 * 3)  # folds, of the labels as given and of two copies with each kind of error
    assert {spec.source for spec in PAPER.specs("paper", seeds=[0], resources=Resources(celeba_root=str(root)))
            if isinstance(spec, HeldOutTags)} >= {runs[0].source}  # fmt: skip
    enough = Protocol(epochs=60, batch_size=64, learning_rate=0.01)  # of 600 images a few steps make a pass
    as_given = [spec.model_copy(update={"protocol": enough}) for spec in runs if spec.injected is None]
    images = runs[0].source.load()
    assert images.inputs.shape == (len(images.targets), 3) and images.targets.any(axis=1).all()
    assert sum(runs[0].source.sizes()) == len(images.targets) < 600  # those without a tag are left out
    store = Store(tmp_path / "store")
    run_grid(as_given, store, workers=0)
    tagging = load_tagging({spec: store.result(spec) for spec in as_given})
    study, out = as_study(tagging), ArtefactWriter("cleanlab_ema", "embedded", tmp_path / "figures",
                                                   PAPER.contract.artefacts())  # fmt: skip
    table = tables.table_1(study, out).set_index("tag")
    assert table["accuracy published"].notna().all()
    assert table.loc["Smiling", "accuracy ours"] > 0.95 > table.loc["Wearing_Hat", "accuracy ours"]
    assert "attributes" in out.entries["table_1"]["deviations"]
    figures.figure_1(study, out)
    assert "a grey square" in out.entries["fig_1"]["caption"]
    sheet = tables.review_sheet(study, out).set_index("image")
    listed = dict(line.split(" ", 1) for line in (root / "list_attr_celeba.txt").read_text().splitlines()[2:])
    for name, tags in sheet.given_tags.items():
        assert ("Smiling" in tags) == (listed[name].split()[1 + TAGS.index("Smiling")] == "1")
    assert not tagging.on_celeba, "what a person says of these images decides no claim about EfficientNet exactly"


def test_profiles_that_train_on_images_take_them_where_they_are(celeba, tmp_path):
    for profile, data in (("paper", "celeba"), ("embedded", "attributes")):
        specs = PAPER.specs(profile, resources=Resources(celeba_root=str(celeba), weights="random"))
        found = {spec.source.data for spec in specs if isinstance(spec, HeldOutTags)}
        assert found == {"embedded", data}
    root = draw_attributes(tmp_path / "list", 20)
    with pytest.raises(InputError, match=r"^celeba_root: no img_align_celeba/ in .*list; expected it, since"):
        PAPER.specs("rehearsal", resources=Resources(celeba_root=str(root)))
    list_file = root / "list_attr_celeba.txt"
    list_file.write_text(list_file.read_text().replace("000003.jpg", "three"))
    with pytest.raises(InputError, match=r"list_attr_celeba\.txt, line 5: found 'three"):
        Source(data="attributes", root=str(root)).load()


def test_bad_input_is_told_in_one_line(celeba):
    with pytest.raises(InputError, match="celeba_root: profile smoke does not use it; expected one of embedded, paper"):
        PAPER.specs("smoke", resources=Resources(celeba_root=str(celeba)))
    with pytest.raises(InputError, match=r"celeba_root .*absent: no such folder"):
        PAPER.specs("paper", resources=Resources(celeba_root=str(celeba / "absent")))
    with pytest.raises(InputError, match=r"list_attr_celeba\.txt: no such file"):
        PAPER.specs("paper", resources=Resources(celeba_root=str(celeba / "img_align_celeba")))
    with pytest.raises(InputError, match=r"weights .*absent\.pth: no such file"):
        PAPER.specs("rehearsal", resources=Resources(celeba_root=str(celeba), weights=str(celeba / "absent.pth")))


def test_plans_count_the_images_of_a_folder(celeba):
    source = Source(data="celeba", model="efficientnet_b0", weights="random", root=str(celeba))
    run = HeldOutTags(source=source, protocol=Protocol(epochs=2), fold=0, injected=None)
    images = 2 * 24 + 8 / 3  # trained on 24 of 32, looked at 8
    assert run.work() == Work("train efficientnet_b0 224", images, divisible=True)
    head = run.model_copy(update={"source": Source()})
    assert head.work() == Work("train linear", pytest.approx(2 * 3082 * 3 / 4 + 3082 / 4 / 3))
