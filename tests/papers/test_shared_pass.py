"""Runs of papers 1 and 2 that share a pass come out as each does alone, to the last bit."""

import numpy as np
import pytest

from nlcore.papers import paper
from nlcore.papers.missing_label_al.study import is_plain
from nlcore.runs.job import make_jobs


def shared_jobs(name):
    """A job of each kind of run that shares its pass, of the smallest profile."""
    jobs = [job for job in make_jobs(paper(name).specs("smoke")) if len(job.specs) > 1]
    return {job.kind.__name__: job for job in jobs}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("multi_al", {"ActiveLearningRun", "WholeSetRun", "SurfaceRun"}),
        ("missing_label_al", {"MeasureRun", "WholeSetRun", "SurfaceRun", "MoreSeeds"}),
    ],
)
def test_a_run_is_the_same_alone_and_beside_others(name, kinds):
    jobs = shared_jobs(name)
    assert set(jobs) == kinds
    for job in jobs.values():
        specs = (job.specs[0], job.specs[-1])
        together = job.kind.compute_together(specs, [[], []])
        for spec, found in zip(specs, together, strict=True):
            alone = spec.compute([])
            assert set(found.arrays) == set(alone.arrays)
            for array in alone.arrays:
                np.testing.assert_array_equal(found.arrays[array], alone.arrays[array], err_msg=f"{spec.name} {array}")


def test_what_differs_in_its_steps_has_a_pass_of_its_own():
    """Safe mode trains on more images, another start is another training, and the raw loss another loss."""
    runs = [spec for spec in paper("multi_al").specs("embedded") if type(spec).__name__ == "ActiveLearningRun"]
    safe = {spec.strategy: spec.shared_pass() for spec in runs if spec.source == runs[0].source}
    assert safe["multi_al_safe"] != safe["multi_al"]
    whole = [spec for spec in paper("missing_label_al").specs("embedded") if type(spec).__name__ == "WholeSetRun"]
    whole = [spec for spec in whole if spec.source == whole[0].source]
    passes = {spec.unknown_as: spec.shared_pass() for spec in whole if is_plain(spec)}
    assert passes["raw"] != passes["masked"] == passes["negative"]
    assert len({spec.shared_pass() for spec in whole if spec.loss != "asl"}) == 2
    assert not {spec.shared_pass() for spec in whole if not is_plain(spec)} & set(passes.values())


def test_a_pass_is_as_wide_as_the_processor_likes_its_heads():
    """Forty linear heads at once, ten MLPs; a GPU takes all."""
    run = next(spec for spec in paper("multi_al").specs("embedded") if len(spec.seeds) == 5)

    def most(**changes):
        return run.model_copy(update={"source": run.source.model_copy(update=changes)}).most_together()

    assert (most(), most(model="mlp"), most(model="mlp", device="cuda")) == (8, 2, run.MEMBERS)
    jobs = make_jobs(paper("missing_label_al").specs("simulated"))
    assert max(len(job.specs) * len(job.specs[0].seeds) for job in jobs) == 10
