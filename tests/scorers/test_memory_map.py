"""Memory maps: the same results as in memory, within a bound on memory that the arrays exceed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nlcore.scorers import find_label_issues, label_quality_scores

IMAGES, CLASSES = 40_000, 1_000  # 200 MB of float32 and int8, and 40 MB of flags
LIMIT = 64 << 20  # what scoring may add to the memory of a process

# Runs by itself: the highest resident memory of a process counts the pages of a map too, and never falls.
MEASURE = """
import sys
from pathlib import Path
import numpy as np
from nlcore.scorers import find_label_issues, label_quality_scores

def highest_resident_bytes():
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024

folder, what, images, classes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
labels = np.memmap(folder / "labels", np.int8, "r", shape=(images, classes))
probs = np.memmap(folder / "probs", np.float32, "r", shape=(images, classes))
before = highest_resident_bytes()
if what == "scores":
    np.save(folder / "scores.npy", label_quality_scores(labels, probs))
elif what == "flags":
    flags = np.memmap(folder / "flags", bool, "w+", shape=(images, classes))
    find_label_issues(labels, probs, out=flags, block_bytes=8 << 20)
else:
    probs.sum(axis=0)
print(highest_resident_bytes() - before)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    generator = np.random.default_rng(0)
    labels = (generator.random((IMAGES, CLASSES), dtype=np.float32) < 0.1).astype(np.int8)
    probs = np.float32(0.4) * labels + np.float32(0.6) * generator.random((IMAGES, CLASSES), dtype=np.float32)
    labels[:1000] = 1 - labels[:1000]  # wrong annotations, to be flagged
    labels[0, :5] = -1
    labels.tofile(folder / "labels")
    probs.tofile(folder / "probs")
    yield folder
    for path in folder.iterdir():
        path.unlink()


def open_maps(folder: Path, mode: str = "r"):
    shape = (IMAGES, CLASSES)
    return np.memmap(folder / "labels", np.int8, mode, shape=shape), np.memmap(
        folder / "probs", np.float32, mode, shape=shape
    )


def added_bytes(folder: Path, what: str) -> int:
    command = [sys.executable, "-c", MEASURE, str(folder), what, str(IMAGES), str(CLASSES)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


linux_only = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's process status")


@linux_only
@pytest.mark.slow
def test_the_measure_sees_the_pages_of_a_map(folder):
    assert added_bytes(folder, "sum") > 2 * LIMIT


@linux_only
@pytest.mark.slow
def test_scores_in_bounded_memory(folder):
    assert added_bytes(folder, "scores") < LIMIT
    labels, probs = open_maps(folder)
    expected = label_quality_scores(np.array(labels), np.array(probs))
    np.testing.assert_array_equal(np.load(folder / "scores.npy"), expected)


@linux_only
@pytest.mark.slow
def test_flags_in_bounded_memory(folder):
    assert added_bytes(folder, "flags") < 2 * LIMIT
    labels, probs = open_maps(folder)
    flags = np.fromfile(folder / "flags", dtype=bool).reshape(IMAGES, CLASSES)
    np.testing.assert_array_equal(flags, find_label_issues(np.array(labels), np.array(probs)).per_class)
    assert flags.any()


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_maps_equal_arrays_in_memory(tmp_path, mode, order):
    generator = np.random.default_rng(0)
    arrays = generator.integers(-1, 2, (70, 9)).astype(np.int8), generator.random((70, 9)).astype(np.float16)
    maps = []
    for name, array in zip(("labels", "probs"), arrays, strict=True):
        np.asarray(array, order=order).T.ravel("K").tofile(tmp_path / name)
        maps.append(np.memmap(tmp_path / name, array.dtype, mode, shape=array.shape, order=order)[3:])
    expected = [array[3:] for array in arrays]
    np.testing.assert_array_equal(maps[1], expected[1])
    scores = label_quality_scores(*maps, block_bytes=50)
    assert type(scores) is np.ndarray
    np.testing.assert_allclose(scores, label_quality_scores(*expected), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(find_label_issues(*maps).per_class, find_label_issues(*expected).per_class)


def test_changes_in_a_copy_on_write_map_survive(tmp_path):
    np.full((50, 4), 0.9).tofile(tmp_path / "probs")
    probs = np.memmap(tmp_path / "probs", float, "c", shape=(50, 4))
    probs[:] = 0.25
    np.testing.assert_allclose(label_quality_scores(np.ones((50, 4)), probs, block_bytes=64), 0.25)
    np.testing.assert_array_equal(probs, 0.25)
