"""Settings of every test session: the notebooks run at the smallest profile, and write nothing into the repository."""

import importlib.util
import os
import tempfile

import pytest

# Before NumPy and torch are loaded: threads of small computations cost more than they bring on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NLCORE_PROFILE", "smoke")
_folder = tempfile.TemporaryDirectory(prefix="nlcore-tests-")
os.environ.setdefault("NLCORE_OUTPUT", os.path.join(_folder.name, "figures"))
os.environ.setdefault("NLCORE_STORE", os.path.join(_folder.name, "store"))

# The examples in docstrings are collected from every module of nlcore; one of them cannot be imported without Ray.
collect_ignore = [] if importlib.util.find_spec("ray") else ["nlcore/runs/ray_engine.py"]

# Whole batches and clusters take minutes: begun first, they leave no worker alone with them at the end.
# Verification reads the batch that test_batch.py makes, and comes after it.
LONG = (
    "tests/app/test_batch.py",
    "tests/runs/test_ray_engine.py",
    "tests/papers/test_add_a_paper.py",
    "tests/app/test_verification.py",
)


def pytest_collection_modifyitems(items):
    place = {file: number for number, file in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(LONG)))


@pytest.fixture(scope="session")
def smoke_store():
    """The store of the notebooks that run as tests, for all workers of pytest-xdist: what one has computed others read.

    For tests that let its records be.
    """
    from nlcore.runs import Store

    return Store(os.environ["NLCORE_STORE"])


@pytest.fixture(scope="session", autouse=True)
def names_of_examples(doctest_namespace):
    """What an example in a docstring may use without importing it, as if its reader had just done so."""
    import numpy
    import torch

    doctest_namespace.update(np=numpy, torch=torch)
