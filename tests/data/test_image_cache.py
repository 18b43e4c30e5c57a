from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from nlcore.data.coco import coco
from nlcore.data.image_cache import StreamedImages, image_cache, load_image
from nlcore.errors import InputError
from nlcore.training import ImageBatches
from nlcore.training.batches import fetch_all
from tests.coco_drawing import draw_coco


@pytest.fixture
def paths(tmp_path):
    draw_coco(tmp_path, images=10)
    return coco(tmp_path, year=2017, split="train").paths


def build(paths, directory, **options):
    return image_cache(paths, directory, size=32, progress=False, **options)


def truncate(path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])


def test_the_whole_image_is_squashed(tmp_path):
    """Left half black, right half white: a crop would lose the balance, a letterbox would add bars."""
    image = Image.new("RGB", (90, 30))
    image.paste((255, 255, 255), (45, 0, 90, 30))
    image.save(tmp_path / "halves.png")
    pixels = load_image(tmp_path / "halves.png", 32)
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    assert pixels[:, :15].max() == 0 and pixels[:, 17:].min() == 255


def test_grey_images_get_three_channels(tmp_path):
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    assert np.array_equal(load_image(tmp_path / "grey.png", 4), np.full((4, 4, 3), 77))


def test_rows_are_the_images_in_order(paths, tmp_path):
    cache = build(paths, tmp_path / "cache")
    assert cache.images.shape == (10, 32, 32, 3) and isinstance(cache.images, np.memmap)
    assert not cache.images.flags.writeable
    for row, path in enumerate(paths):
        assert np.array_equal(cache.images[row], load_image(path, 32))
    assert cache.kept.tolist() == list(range(10)) and cache.skipped == {}


def test_bytes_do_not_depend_on_the_number_of_workers(paths, tmp_path):
    one, four = (build(paths, tmp_path / f"{n}", workers=n) for n in (1, 4))
    files = [next((tmp_path / n).glob("*/images.npy")).read_bytes() for n in "14"]
    assert files[0] == files[1] and one.fingerprint == four.fingerprint


def test_a_cache_is_reused_until_a_file_or_the_size_changes(paths, tmp_path):
    directory = tmp_path / "cache"
    first = build(paths, directory)
    array = next(directory.glob("*/images.npy"))
    written = array.stat().st_mtime_ns
    assert build(paths, directory).fingerprint == first.fingerprint and array.stat().st_mtime_ns == written
    assert image_cache(paths, directory, size=16, progress=False).images.shape[1] == 16
    Image.new("RGB", (80, 64), "red").save(paths[3])
    changed = build(paths, directory)
    assert changed.fingerprint != first.fingerprint
    assert np.array_equal(changed.images[3], load_image(paths[3], 32))
    assert build(paths[::-1], directory).fingerprint != changed.fingerprint


def test_bad_images_are_named_and_skipped(paths, tmp_path):
    truncate(paths[2])
    paths[6].unlink()
    cache = build(paths, tmp_path / "cache", on_bad_image="skip")
    assert cache.kept.tolist() == [0, 1, 3, 4, 5, 7, 8, 9]
    assert sorted(cache.skipped) == [2, 6]
    assert str(paths[2]) in cache.skipped[2] and "truncated" in cache.skipped[2]
    assert cache.skipped[6] == f"{paths[6]}: no such file"
    assert cache.images[2].max() == 0
    assert build(paths, tmp_path / "cache", on_bad_image="skip").skipped == cache.skipped  # also when it is reused


def test_bad_images_are_fatal(paths, tmp_path):
    truncate(paths[2])
    with pytest.raises(InputError, match=r"000000000003\.jpg: .*truncated"):
        build(paths, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*/images.npy"))
    build(paths, tmp_path / "cache", on_bad_image="skip")
    with pytest.raises(InputError, match=r"000000000003\.jpg"):
        build(paths, tmp_path / "cache")


def test_nothing_usable(paths, tmp_path):
    for path in paths:
        truncate(path)
    with pytest.raises(InputError, match="none of 10 can be read"):
        build(paths, tmp_path / "cache", on_bad_image="skip")
    with pytest.raises(InputError, match="images: none given"):
        build([], tmp_path / "cache")
    with pytest.raises(InputError, match="expected 'skip' or 'fail'"):
        build(paths, tmp_path / "cache", on_bad_image="ignore")


def test_too_little_disk_space(paths, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match="GB are free"):
        build(paths, tmp_path / "cache")


def test_streamed_images_are_the_caches(paths, tmp_path):
    cache = build(paths, tmp_path / "cache").images
    streamed = StreamedImages(paths, size=32, workers=3)
    assert (len(streamed), streamed.shape, streamed.nbytes) == (10, cache.shape, cache.nbytes)
    assert (streamed.dtype, streamed.ndim) == (cache.dtype, cache.ndim)
    mask = np.arange(10) % 3 == 1
    nothing = np.empty(0, int)
    for index in (np.array([7, 2, 2, -1]), np.array([[0, 1], [9, 3]]), nothing, slice(2, 9, 3), mask, 4):
        np.testing.assert_array_equal(streamed[index], cache[index])
        assert streamed[index].dtype == np.uint8
    with pytest.raises(IndexError):
        streamed[[10]]


def test_streamed_images_that_are_bad_are_named_or_black_and_counted(paths):
    truncate(paths[2])
    paths[6].unlink()
    with pytest.raises(InputError, match=r"unreadable image: .*000000000003\.jpg: .*truncated.* it is black"):
        StreamedImages(paths, size=32)[[0, 2, 6]]
    streamed = StreamedImages(paths, size=32, on_bad_image="skip")
    batch = streamed[[6, 0, 2]]
    assert batch[0].max() == batch[2].max() == 0 and np.array_equal(batch[1], load_image(paths[0], 32))
    assert streamed.skipped[6] == f"{paths[6]}: no such file" and set(streamed.skipped) == {2, 6}
    with pytest.raises(InputError, match="expected 'skip' or 'fail'"):
        StreamedImages(paths, size=32, on_bad_image="ignore")


def test_a_network_is_fed_from_streamed_images_as_from_the_cache(paths, tmp_path):
    sources = build(paths, tmp_path / "cache").images, StreamedImages(paths, size=32)
    batches = list(torch.randperm(10, generator=torch.Generator().manual_seed(0)).split(4))

    def fetched(images, prefetch):
        draws = torch.Generator().manual_seed(1)
        fetch = ImageBatches(images, np.eye(10), device=torch.device("cpu"), generator=draws)
        fetch.prefetch = prefetch
        return list(fetch_all(fetch, batches))

    cached, streamed = (fetched(images, prefetch) for images, prefetch in zip(sources, (0, 2), strict=True))
    for one, other in zip(cached, streamed, strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_what_would_not_fit_is_not_decoded_to_be_measured():
    streamed = StreamedImages(range(9_178_276), size=299)
    assert streamed.nbytes == 9_178_276 * 299 * 299 * 3


SLOW_BUILD = """
import sys, time
from pathlib import Path
from nlcore.data import image_cache as module
decode = module.load_image
module.load_image = lambda path, size: (time.sleep(0.2), decode(path, size))[1]
module.image_cache([Path(p) for p in sys.argv[2:]], sys.argv[1], size=32, workers=1, progress=False)
"""


def test_a_killed_build_is_not_taken_for_whole(paths, tmp_path):
    directory = tmp_path / "cache"
    child = subprocess.Popen([sys.executable, "-c", SLOW_BUILD, str(directory), *map(str, paths)])
    deadline = time.monotonic() + 60
    while not list(directory.glob("*.partial/images.npy")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert len(list(directory.glob("*.partial"))) == 1
    cache = build(paths, directory)
    assert all(np.array_equal(cache.images[row], load_image(path, 32)) for row, path in enumerate(paths))
    assert not list(directory.glob("*.partial"))
