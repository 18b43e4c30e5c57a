"""Section 5.2: injected errors are counted exactly, images are held out once, CelebA runs through the same code."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nlcore.data.embedded_set import embedded
from nlcore.errors import InputError
from nlcore.papers.cleanlab_ema import tagging_artefacts as artefacts
from nlcore.papers.cleanlab_ema.claims import lift
from nlcore.papers.cleanlab_ema.study import grid
from nlcore.papers.cleanlab_ema.tagging import TAGS, HeldOutTags, inject_errors
from nlcore.papers.profiles import Resources
from nlcore.report.verdicts import Verdict
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Store, run_grid


def test_injected_errors_swap_one_label_of_an_exact_share_of_images():
    targets = (np.random.default_rng(0).random((200, 12)) < 0.2).astype(np.int8)
    labelled = targets.any(axis=1)
    wrong = inject_errors(targets, np.random.default_rng(1))
    changed = (wrong != targets).sum(axis=1)
    assert set(changed) == {0, 2}  # one label lost, one gained
    assert (changed > 0).sum() == round(0.15 * labelled.sum())
    np.testing.assert_array_equal(wrong.sum(axis=1), targets.sum(axis=1))
    assert not changed[~labelled].any()


@pytest.fixture(scope="module")
def tagging(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    specs = [spec for spec in grid("smoke", seeds=[0]) if isinstance(spec, HeldOutTags)]
    run_grid(specs, store, workers=0)
    return artefacts.load_tagging(specs, store)


@pytest.mark.slow
def test_every_labelled_image_is_held_out_once(tagging):
    assert len(tagging.rows) == embedded().targets.any(axis=1).sum()
    assert np.isfinite(tagging.probabilities).all()
    assert set(tagging.injected) == {0, 1}


@pytest.mark.slow
def test_low_scores_find_injected_errors(tagging):
    lifts = artefacts.injected_lifts(tagging)
    assert (lifts[lifts.k == 100].lift > 1.5).all()
    assert (lifts.lift <= 1 / 0.15 + 0.01).all()


@pytest.mark.slow
def test_pictures_are_shown_only_where_their_licence_permits(tagging, tmp_path):
    out = ArtefactWriter("cleanlab_ema", "smoke", tmp_path)
    artefacts.figure_1(tagging, out)
    artefacts.figure_4(tagging, out)
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
    for injected, verdict in ((good, Verdict.HOLDS), (chance, Verdict.FAILS)):
        study = artefacts.Tagging("embedded", None, tuple("abcde"), np.arange(2000), targets, good[0][1], injected)
        on_injected, on_celeba = lift(study)
        assert on_injected.verdict == verdict
        assert on_celeba.verdict == Verdict.NOT_TESTED


def test_a_review_is_read_back_as_a_lift(tmp_path):
    sheet = tmp_path / "review.csv"
    rows = [("lowest", 1)] * 67 + [("lowest", 0)] * 33 + [("random", 1)] * 15 + [("random", 0)] * 85
    pd.DataFrame(rows, columns=["sample", "wrong"]).to_csv(sheet, index=False)
    assert artefacts.lift_from_review(sheet) == pytest.approx(67 / 15)
    sheet.write_text("sample,wrong\nlowest,\nrandom,1\n")
    with pytest.raises(InputError, match="0 or 1 in every row"):
        artefacts.lift_from_review(sheet)


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


@pytest.mark.slow
def test_celeba_runs_through_the_same_code(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    draw_celeba(tmp_path / "celeba", 64)
    resources = Resources(celeba_root=str(tmp_path / "celeba"), device="cpu")
    planned = [spec for spec in grid("paper", resources=resources) if isinstance(spec, HeldOutTags)]
    planned = [spec for spec in planned if spec.source == "celeba"]
    assert len(planned) == 8  # four folds on the given labels, four with injected errors
    small = {"model": "mobilenetv3_small_050", "size": 32, "epochs": 1, "weights": None, "batch_size": 16}
    specs = [spec.model_copy(update=small) for spec in planned]
    store = Store(tmp_path / "store")
    run_grid(specs, store, workers=0)
    tagging = artefacts.load_tagging(specs, store)
    assert tagging.probabilities.shape == (64, 7)
    out = ArtefactWriter("cleanlab_ema", "paper", tmp_path / "figures")
    table = artefacts.table_1(tagging, out)
    assert table["accuracy published"].notna().all()
    artefacts.figure_1(tagging, out, images=5)
