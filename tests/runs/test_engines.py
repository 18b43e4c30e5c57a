"""Where runs are computed: on cores, on GPUs by the memory they were measured to need, and in which order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nlcore.errors import InputError
from nlcore.runs import RunFailedError, Store, make_engine, plan_grid, run_grid, run_grids
from nlcore.runs.execute import execute
from nlcore.runs.job import Job, make_jobs
from nlcore.runs.local import LocalEngine, Place
from nlcore.runs.packing import GPU_CONTEXT, Packing
from nlcore.runs.schedule import Schedule
from tests.runs.trivial import Accompanied, Failing, NeedsFailing, Placed, PlacedElsewhere, Square, Total

GIB = 2**30


def placed(store, specs, **options):
    with_engine = LocalEngine(2, **options)
    run_grids({"runs": plan_grid(specs, store)}, store, with_engine)
    return [store.result(spec).values for spec in specs]


def test_runs_share_out_the_gpus_and_each_sees_one(tmp_path):
    specs = [Placed(number=n, device="auto", pause=0.3) for n in range(6)]
    found = placed(Store(tmp_path), specs, gpus=[80 * GIB, 80 * GIB], runs_per_gpu=1)
    assert {run["gpus"] for run in found} == {"0", "1"}
    assert len({run["process"] for run in found}) == 2


def test_gpus_that_a_batch_system_assigned_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    specs = [Placed(number=n, device="cuda", pause=0.3) for n in range(4)]
    assert {run["gpus"] for run in placed(Store(tmp_path), specs, gpus=[GIB, GIB])} == {"5", "7"}


def test_a_run_for_the_cpu_sees_no_gpu(tmp_path):
    (run,) = placed(Store(tmp_path), [Placed(number=0, device="cpu")], gpus=[80 * GIB])
    assert run["gpus"] == ""


def test_without_gpus_everything_runs_on_the_cores(tmp_path):
    (run,) = placed(Store(tmp_path), [Placed(number=0, device="auto")], gpus=[])
    assert run["gpus"] == ""


def test_a_gpu_is_shared_only_as_far_as_measured_memory_allows():
    packing, place = Packing(), Place({}, slots=8, is_gpu=True, memory=10 * GIB)
    one, other = (Job((kind(number=1, device="cuda"),)) for kind in (Placed, PlacedElsewhere))
    assert place.has_room(one, packing), "an empty GPU takes anything"
    place.running[object()] = (one, None)
    assert not place.has_room(one, packing), "nothing beside a run that was never measured"
    packing.note(Placed, 3 * GIB - GPU_CONTEXT)
    assert place.has_room(one, packing)
    assert not place.has_room(other, packing), "an unmeasured kind waits for an empty GPU"
    place.running[object()] = (one, None)
    place.running[object()] = (one, None)
    assert not place.has_room(one, packing), "nine tenths of the memory are full"


@pytest.mark.parametrize("runs", [1, 2, 3, 7])
def test_a_number_of_runs_that_was_asked_for_is_what_fits_whatever_they_take(runs):
    packing = Packing(runs)
    packing.note(Placed, 9 * GIB)
    assert packing.fits(Placed, [Placed] * (runs - 1), 10 * GIB)
    assert not packing.fits(Placed, [Placed] * runs, 10 * GIB)


def test_the_highest_peak_of_a_kind_counts_and_no_share_is_more_than_a_whole_gpu():
    packing = Packing()
    for peak in (0, 4 * GIB, 2 * GIB):
        packing.note(Placed, peak)
    assert packing.share(Placed, 10 * GIB) == (4 * GIB + GPU_CONTEXT) / (9 * GIB)
    assert packing.share(Placed, 2 * GIB) == packing.share(Placed, None) == 1.0
    assert packing.share(PlacedElsewhere, 10 * GIB) == 1.0


WARNING = """
import sys, warnings
from nlcore.runs import Store, run_grid
from tests.runs.trivial import Warning
if __name__ == "__main__":
    messages = ("The least populated class in y has only 3 members", "something of our own")
    run_grid([Warning(message=message) for message in messages], Store(sys.argv[1]), workers=int(sys.argv[2]))
    warnings.warn("The least populated class, told by the caller")
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_known_warnings_of_other_packages_stay_out_of_the_display_and_others_do_not(tmp_path, workers):
    (tmp_path / "script.py").write_text(WARNING)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "store"), str(workers)]
    printed = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stderr
    assert "has only 3 members" not in printed
    assert "something of our own" in printed
    assert "told by the caller" in printed, "the caller's own filters are as they were"


def test_an_address_is_for_the_ray_engine_and_an_engine_has_a_name_that_is_known():
    with pytest.raises(InputError, match=r"address 10.0.0.1:6379: only the Ray engine has one; expected --engine ray"):
        make_engine(address="10.0.0.1:6379")
    with pytest.raises(InputError, match=r"engine: found 'dask'; expected local or ray"):
        make_engine("dask")


def scheduled(costs, group_of=lambda job: "all"):
    jobs = make_jobs(costs)
    return Schedule(jobs, {job: sum(costs[spec] for spec in job.specs) for job in jobs}, group_of)


def test_the_longest_run_goes_first_and_requirements_before_all():
    short, long = Placed(number=9, device="cpu"), Placed(number=1, device="cpu")
    costs = {short: 1.0, Total(number=1): 2.0, long: 9.0, Square(number=1): 0.5}
    schedule = scheduled(costs)
    taken = [schedule.take(lambda job: True) for _ in range(4)]
    assert taken == [Job((long,)), Job((short,)), Job((Square(number=1),)), None]
    assert schedule.finish(Job((Square(number=1),)), None) == [Job((Square(number=1),))]
    assert schedule.take(lambda job: True) == Job((Total(number=1),))


def test_a_full_group_does_not_hold_up_another():
    gpu, cpu = Placed(number=1, device="cuda"), Placed(number=2, device="cpu")
    schedule = scheduled({gpu: 1.0, cpu: 1.0}, Job.device_name)
    assert schedule.take(lambda job: job.device_name() == "cpu") == Job((cpu,))


def test_a_failure_ends_everything_that_needs_it():
    failing, needs = Job((Failing(kind="other"),)), Job((NeedsFailing(),))
    schedule = scheduled({needs.specs[0]: 1.0, failing.specs[0]: 1.0})
    assert schedule.take(lambda job: True) == failing
    assert set(schedule.finish(failing, RuntimeError())) == {failing, needs}
    assert schedule.done
    assert isinstance(schedule.failures[needs], RunFailedError)


def test_runs_that_share_a_pass_are_jobs_of_nearly_one_size_after_all_that_any_of_them_requires():
    here = [Accompanied(number=number, place="here") for number in range(1, 5)]
    elsewhere = Accompanied(number=5, place="elsewhere")
    squares = [Square(number=number) for number in (2, 1)]
    jobs = make_jobs([squares[0], here[1], squares[1], *here[:1], elsewhere, *here[2:]])
    assert [job.specs for job in jobs] == [
        (squares[0],), (here[1], here[0]), (here[2], here[3]), (squares[1],), (elsewhere,),
    ]  # fmt: skip
    assert jobs[Job((here[1], here[0]))] == [Job((squares[0],)), Job((squares[1],))]
    assert jobs[Job((elsewhere,))] == [], "what is in the store is no job"
    assert Job((here[1], here[0])).name.endswith("and 1 more")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shared_pass_leaves_a_record_for_each_of_its_runs_as_alone(tmp_path, workers):
    specs = [Accompanied(number=number, place="here") for number in range(1, 8)]
    store = Store(tmp_path)
    run_grid(specs[2:3], store, workers=0)
    alone = store.read(specs[2])
    run_grid(specs, store, workers=workers)
    company = [store.result(spec).values["company"] for spec in specs]
    assert company == [3, 3, 1, 3, 3, 3, 3], "six were left, three at most share a pass"
    assert [store.result(spec).values["square"] for spec in specs] == [spec.number**2 for spec in specs]
    assert store.read(specs[2]) == alone, "what was there is not computed again"
    assert plan_grid(specs, store).missing == frozenset()


def test_a_pass_computes_only_what_another_driver_has_not_stored_meanwhile(tmp_path):
    specs = [Accompanied(number=number, place="here") for number in (1, 2, 3)]
    store = Store(tmp_path)
    run_grid(specs[1:2], store, workers=0)
    before = store.read(specs[1])
    execute(specs, store.root)
    assert [store.result(spec).values["company"] for spec in specs] == [2, 1, 2]
    assert store.read(specs[1]) == before


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_with_one_run_of_a_pass_costs_that_one_alone(tmp_path, workers):
    specs = [Accompanied(number=number, place="not for 2") for number in (1, 2, 3)]
    store = Store(tmp_path)
    with pytest.raises(RunFailedError, match=r"number=2.*division by zero"):
        run_grid(specs, store, workers=workers)
    assert [store.read(spec) is not None for spec in specs] == [True, False, True]
    assert store.result(specs[0]).values["company"] == 1, "computed again, alone"


def test_the_time_of_a_shared_pass_is_divided_by_the_work_of_its_runs(tmp_path):
    specs = [Accompanied(number=number, place="here", pause=0.4) for number in (1, 3)]
    store = Store(tmp_path)
    run_grid(specs, store, workers=0)
    one, three = (store.read(spec).seconds for spec in specs)
    assert three == pytest.approx(3 * one, rel=0.02)
    assert one + three == pytest.approx(0.4, rel=0.2)
