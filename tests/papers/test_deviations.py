"""What stands under tables and figures about the images: nothing where they are the paper's own."""

from types import SimpleNamespace

import pytest

from nlcore.papers import paper
from nlcore.papers.deviations import REHEARSAL


def said(name, **source):
    """A paper's line for a source with these fields."""
    source = SimpleNamespace(**{"data": "coco", "on_images": True, "limit": None} | source)
    words = paper(name).module("words")
    return words.deviations(SimpleNamespace(source=source) if name == "galc_slr" else source)


@pytest.mark.parametrize("name", ["multi_al", "missing_label_al", "galc_slr", "teacher_student"])
def test_only_the_papers_own_images_and_network_need_no_word(name):
    own, small = (paper(name).profiles()[profile]["source"]["model"] for profile in ("paper", "finetune"))
    assert said(name, model=own) == ""
    assert "EfficientNet-Lite2" in said(name, model=small)
    assert said(name, model=own, limit=8) == REHEARSAL
    assert "Simulated" in said(name, data="simulated", on_images=False, model="mlp")
    assert "imulated" not in said(name, data="embedded", on_images=False, model="linear")
