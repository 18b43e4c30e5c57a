"""`run_all.py doctor`: whether this machine has what the papers need, before an hour of it is spent.

No run is computed, and neither store nor output folder is made; labels of COCO that had to be read are kept in the
cache, as by any plan. Torch is loaded only once all packages are known to be there.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nlcore.app.findings import (
    FINE,
    INCOMPLETE,
    MISSING,
    NOT_GIVEN,
    NOT_LOOKED_AT,
    NOT_WRITABLE,
    SLOW,
    TO_FETCH,
    TOO_LITTLE,
    Finding,
)
from nlcore.app.versions import check_versions, stated
from nlcore.data.celeba import ATTRIBUTES_FILE
from nlcore.errors import InputError
from nlcore.files import require_writable_folder
from nlcore.papers import paper, papers
from nlcore.papers.paper import Asked, Paper
from nlcore.papers.profiles import Resources, load_profile
from nlcore.places import CHECKOUT, cache_folder

if TYPE_CHECKING:
    from nlcore.runs import Spec

GB = 1e9
# Bytes that the default profile takes: a record has 0.4 MB in the mean, and it has some 1,900 runs; figures/ has 15 MB.
STORE_BYTES, OUTPUT_BYTES = 1 * GB, 0.1 * GB
COST_SECONDS = 8.0  # after so long no further profile's cost is estimated: labels of millions of images take minutes

# A source's `data` -> the field of Resources that names its folder, and how to get it.
ROOTS = {
    "coco": (
        "data_root",
        "python -c \"from nlcore.data.download import download; download('coco2014', 'data')\" (train2014, val2014), "
        "and the same with 'val2017'",
    ),
    "celeba": ("celeba_root", "see nlcore/data/celeba.py for the files; a person has to fetch the photographs"),
    "attributes": (
        "celeba_root",
        "python -c \"from nlcore.data.download import download; download('celeba', 'data', accept_terms=True)\", "
        "if you accept its terms",
    ),
    "openimages": ("open_images_root", "see nlcore/data/openimages.py for the files"),
}
NAMES = {"embedded": "embedded COCO", "simulated": "simulated COCO", "coco": "COCO", "celeba": "CelebA",
         "attributes": "CelebA's attributes", "openimages": "Open Images V1"}  # fmt: skip
ON_IMAGES = ROOTS.keys() - {"attributes"}  # kinds of data that networks are trained on, or look at


@dataclass(frozen=True)
class Wanted:
    """What is to work here: the papers and options of the command without the word doctor."""

    names: Sequence[str]
    asked: Asked
    engine: str = "local"

    @property
    def is_default(self) -> bool:
        """Whether it is what `make reproduce` runs."""
        plain = Asked()
        same = (self.asked.profile, self.asked.seeds) == (plain.profile, plain.seeds)
        return same and self.engine == "local" and list(self.names) == list(papers())

    @property
    def words(self) -> str:
        """It, for a sentence."""
        return "make reproduce" if self.is_default else f"profile {self.asked.profile} of {', '.join(self.names)}"


@dataclass(frozen=True)
class Needed:
    """What a profile of a paper takes: all its runs, those that the store holds already included."""

    paper: str
    profile: str
    data: str
    gpu: str  # no, or the images that networks are trained on
    core_hours: float | None  # None: not estimated
    gpu_hours: float | None
    lacks: str


@dataclass(frozen=True)
class Report:
    """All that was looked at."""

    wanted: str
    findings: tuple[Finding, ...]
    profiles: tuple[Needed, ...]

    @property
    def works(self) -> bool:
        """Whether what is wanted can be expected to work here."""
        return not any(finding.blocks for finding in self.findings)


def doctor(wanted: Wanted, console: Console, *, as_json: bool = False) -> bool:
    """Look, and print what was found; whether what is wanted can be expected to work here.

    Args:
        wanted: papers and options.
        console: takes two tables and a line for each thing that is missing.
        as_json: print one JSON object of the same content instead.

    Raises:
        InputError: a paper, profile or device that there is not, or a folder that was named and is not there.
    """
    report = examine(wanted)
    if as_json:
        console.print(as_text(report), soft_wrap=True, highlight=False, markup=False)
        return report.works
    for table in tables(report):
        console.print(table)
    for line in told(report):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    return report.works


def examine(wanted: Wanted) -> Report:
    """Look at versions, machine, folders and data; see `doctor`.

    Raises:
        InputError: as `doctor`.
    """
    _check(wanted)
    versions = list(check_versions(stated(extras=("suite", "ray") if wanted.engine == "ray" else ("suite",))))
    ready = not any(finding.blocks for finding in versions)
    machine = [*_tools(wanted), _cores(), _memory()]
    if not ready:
        what = ("GPU", "data", "profiles")
        unseen = [Finding(name, "", "packages as asked for", NOT_LOOKED_AT) for name in what]
        return Report(wanted.words, (*versions, *machine, *_places(wanted.asked, cache=False), *unseen), ())
    ones = list(map(paper, wanted.names))
    settings = [load_profile(one.package, wanted.asked.profile) for one in ones]
    on_images = any(map(_on_images, settings))
    gpus = _gpus(wanted.asked.resources.device, wanted=on_images)
    specs, unmet = _described(ones, wanted.asked)
    data = [*_data_roots(ones, wanted.asked.resources), *_weights(specs), *unmet]
    findings = (*versions, *machine, *gpus, *_places(wanted.asked, cache=on_images), *data)
    return Report(wanted.words, findings, tuple(_profiles(ones, wanted.asked)))


def tables(report: Report) -> list[Table]:
    """What was found, and what the profiles take; cells as in `as_text`, but hours as people write them."""
    machine = _table("this machine", ("what", "found", "expected", "word"), report.findings)
    columns = tuple(field.name for field in fields(Needed))
    title = "what profiles take, whatever is done of them already (hours are rough; --plan says more)"
    return [machine, _table(title, columns, report.profiles)] if report.profiles else [machine]


def told(report: Report) -> list[str]:
    """A line for everything that is missing, with how to get it, and the last word."""
    lacking = [finding for finding in report.findings if finding.blocks]
    lines = [
        f"{one.word}: {one.what}: {one.found}; expected {one.expected}" + (f"; to get it: {one.get}" if one.get else "")
        for one in lacking
    ]
    verdict = f"cannot work yet: {len(lacking)} missing" if lacking else "can be expected to work here"
    return [*lines, f"{report.wanted}: {verdict}"]


def as_text(report: Report) -> str:
    """The report as a JSON object: `works`, `wanted`, `findings` and `profiles`."""
    content = {"works": report.works, **asdict(report)}
    return json.dumps(content, indent=2, ensure_ascii=False)


# Looking --------------------------------------------------------------------------------------------------------------


def _check(wanted: Wanted) -> None:
    """What no environment could make work."""
    if not wanted.names:
        raise InputError(f"papers: none named; expected one or more of {', '.join(papers())}")
    for one in map(paper, wanted.names):
        load_profile(one.package, wanted.asked.profile)
    for option, _ in ROOTS.values():
        root = getattr(wanted.asked.resources, option)
        if root is not None and not Path(root).is_dir():
            raise InputError(f"{option} {root}: no such folder; expected one of images and labels")


def _tools(wanted: Wanted) -> Iterator[Finding]:
    if wanted.is_default and CHECKOUT is not None:
        there = shutil.which("make")
        get = "" if there else "install make, or do as it does: python run_all.py"
        yield Finding("make", there or "none", "on the PATH", FINE if there else MISSING, get, blocks=not there)


def _cores() -> Finding:
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return Finding("CPU cores", str(cores) if usable == cores else f"{cores}, {usable} of them usable", "", FINE)


def _memory() -> Finding:
    try:
        import psutil  # late: this check is for those who lack packages
    except ModuleNotFoundError:
        return Finding("memory", "not known without psutil", "", NOT_LOOKED_AT)
    memory = psutil.virtual_memory()
    return Finding("memory", f"{memory.total / GB:.0f} GB, {memory.available / GB:.0f} GB of it free", "", FINE)


def _gpus(device: str, *, wanted: bool) -> list[Finding]:
    """One for each GPU that torch sees, or one that says that there is none; `wanted`: to train on images."""
    import torch

    from nlcore.devices import resolve_device
    from nlcore.runs.machine import gpu_memory

    expected = "wanted: it trains on images" if wanted else "none needed"
    found = [f"{torch.cuda.get_device_name(n)}, {size / GB:.0f} GB" for n, size in enumerate(gpu_memory())]
    findings = [Finding(f"GPU {number}", text, expected, FINE) for number, text in enumerate(found)]
    if not found:
        why = "none" if torch.version.cuda else "none (this build of torch has no CUDA)"
        unseen = shutil.which("nvidia-smi") is not None
        get = "nvidia-smi is here: a driver or a build of torch is wrong" if unseen else ""
        findings = [Finding("GPU", why, expected, SLOW if wanted else FINE, get)]
    try:
        resolve_device(device)
    except InputError as error:
        if not device.startswith("cuda"):
            raise
        findings.append(_lacking(str(error), get="a machine with such a GPU, or --device auto"))
    return findings


def _places(asked: Asked, *, cache: bool) -> Iterator[Finding]:
    """The folders that are written to; `cache`: that of decoded images is one of them."""
    records = sum(1 for _ in asked.store.glob("*/*.safetensors"))
    yield _place("store", asked.store, STORE_BYTES, f", {records:,} records")
    yield _place("output folder", asked.output, OUTPUT_BYTES)
    found = _place("decoded images", cache_folder(), 0.0)
    yield replace(found, blocks=found.blocks and cache)


def _place(what: str, folder: Path, needed: float, holds: str = "") -> Finding:
    """Whether a folder can be written, or be made, and has so many bytes free."""
    there = _nearest(folder)
    try:
        require_writable_folder(there, what=what)
        free = shutil.disk_usage(there).free
    except (InputError, OSError) as error:
        reason = error.__cause__ or error
        text = getattr(reason, "strerror", None) or str(reason)
        return Finding(what, f"{folder}{holds}: {text}", "writable", NOT_WRITABLE, _elsewhere(what), blocks=True)
    little = free < needed
    expected = f"writable, {needed / GB:.1f} GB free" if needed else "writable"
    found = f"{folder}{holds}, {free / GB:.1f} GB free"
    return Finding(what, found, expected, TOO_LITTLE if little else FINE, _elsewhere(what) if little else "", little)


def _elsewhere(what: str) -> str:
    ways = {"store": "--store or NLCORE_STORE", "output folder": "--output or NLCORE_OUTPUT"}
    return f"name another folder: {ways.get(what, 'NLCORE_CACHE')}"


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there: looking makes none."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _data_roots(ones: Sequence[Paper], resources: Resources) -> Iterator[Finding]:
    """For every folder that a profile of the papers may ask for: whether it was given, and which parts are in it."""
    for data, (option, get) in ROOTS.items():
        users = [(one.id, name, source) for one in ones for name, settings in one.profiles().items()
                 for source in _sources(settings) if source["data"] == data]  # fmt: skip
        if not users:
            continue
        parts = tuple(sorted({part for *_, source in users for part in source.get("parts", ())}))
        expected = f"{NAMES[data]}: {_wanted(users)}"
        root = getattr(resources, option)
        if root is None:
            yield Finding(option, "", expected, NOT_GIVEN, f"{_flag(option)}: {get}")
            continue
        absent = list(dict.fromkeys(_absent(data, root, parts)))
        found = f"{root}: " + ("; ".join(absent) if absent else "complete")
        yield Finding(option, found, expected, INCOMPLETE if absent else FINE, get if absent else "")


def _wanted(users: Iterable[tuple[str, str, Mapping[str, Any]]]) -> str:
    """Which parts of a folder which papers look at, and with which profiles."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for one, profile, source in users:
        groups.setdefault(" ".join([*source.get("parts", ()), "for"]), []).append((one, profile))
    words = []
    for parts, found in groups.items():
        ones, profiles = (", ".join(dict.fromkeys(names)) for names in zip(*found, strict=True))
        words.append(f"{parts} {ones} ({profiles})")
    return "; ".join(words)


def _absent(data: str, root: str, parts: tuple[str, ...]) -> Iterator[str]:
    """What a folder of this kind lacks: files of labels and folders of images; none of them is read."""
    from nlcore.data.source import Source, image_folders, label_files

    for own in [(part,) for part in parts] or [()]:
        source = Source(data=data, parts=own, root=root)
        try:
            label_files(source)
        except InputError as error:
            yield "no " + _split(str(error))[0].removeprefix(f"{root}/").removesuffix(": no such file")
            continue
        yield from (f"no {folder.name}/" for folder in image_folders(source) if not folder.is_dir())


def _described(ones: Iterable[Paper], asked: Asked) -> tuple[list[Spec], list[Finding]]:
    """The runs of what was asked for, and why others cannot be described: data or weights that are not there, each
    reason once."""
    specs: list[Spec] = []
    reasons: dict[str, None] = {}
    for one in ones:
        try:
            specs += one.specs(asked.profile, seeds=asked.seeds, resources=asked.resources)
        except InputError as error:
            reasons[str(error)] = None
    return specs, [_lacking(reason, get=_way_to(reason, asked.resources)) for reason in reasons]


def _weights(specs: Iterable[Spec]) -> Iterator[Finding]:
    """For every published network that runs start from: whether it is here; a machine without internet would stop."""
    from nlcore.data.weights import TIMM
    from nlcore.papers.prepare import pretrained

    for model, weights in dict.fromkeys(wanted for spec in specs for wanted in pretrained(spec)):
        if weights.startswith(TIMM):
            here = _is_cached(model, weights.partition(":")[2])
            found = f"{model}, {weights}: {'here' if here else 'not in the hub client cache'}"
            get = "" if here else "begin once with internet, or give a file (--weights)"
            yield Finding("weights", found, "published ones, fetched once", FINE if here else TO_FETCH, get)


def _is_cached(model: str, tag: str) -> bool:
    """Whether timm would find a published network without asking the hub."""
    from nlcore.torchvision_compat import ensure_torchvision

    ensure_torchvision()
    import timm
    from huggingface_hub import try_to_load_from_cache

    published = timm.get_pretrained_cfg(f"{model}.{tag}")
    where = published.hf_hub_id if published else None
    repository = f"{where}{model}.{tag}" if where and where.endswith("/") else where
    names = ("model.safetensors", "pytorch_model.bin")
    return bool(repository) and any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


def _way_to(reason: str, resources: Resources) -> str:
    """How to get the data that a reason is about; of weights the reason says it itself."""
    for option, get in ROOTS.values():
        root = getattr(resources, option)
        at_root = root is not None and reason.startswith(root)
        if ATTRIBUTES_FILE in reason and at_root:
            return ROOTS["attributes"][1]
        if reason.startswith(option) or at_root:
            return get
    return ""


def _profiles(ones: Iterable[Paper], asked: Asked) -> Iterator[Needed]:
    """Every profile of the papers; the one asked for first, in case that time runs out."""
    begun = time.monotonic()
    with _ledger(asked.store) as root:
        every = [(one, name) for one in ones for name in one.profiles()]
        first = sorted(every, key=lambda pair: pair[1] != asked.profile)
        found = {
            (one.id, name): _needed(one, name, asked.resources, root, in_time=time.monotonic() - begun < COST_SECONDS)
            for one, name in first
        }
    yield from (found[one.id, name] for one, name in every)


@contextmanager
def _ledger(store: Path) -> Iterator[Path]:
    """The store whose measurements correct the rates; an empty one where it is not there or cannot be written."""
    if store.is_dir() and os.access(store, os.W_OK):
        yield store
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _needed(one: Paper, profile: str, resources: Resources, store: Path, *, in_time: bool) -> Needed:
    settings = one.profiles()[profile]
    kinds = list(dict.fromkeys(source["data"] for source in _sources(settings)))
    data = ", ".join(NAMES.get(kind, kind) for kind in kinds)
    options = {ROOTS[kind][0] for kind in kinds if kind in ROOTS}
    own = replace(resources, **{option: None for option, _ in ROOTS.values() if option not in options})
    images = ", ".join(NAMES[kind] for kind in kinds if kind in ON_IMAGES)
    plain = Needed(one.id, profile, data, f"for {images}" if images else "no", None, None, "")
    if not in_time:
        return replace(plain, lacks="time to estimate it: ask --plan")
    absent = [option for option in sorted(options) if getattr(own, option) is None]
    try:
        hours = _hours(one, profile, own, store)
    except InputError as error:
        return replace(plain, lacks=", ".join(map(_flag, absent)) or str(error))
    optional = [f"{_flag(option)}{_without(one, option)}" for option in absent]
    return replace(plain, core_hours=hours["cpu"], gpu_hours=hours["cuda"], lacks="; ".join(optional))


def _hours(one: Paper, profile: str, resources: Resources, store: Path) -> dict[str, float]:
    """About how many hours of a core and of a GPU all runs take, to a hundredth."""
    from nlcore.runs import Store, with_requirements
    from nlcore.runs.cost import CostModel

    model, seconds = CostModel(Store(store)), {"cpu": 0.0, "cuda": 0.0}
    for spec in with_requirements(one.specs(profile, resources=resources)):
        estimate = model.estimate(spec)
        seconds[estimate.device] += estimate.seconds
    return {device: round(total / 3600, 2) for device, total in seconds.items()}


# Words ----------------------------------------------------------------------------------------------------------------


def _without(one: Paper, option: str) -> str:
    """What stands where data that a profile can do without are not given."""
    need = next((need for need in one.needs if _flag(option) in need.command), None)
    return f", for {', '.join(need.artefacts)} (without: {need.instead})" if need else ""


def _lacking(message: str, *, get: str) -> Finding:
    """An InputError's line as a finding that blocks."""
    found, expected = _split(message)
    what, _, found = found.partition(": ")
    return Finding(what, found, expected, MISSING, get, blocks=True)


def _split(message: str) -> tuple[str, str]:
    """What was found and what was expected, of an InputError's line."""
    found, _, expected = message.partition("; expected ")
    return found, expected


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _sources(settings: Any) -> Iterator[Mapping[str, Any]]:
    """Every image source in a profile's settings, wherever it stands; a frozen network looks at COCO's folder."""
    if isinstance(settings, Mapping):
        if isinstance(settings.get("data"), str):
            yield {**settings, "data": {"frozen": "coco"}.get(settings["data"], settings["data"])}
        for value in settings.values():
            yield from _sources(value)


def _on_images(settings: Mapping[str, Any]) -> bool:
    """Whether a profile looks at images, rather than at features that are there."""
    return any(source["data"] in ON_IMAGES for source in _sources(settings))


def _table(title: str, columns: Sequence[str], rows: Iterable[object]) -> Table:
    table = Table(*(column.replace("_", "-") for column in columns), title=title)
    for row in rows:
        table.add_row(*(Text(_cell(getattr(row, column))) for column in columns))  # Text: a path may look like markup
    return table


def _cell(value: object) -> str:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
