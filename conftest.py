"""Settings of every test session: the notebooks run at the smallest profile, and write nothing into the repository."""

import os
import tempfile

# Before NumPy and torch are loaded: threads of small computations cost more than they bring on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NLCORE_PROFILE", "smoke")
_folder = tempfile.TemporaryDirectory(prefix="nlcore-tests-")
os.environ.setdefault("NLCORE_OUTPUT", os.path.join(_folder.name, "figures"))
os.environ.setdefault("NLCORE_STORE", os.path.join(_folder.name, "store"))
