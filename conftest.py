"""Settings of every test session: the notebooks run at the smallest profile, and write nothing into the repository."""

import os
import tempfile

# Before NumPy and torch are loaded: threads of small computations cost more than they bring on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NLCORE_PROFILE", "smoke")
_folder = tempfile.TemporaryDirectory(prefix="nlcore-tests-")
os.environ.setdefault("NLCORE_OUTPUT", os.path.join(_folder.name, "figures"))
os.environ.setdefault("NLCORE_STORE", os.path.join(_folder.name, "store"))

# Whole batches and clusters take minutes: begun first, they leave no worker alone with them at the end.
LONG = ("tests/app/test_batch.py", "tests/app/test_verification.py", "tests/runs/test_ray_engine.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
