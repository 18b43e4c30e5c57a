"""The same grid on a Ray cluster of two machines: the same bytes, also when one of them dies."""

import signal
import threading
import time
from pathlib import Path

import pytest

from nlcore.errors import InputError
from nlcore.runs import RunFailedError, Store, make_engine, plan_grid, run_grid, run_grids
from nlcore.runs.processes import environment
from tests.runs.dividing import Trained
from tests.runs.test_grid import records
from tests.runs.trivial import Deadly, Failing, Square, Total

pytest.importorskip("ray", reason="Ray is not installed: pip install --editable '.[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
GRID = [Total(number=16, pause=0.5)]


@pytest.fixture(scope="module")
def cluster():
    """A head and two machines with a core each; the head computes nothing. Workers find these tests' specs."""
    from ray.cluster_utils import Cluster

    patience = {"RAY_raylet_start_wait_time_s": "150"}  # a busy machine is no failure
    answer = signal.getsignal(signal.SIGTERM)  # Ray's own asks its cluster first, and would hang in a fork of ours
    with environment({"PYTHONPATH": str(Path(__file__).resolve().parents[2]), **patience}):
        yield from _cluster(Cluster)
    signal.signal(signal.SIGTERM, answer)


def _cluster(Cluster):
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.machines = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def compute(specs, store, address, **options):
    plan = plan_grid(specs, store)
    run_grids({"runs": plan}, store, make_engine("ray", address=address), **options)
    return plan


def test_a_machine_killed_in_mid_grid_changes_nothing(cluster, tmp_path):
    store = Store(tmp_path / "cluster")
    killed = []

    def kill_one_when_both_are_at_work() -> None:
        while len(records(store.root)) < 4:
            time.sleep(0.05)
        cluster.remove_node(cluster.machines.pop(), allow_graceful=False)
        killed.append(len(records(store.root)))

    killer = threading.Thread(target=kill_one_when_both_are_at_work)
    killer.start()
    compute(GRID, store, cluster.address)
    killer.join()
    assert 4 <= killed[0] < 17, "it died in mid-grid"
    run_grid(GRID, Store(tmp_path / "here"), workers=2)
    assert records(tmp_path / "cluster") == records(tmp_path / "here")
    assert list(store.root.rglob("*.damaged")) == list(store.root.rglob("*.part")) == []
    assert compute(GRID, store, cluster.address).missing == frozenset(), "the local and the cluster's store are one"


def test_a_worker_that_dies_is_replaced_and_one_that_dies_always_is_named(cluster, tmp_path):
    for name in ("once", "always"):
        (tmp_path / name).mkdir()
    store = Store(tmp_path / "store")
    once = Deadly(folder=str(tmp_path / "once"), times=1)
    with pytest.raises(RunFailedError, match=r"Deadly.*its worker died 3 times"):
        compute([once, Deadly(folder=str(tmp_path / "always"), times=99)], store, cluster.address)
    assert store.result(once).values == {"survived": 1}


def test_failures_are_named_and_unusable_input_stops_the_grid(cluster, tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RunFailedError, match="by design"):
        compute([Failing(kind="other"), Square(number=3)], store, cluster.address)
    assert store.result(Square(number=3)).values == {"square": 9}
    with pytest.raises(InputError, match="rate 3: expected 0 to 1"):
        compute([Failing(kind="input")], store, cluster.address)


def test_a_run_is_not_divided_among_machines(cluster, tmp_path):
    with pytest.raises(InputError, match="gpus-per-run: found 2; expected at most 1, which one machine has"):
        compute([Trained(), Square(number=3)], Store(tmp_path), cluster.address, gpus_per_run=2)
    assert records(tmp_path) == {}


def test_a_cluster_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match=r"address '127.0.0.1:1': no Ray cluster answers there"):
        compute([Square(number=1)], Store(tmp_path), "127.0.0.1:1")
