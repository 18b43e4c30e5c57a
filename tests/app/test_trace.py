"""`show`: from an artefact or a claim to its runs, and from a run to who reads it."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from nlcore.app.batch import Batch
from nlcore.app.trace import SHOWN, show
from nlcore.errors import InputError
from nlcore.papers import paper
from nlcore.papers.paper import Asked
from nlcore.runs import Store


@pytest.fixture
def batch(undisturbed, tmp_path):
    folder, _ = undisturbed
    return Batch(["cleanlab_ema"], Asked(profile="smoke", output=tmp_path, store=folder / "store"))


def printed(batch, target, terminal=False):
    told = io.StringIO()
    show(batch, target, Console(file=told, width=300, force_terminal=terminal, no_color=True))
    return told.getvalue()


def test_from_a_claim_to_its_runs_and_back(batch):
    study = paper("cleanlab_ema").module("study")
    of_claim = [spec for spec in batch.made["cleanlab_ema"].main if study.CLAIM_READS["ce2"](spec)]
    table = printed(batch, "cleanlab_ema/ce2")
    assert of_claim and all(spec.key[:16] in table for spec in of_claim)
    (readers,) = [line for line in printed(batch, of_claim[0].key).splitlines() if line.startswith("read by: ")]
    assert "cleanlab_ema, profile smoke: " in readers
    assert {"ce2", "fig_2"} <= set(readers.partition("smoke: ")[2].split(", "))


def test_a_short_array_is_printed_in_full_and_a_long_one_described(batch):
    store = Store(batch.asked.store)
    records = {spec: store.read(spec) for spec in batch.made["cleanlab_ema"].specs}
    arrays = {spec: store.result(spec).arrays for spec in records if store.result(spec).arrays}
    spec, own = next((spec, own) for spec, own in arrays.items() if all(a.size > 100 for a in own.values()))
    text = printed(batch, spec.key)
    for name, array in own.items():
        assert f"array {name}: {array.dtype} {array.shape}" in text
        assert str(np.ravel(array)[0].item()) not in text.partition(f"array {name}: ")[2].splitlines()[1:2]


def test_a_long_value_is_cut_in_a_terminal_alone(batch):
    store = Store(batch.asked.store)
    values = [(len(json.dumps(value)), spec.key, name, json.dumps(value)) for spec in batch.made["cleanlab_ema"].specs
              for name, value in (store.result(spec).values.items() if store.read(spec) else ())]  # fmt: skip
    length, key, name, value = max(values)
    assert length > SHOWN and f"value {name}: {value}" in printed(batch, key).splitlines()
    text = printed(batch, key, terminal=True)
    assert value not in text and f"... ({length} characters; all of them with | cat)" in text


def test_a_profile_that_another_paper_does_not_have_is_no_reason_not_to_show_one(undisturbed, tmp_path):
    asked = Asked(profile="simulated", output=tmp_path, store=undisturbed[0] / "store")
    assert "galc_slr/table_1, profile simulated" in printed(Batch(asked=asked), "galc_slr/table_1")
    with pytest.raises(InputError, match="profile 'simulated': cleanlab_ema has none of that name"):
        printed(Batch(asked=asked), "cleanlab_ema/fig_2")
    with pytest.raises(InputError, match="profile 'huge': galc_slr has none of that name"):
        printed(Batch(asked=Asked(profile="huge", output=tmp_path, store=undisturbed[0] / "store")), "galc_slr/table_1")


def test_a_key_that_is_not_there_is_one_line(batch):
    with pytest.raises(InputError, match=r"^key 0123456789: 0 runs in the store .*; expected a key that show PAPER"):
        printed(batch, "0123456789")
    with pytest.raises(InputError, match=r"an artefact of no paper; expected PAPER/ARTEFACT or PAPER/CLAIM"):
        printed(batch, "cleanlab_ema/ce99")
