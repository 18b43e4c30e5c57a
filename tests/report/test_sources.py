"""Every claim and every published number says where it stands, in the paper's words, and the words are there."""

import re
from pathlib import Path

import pytest

from nlcore.papers import papers

TEXTS = Path(__file__).resolve().parents[3] / "shared" / "papers"
PAPERS = list(papers().values())


def squeezed(text):
    """Without white space and hyphens: a line break in a text may have joined or divided a word."""
    return re.sub(r"[\s\-]+", "", text)


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    else:
        yield ".".join(path)


@pytest.mark.parametrize("one", PAPERS, ids=lambda one: one.id)
def test_every_claim_and_every_published_number_has_its_place(one):
    found = one.contract.sources()
    assert set(found.claims) == set(one.contract.claims())
    assert all(found.claims.values())
    for leaf in leaves(one.contract.published()):
        assert any(leaf == path or leaf.startswith(f"{path}.") for path in found.published), leaf
    for places in (*found.claims.values(), *found.published.values()):
        assert all(place.section and place.quote for place in places)


@pytest.mark.skipif(not TEXTS.exists(), reason="the papers' texts are not beside this checkout")
@pytest.mark.parametrize("one", PAPERS, ids=lambda one: one.id)
def test_the_quotations_stand_in_the_paper(one):
    (path,) = TEXTS.glob(f"?_{one.id}.txt")
    whole, found = squeezed(path.read_text()), one.contract.sources()
    for name, places in (found.claims | found.published).items():
        for place in places:
            assert squeezed(place.quote) in whole, (name, place.quote)


def test_a_place_is_told_from_the_large_to_the_small():
    (place,) = papers()["galc_slr"].contract.sources().published["table_1"]
    assert place.place == "4.2 Results, Table 1, row all, column all"
