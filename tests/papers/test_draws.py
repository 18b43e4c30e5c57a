"""Every headline claim of the papers with test images is decided over other test images too."""

import pytest

from nlcore.papers import paper
from nlcore.papers.paper import load_rounded
from nlcore.report.verdicts import Verdict
from nlcore.runs import run_grid

WITH_IMAGES = ("multi_al", "missing_label_al", "galc_slr", "teacher_student")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", WITH_IMAGES)
def test_every_headline_part_has_an_error_by_its_test_images(name, smoke_store):
    one = paper(name)
    specs = one.grid("smoke").main
    run_grid(specs, smoke_store)
    claims, headline = one.module("claims"), one.module("study").HEADLINE
    study = load_rounded(one, specs, smoke_store, partial=False)
    decided = [found for found in claims.decide_claims(study) if found.claim.id.split()[0] in headline]
    assert len(decided) >= len(headline)
    for part in (part for found in decided for part in found.parts):
        if part.verdict not in (Verdict.NOT_RUN, Verdict.NOT_TESTABLE):
            assert part.of_images is not None, part.name
            assert 0 <= part.estimate.share_of_images <= 1, part.name
    if name == "missing_label_al":  # what is said of several iterations too; no test image has a part in costs
        others = [found for found in claims.decide_claims(study) if found.claim.id not in claims.OF_COST]
        testable = [part for found in others for part in found.parts if part.verdict != Verdict.NOT_TESTABLE]
        assert len(testable) > 40 and all(part.of_images is not None for part in testable)
    effects = claims.headline_effects(study)
    assert effects and all("draw" in effect.differences.index.names for effect in effects)
