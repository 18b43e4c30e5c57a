"""A dress rehearsal of the papers' full-size path on drawn images: every kind of run, with its real network.

    python scripts/rehearse.py FOLDER --labels LABELS.npz [--papers galc_slr] [--share 0.01] [--whole] [--keep]
    python scripts/rehearse.py FOLDER --labels LABELS.npz --profile frozen    # a tiny network's features of all images

FOLDER gets COCO 2014 and val2017 in the official layout with the full counts (82,081 + 40,137 + 5,000 small JPEGs), a
folder shaped like CelebA and one shaped like Open Images V1, and the store, cache and figures of the rehearsal. LABELS
holds the label sets of train2014 (`targets`, bits packed, 80 classes); the other parts draw theirs from the same rows.
--share makes all counts smaller.

Then, as a laboratory would: `--plan` of the profile `paper` at full counts; one run of every kind of the profile
`rehearsal`, which walks the same path with the same networks, sizes and folders and few steps (--whole: all of its
runs and notebooks, through `run_all.py`), killed at three moments (SIGKILL) and begun again; and once more, when
nothing may be left to compute. With --profile frozen the same of that profile at its full sizes and steps, but for the
network, and the first kill comes while features are extracted. Weights are random, and asked for as such. Printed at
the end: seconds, the largest memory of all processes together, and how often the images were decoded or looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, ImageDraw

from nlcore.data.celeba import ATTRIBUTES_FILE, IMAGES_FOLDER, TAGS
from nlcore.data.coco import COCO_CATEGORIES
from nlcore.generators import generator
from nlcore.papers import paper
from nlcore.papers.profiles import Resources
from nlcore.runs import Spec, Store, make_engine, plan_grid, run_grids

ROOT = Path(__file__).resolve().parents[1]
COUNTS = {"train2014": 82_081, "val2014": 40_137, "val2017": 5_000}
CELEBA_IMAGES = 20_000
DRAWN = 256  # different pictures; the files of a part are links to them
SIDE = 64
TINY = "test_byobnet"  # timm's network of a few thousand weights, for the features of `frozen`
BLOCKS = 160  # of 256 images: a third of train2014 and val2014


def main() -> None:
    """Draw, plan, rehearse with kills, and print what was seen."""
    options = arguments()
    folder = options.folder.resolve()
    if options.compute:
        return compute(folder, options)
    folder.mkdir(parents=True, exist_ok=True)
    draw_everything(folder, options.labels, options.share)
    command = [sys.executable, *sys.argv, "--compute"]
    if options.whole:
        command = rehearsal_command(folder, options, options.profile)
    seen = {"plan of paper": plan(folder, options)}
    for number, moment in enumerate(moments(folder, options.profile), start=1):
        seen[f"kill {number}: {moment.__name__}"] = run(command, folder, until=moment)
    seen["to the end"] = run(command, folder)
    seen["once more"] = run(command, folder)
    report(seen, folder)
    if not options.keep:
        shutil.rmtree(folder)
    sys.exit(any(one.code not in (0, -signal.SIGKILL) for one in seen.values()))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=Path, required=True, help="npz with the label sets of train2014")
    parser.add_argument("--papers", default="multi_al,missing_label_al,cleanlab_ema,galc_slr,teacher_student")
    parser.add_argument("--profile", choices=("rehearsal", "frozen"), default="rehearsal")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--open-images", type=Path, help="a folder shaped like Open Images V1")
    parser.add_argument("--whole", action="store_true", help="all runs and notebooks of the profile (an hour)")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--compute", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.profile == "frozen":
        options.papers = options.papers.replace("cleanlab_ema,", "")  # it has no such profile
    return options


def draw_everything(folder: Path, labels: Path, share: float) -> None:
    """The three folders, unless they are there from an earlier rehearsal."""
    if (folder / "drawn").is_file():
        return
    with np.load(labels) as stored:
        targets = np.unpackbits(stored["targets"], axis=1, count=len(COCO_CATEGORIES))
    pictures = draw_pictures(folder / "pictures")
    for part, count in COUNTS.items():
        number = max(round(share * count), 400)
        rows = np.arange(number) % len(targets)
        if part != "train2014":
            rows = generator("rehearsal", part).integers(len(targets), size=number)
        draw_coco(folder / "coco", part, targets[rows], pictures)
    draw_celeba(folder / "celeba", max(round(share * CELEBA_IMAGES), 400), pictures)
    (folder / "drawn").touch()


def draw_pictures(folder: Path) -> list[Path]:
    """A few hundred different JPEGs of coloured shapes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, paths = generator("rehearsal", "pictures"), []
    for number in range(DRAWN):
        image = Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(256, size=3).tolist()))
        left, top = rng.integers(SIDE // 2, size=2).tolist()
        pen = ImageDraw.Draw(image)
        pen.ellipse([left, top, left + SIDE // 2, top + SIDE // 2], fill=tuple(rng.integers(256, size=3).tolist()))
        paths.append(folder / f"{number}.jpg")
        image.save(paths[-1])
    return paths


def link(pictures: list[Path], number: int, path: Path) -> None:
    """One more name for a picture: 122,000 files take no space."""
    os.link(pictures[number % len(pictures)], path)


def draw_coco(root: Path, part: str, targets: np.ndarray, pictures: list[Path]) -> None:
    """One part in COCO's official layout: an annotation for every label of (n, 80) `targets`."""
    (root / part).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    categories = list(COCO_CATEGORIES)
    names = [f"COCO_{part}_{number:012d}.jpg" for number in range(1, len(targets) + 1)]
    for number, name in enumerate(names):
        link(pictures, number, root / part / name)
    images = [{"id": n, "file_name": name, "width": SIDE, "height": SIDE} for n, name in enumerate(names, start=1)]
    annotations = [
        {"id": n, "image_id": int(row) + 1, "category_id": categories[k], "bbox": [1, 1, 30, 30], "iscrowd": 0}
        for n, (row, k) in enumerate(np.argwhere(targets), start=1)
    ]
    named = [{"id": k, "name": name} for k, name in COCO_CATEGORIES.items()]
    content = {"images": images, "annotations": annotations, "categories": named}
    (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))


def draw_celeba(root: Path, count: int, pictures: list[Path]) -> None:
    """An attribute list of CelebA's form, and its photographs."""
    (root / IMAGES_FOLDER).mkdir(parents=True)
    given = generator("rehearsal", "celeba").random((count, len(TAGS))) < 0.3
    lines = [str(count), " ".join(TAGS)]
    for number, tags in enumerate(given, start=1):
        lines.append(f"{number:06d}.jpg " + " ".join("1" if tag else "-1" for tag in tags))
        link(pictures, number, root / IMAGES_FOLDER / f"{number:06d}.jpg")
    (root / ATTRIBUTES_FILE).write_text("\n".join(lines) + "\n")


def compute(folder: Path, options: argparse.Namespace) -> None:
    """One run of every kind, and what it requires, of the profile: what is killed and begun again."""
    store, found = Store(folder / "store"), {}
    for name in options.papers.split(","):
        roots = {"data_root": str(folder / "coco"), "celeba_root": None, "open_images_root": None}
        if name == "cleanlab_ema":
            roots["celeba_root"] = str(folder / "celeba")
        if name == "teacher_student" and options.open_images:
            roots["open_images_root"] = str(options.open_images.resolve())
        backbone, seeds = (TINY, [0]) if options.profile == "frozen" else (None, None)
        resources = Resources(**roots, backbone=backbone, weights="random", device="cpu")
        specs = paper(name).specs(options.profile, seeds=seeds, resources=resources)
        on_images = [spec for spec in specs if getattr(spec, "source", None) is None or spec.source.from_folder]
        kinds = {kind_of(spec): spec for spec in reversed(on_images)}
        found[name] = plan_grid(kinds.values(), store)
    run_grids(found, store, make_engine(workers=options.workers))
    print(f"{sum(len(plan.missing) for plan in found.values())} runs computed for the store")


def kind_of(spec: Spec) -> tuple[str, str, str]:
    """A class of runs, the kind of its data, and paper 5's method, since these train different networks."""
    source = getattr(spec, "source", None)
    method = spec.method if type(spec).__name__ == "Method" else ""
    return type(spec).__name__, source.data if source else "", method


def rehearsal_command(folder: Path, options: argparse.Namespace, profile: str) -> list[str]:
    """`run_all.py` on the drawn folders."""
    places = {"data-root": "coco", "output": "figures", "store": "store"}
    if "cleanlab_ema" in options.papers:
        places["celeba-root"] = "celeba"
    command = [sys.executable, str(ROOT / "run_all.py"), "--profile", profile, "--papers", options.papers]
    command += [part for name, place in places.items() for part in (f"--{name}", str(folder / place))]
    command += ["--backbone", TINY] if profile == "frozen" else []
    if options.open_images and "teacher_student" in options.papers:
        command += ["--open-images-root", str(options.open_images.resolve())]
    return [*command, "--weights", "random", "--device", "cpu", "--workers", str(options.workers)]


@dataclass
class Seen:
    """What was seen of one command: its exit code, seconds, the peak of memory, and its last words."""

    code: int = 0
    seconds: float = 0.0
    peak: int = 0  # bytes, of all its processes together; a page that several map counts once
    words: str = ""


def plan(folder: Path, options: argparse.Namespace) -> Seen:
    """`--plan` of the published protocol on the full counts."""
    profile = "frozen" if options.profile == "frozen" else "paper"
    return run([*rehearsal_command(folder, options, profile), "--plan"], folder)


def run(command: list[str], folder: Path, *, until: Callable[[], bool] | None = None) -> Seen:
    """Run it to its end, or kill it and all it began once `until` says so."""
    variables = {"NLCORE_CACHE": str(folder / "cache"), "NLCORE_CHECKPOINT_SECONDS": "1"}
    seen, begun = Seen(), time.monotonic()
    with (folder / "log.txt").open("a+") as log:
        start = log.tell()
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | variables, stdout=log, stderr=log, start_new_session=True
        )
        watcher = threading.Thread(target=watch, args=(process.pid, seen), daemon=True)
        watcher.start()
        while process.poll() is None:
            if until is not None and until():
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.2)
        log.seek(start)
        seen.words = log.read()
    seen.code, seen.seconds = process.returncode, time.monotonic() - begun
    watcher.join()
    return seen


def watch(pid: int, seen: Seen) -> None:
    """Follow the memory of a process and its children until it ends."""
    while psutil.pid_exists(pid):
        seen.peak = max(seen.peak, sum(memory(process) for process in family(pid)))
        time.sleep(0.5)


def family(pid: int) -> Iterator[psutil.Process]:
    """A process and all that it began."""
    try:
        process = psutil.Process(pid)
        yield process
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def memory(process: psutil.Process) -> int:
    """Bytes of its own: pages of the decoded images are the file system's, and leave when others need the room."""
    try:
        found = process.memory_info()
        return found.rss - found.shared
    except psutil.NoSuchProcess:
        return 0


def moments(folder: Path, profile: str) -> list[Callable[[], bool]]:
    """When to kill: in the first runs, once a training has left a checkpoint, and half-way.

    Heads are trained too fast to leave checkpoints: with `frozen`, while the network looks at the images.
    """
    finished = lambda: len(list((folder / "store").glob("??/*.safetensors")))

    def with_the_first_run_done() -> bool:
        return finished() >= 1

    def a_third_of_the_features_in() -> bool:
        lists = (folder / "cache").rglob("*.partial/blocks.jsonl")
        return any(path.read_text().count("\n") >= BLOCKS for path in lists)

    def with_a_new_checkpoint(state: list[float] = []) -> bool:  # noqa: B006 (remembers when it began)
        state[:] = state or [time.time()]
        found = (folder / "store" / "scratch").rglob("*.safetensors")
        return any(path.stat().st_mtime > state[0] for path in found)

    def three_runs_later(state: list[int] = []) -> bool:  # noqa: B006 (remembers where it began)
        state[:] = state or [finished()]
        return finished() >= state[0] + 3

    if profile == "frozen":
        return [a_third_of_the_features_in, with_the_first_run_done, three_runs_later]
    return [with_the_first_run_done, with_a_new_checkpoint, three_runs_later]


def report(seen: dict[str, Seen], folder: Path) -> None:
    """Print the table, and what the last run said."""
    print(f"{'':40} {'exit':>5} {'seconds':>8} {'memory':>9}")
    for name, one in seen.items():
        print(f"{name.replace('_', ' '):40} {one.code:5} {one.seconds:8.0f} {one.peak / 2**30:6.1f} GB")
    caches = [path for kind in ("images_*", "frozen_*") for path in (folder / "cache").rglob(kind) if path.is_dir()]
    size = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    print(f"decoded or looked at once each: {len(caches)} sets of images, {size / 1e9:.1f} GB")
    again = next((line for line in seen["once more"].words.splitlines() if "store" in line), "")
    print(f"once more: {again}")
    if seen["to the end"].code:
        print(seen["to the end"].words[-3000:])


if __name__ == "__main__":
    main()
