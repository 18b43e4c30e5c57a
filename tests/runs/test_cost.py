"""What runs will take: listed rates, corrected by what the store has measured on this machine."""

import json

import pytest
import torch

from nlcore.runs import Result, Spec, Store, Work, plan_grid, run_grid
from nlcore.runs.cost import CostModel, Measurement, _rates, ratios, seconds
from nlcore.runs.machine import processor
from tests.runs.trivial import Placed, Square, Total


class Trained(Spec):
    """A run that says it trains on so many images."""

    images: int
    device: str = "cpu"

    def work(self):
        return Work("train tresnet_m 224", self.images)

    def compute(self, inputs):
        return Result()


def write(store, *lines):
    with (store.root / "costs.jsonl").open("a") as file:
        file.writelines(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)


def line(**changes):
    return {"unit": "train tresnet_m 224", "device": "cpu", "amount": 10.0, "seconds": 1.0,
            "processor": processor()} | changes  # fmt: skip


def test_a_unit_costs_its_rate_on_its_device_and_an_unknown_one_a_second():
    work = Work("train tresnet_m 224", 1000)
    assert seconds(work, "cpu") > 50 * seconds(work, "cuda") > 0
    assert seconds(Work("NobodyKnows", 3.0), "cpu") == seconds(Work("NobodyKnows", 3.0), "cuda") == 3.0


def test_images_of_another_size_cost_as_their_area():
    for listed, other, factor in (("tresnet_m 224", "tresnet_m 448", 4), ("inception_v3 299", "inception_v3 598", 4)):
        known, asked = (seconds(Work(f"train {name}", 7), "cuda") for name in (listed, other))
        assert asked == pytest.approx(factor * known)


def test_every_listed_rate_is_of_both_devices():
    assert all(set(rate) == {"cpu", "cuda"} and min(rate.values()) > 0 for rate in _rates().values())


def test_an_estimate_is_corrected_by_what_was_measured_on_this_processor(tmp_path):
    store, spec = Store(tmp_path), Trained(images=100)
    assumed = CostModel(store).estimate(spec)
    assert (assumed.device, assumed.measured) == ("cpu", False)
    one = seconds(Work("train tresnet_m 224", 1), "cpu")
    write(store, line(processor="another", seconds=99), line(device="cuda", seconds=99), line(unit="other", seconds=99))
    assert CostModel(store).estimate(spec) == assumed
    write(store, line(amount=10, seconds=20 * one), line(amount=30, seconds=90 * one))
    corrected = CostModel(store).estimate(spec)
    assert corrected.measured
    assert corrected.seconds == pytest.approx(3 * assumed.seconds), "three times as long as expected, for most of it"


def test_only_the_latest_measurements_of_a_unit_count():
    old = [Measurement("unit", "cpu", 1.0, 50.0, "p")] * 200
    new = [Measurement("unit", "cpu", 1.0, 2.0, "p")] * 200
    assert ratios(old + new) == {("unit", "cpu", "p"): 2.0}
    assert ratios(new[:1] + old[:2]) == {("unit", "cpu", "p"): 50.0}


def test_a_run_that_was_suspended_says_no_more_than_any_other():
    steady = [Measurement("unit", "cpu", 1.0, 2.0, "p")] * 5
    assert ratios([*steady, Measurement("unit", "cpu", 1.0, 4000.0, "p")]) == {("unit", "cpu", "p"): 2.0}


def test_lines_that_cannot_be_read_are_passed_over(tmp_path):
    store = Store(tmp_path)
    write(store, '{"unit": "train tres\n', "[1]\n", '"text"\n', "\x00\n", {"unit": "u"})
    write(store, line(amount="many"), line(device="x"), line(more=1))
    assert not CostModel(store).estimate(Trained(images=1)).measured
    write(store, line())
    assert CostModel(store).estimate(Trained(images=1)).measured


@pytest.mark.parametrize("workers", [0, 2])
def test_every_computed_run_adds_a_line_and_the_next_plan_knows(tmp_path, workers):
    store = Store(tmp_path)
    assert {kind.rates for kind in plan_grid([Total(number=3)], store).kinds()} == {"assumed"}
    run_grid([Total(number=3, pause=0.05)], store, workers=workers)
    lines = [json.loads(text) for text in (tmp_path / "costs.jsonl").read_text().splitlines()]
    assert sorted(line["unit"] for line in lines) == ["Square", "Square", "Square", "Total"]
    assert {(line["device"], line["processor"], line["amount"]) for line in lines} == {("cpu", processor(), 1.0)}
    plan = plan_grid([Square(number=50)], store)
    assert [(kind.name, kind.rates, kind.devices) for kind in plan.kinds()] == [("Square", "measured here", ("cpu",))]
    assert 0.05 <= plan.seconds < 0.5, "instead of the one second that is assumed"
    run_grid([Total(number=3, pause=0.05)], store, workers=workers)
    assert len((tmp_path / "costs.jsonl").read_text().splitlines()) == 4, "nothing was computed"


def test_a_plan_shares_out_cores_and_gpus_and_is_no_shorter_than_its_longest_run(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("nlcore.runs.cost._processor", lambda device: "any")
    specs = [*(Placed(number=n, device="auto") for n in (60, 70)), *(Placed(number=n, device="cpu") for n in (90, 92))]
    plan = plan_grid(specs, Store(tmp_path))
    (kind,) = plan.kinds()
    assert (kind.runs, kind.missing, kind.seconds, kind.devices) == (4, 4, 40 + 30 + 10 + 8, ("cpu", "cuda"))
    assert plan.wall_seconds(2) == 70, "both on the one GPU, while the cores have less to do"
    assert plan.wall_seconds(2, gpus=4) == 40, "the longest run"
    assert plan.wall_seconds(1, gpus=4) == 40
