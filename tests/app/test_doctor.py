"""`run_all.py doctor`: what a machine lacks is named with how to get it, and looking leaves nothing behind."""

import errno
import io
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import namedtuple
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from rich.console import Console

from nlcore.app import doctor, findings, versions
from nlcore.app.cli import main
from nlcore.papers import BUILT_IN
from nlcore.papers.paper import Asked
from nlcore.papers.profiles import Resources
from nlcore.runs import Store
from tests.coco_drawing import draw_coco

ROOT = Path(__file__).resolve().parents[2]
ONE = ["--papers", "missing_label_al"]  # its profiles are estimated soonest


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    return {"output": tmp_path / "figures", "store": tmp_path / "store"}


def call(folders, *arguments):
    """The command's exit code; `arguments` stand before the word doctor, but for --json."""
    before = [word for word in arguments if word != "--json"]
    places = ["--output", str(folders["output"]), "--store", str(folders["store"])]
    return main([*before, *places, "doctor", *(["--json"] if "--json" in arguments else [])])


def asked(folders, *arguments, capsys):
    """(exit code, the report as JSON)."""
    code = call(folders, *arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


def named(report, what):
    return next(found for found in report["findings"] if found["what"] == what)


def pretend(monkeypatch, **installed):
    """Other versions of packages than those installed; None: not installed at all."""
    real, changed = versions.version, {name.replace("_", "-"): found for name, found in installed.items()}

    def version(name):
        found = changed.get(name, "") or (None if name in changed else real(name))
        if found is None:
            raise PackageNotFoundError(name)
        return found

    monkeypatch.setattr(versions, "version", version)


def as_tested(monkeypatch):
    """Every package as constraints.txt pins it, whatever is installed where the tests run."""
    pins = versions.stated().tested
    monkeypatch.setattr(versions, "version", pins.__getitem__)


def test_a_fresh_checkout_with_the_pinned_packages_can_work_and_nothing_is_written(folders, monkeypatch, capsys):
    as_tested(monkeypatch)
    code, report = asked(folders, capsys=capsys)
    assert code == 0
    assert report["works"] is True
    assert report["wanted"] == "make reproduce"
    shown = [found for found in report["findings"] if found["what"] in versions.SHOWN]
    assert [found["what"] for found in shown] == list(versions.SHOWN)
    assert {found["word"] for found in shown} == {findings.FINE}
    hours = {(row["paper"], row["profile"]): row["core_hours"] for row in report["profiles"]}
    assert all(hours[name, "embedded"] > 0 for name in BUILT_IN)
    assert hours["galc_slr", "paper"] is None
    assert not folders["output"].exists()
    assert not folders["store"].exists()


@pytest.mark.parametrize(
    ("package", "found", "line"),
    [
        ("timm", None, "missing: timm: none; expected >=1.0.12, tested {}; to get it: make install installs it"),
        ("seaborn", None, "missing: seaborn: none; expected >=0.13.2, tested {}; to get it: make install"),
        ("numpy", "1.25.2", "too old: numpy: 1.25.2; expected >=2.0, tested {}; to get it: make install"),
    ],
)
def test_a_missing_package_and_a_too_old_one_are_named_with_how_to_get_them(
    folders, monkeypatch, capsys, package, found, line
):
    pretend(monkeypatch, **{package: found})
    assert call(folders, *ONE) == 1
    printed = capsys.readouterr().out
    assert line.format(versions.stated().tested[package]) in printed
    assert "cannot work yet: 1 missing" in printed
    assert "not looked at" in printed
    assert "what profiles take" not in printed


def test_another_version_than_the_tested_one_is_told_and_is_no_obstacle(folders, monkeypatch, capsys):
    as_tested(monkeypatch)
    pretend(monkeypatch, scipy="1.13.0")
    code, report = asked(folders, *ONE, capsys=capsys)
    assert code == 0
    assert named(report, "scipy")["word"] == "other than tested"
    assert named(report, "numpy")["word"] == "fine"


def test_ray_is_asked_for_only_with_its_engine(folders, monkeypatch, capsys):
    pretend(monkeypatch, ray=None)
    assert call(folders, *ONE) == 0
    capsys.readouterr()
    assert call(folders, *ONE, "--engine", "ray") == 1
    assert "missing: ray: none; expected >=2.49" in capsys.readouterr().out


def test_what_an_installed_package_states_is_what_the_checkout_states(monkeypatch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    extras = [f'{line}; extra == "{name}"' for name, lines in optional.items() for line in lines]

    class Metadata(dict):
        get_all = dict.get

    found = {"Requires-Python": project["requires-python"], "Classifier": project["classifiers"],
             "Provides-Extra": list(optional)}  # fmt: skip
    monkeypatch.setattr(versions, "metadata", lambda name: Metadata(found))
    monkeypatch.setattr(versions, "requires", lambda name: [*project["dependencies"], *extras])
    for chosen in ((), ("ray",)):
        installed, checkout = versions.stated(None, extras=chosen), versions.stated(ROOT, extras=chosen)
        assert installed.packages == checkout.packages
        assert (installed.python, installed.tested_pythons) == (checkout.python, checkout.tested_pythons)
        assert ("ray" in installed.packages) == (chosen == ("ray",))
        assert installed.tested is None


def test_an_old_python_and_one_that_ci_does_not_test(monkeypatch):
    stated = versions.Stated(versions.SpecifierSet(">=3.11"), {}, ("3.11", "3.12"))
    words = []
    for found in ("3.10.4", "3.12.1", "3.14.0"):
        numbers = tuple(map(int, found.split(".")))
        monkeypatch.setattr(versions.platform, "python_version", lambda found=found: found)
        monkeypatch.setattr(versions.sys, "version_info", numbers)
        (finding,) = versions.check_versions(stated)
        words.append((finding.word, finding.blocks))
    assert words == [("too old", True), ("fine", False), ("other than tested", False)]


def test_the_cache_of_images_must_be_writable_only_for_images(folders, monkeypatch, tmp_path, capsys):
    draw_coco(tmp_path / "coco", images=12, classes=6, split="val", year=2017)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "file"))
    code, report = asked(folders, *ONE, capsys=capsys)
    assert (code, named(report, "decoded images")["word"]) == (0, "not writable")
    given = ["--profile", "rehearsal", "--weights", "random", "--data-root", str(tmp_path / "coco")]
    code, report = asked(folders, *ONE, *given, capsys=capsys)
    assert (code, named(report, "decoded images")["blocks"]) == (1, True)


@pytest.mark.parametrize(("which", "what"), [("store", "store"), ("output", "output folder")])
@pytest.mark.parametrize("how", ["a file in the way", "read-only"])
def test_a_folder_that_cannot_be_written_is_named(folders, monkeypatch, capsys, which, what, how):
    if how == "read-only":
        folders[which].mkdir()
        real = tempfile.TemporaryFile

        def read_only(*, dir):
            if Path(dir) == folders[which]:
                raise OSError(errno.EROFS, "Read-only file system")
            return real(dir=dir)

        monkeypatch.setattr(tempfile, "TemporaryFile", read_only)  # the superuser may write wherever modes forbid it
    else:
        folders[which].write_text("a file is in the way")
    code, report = asked(folders, *ONE, capsys=capsys)
    assert code == 1
    assert [found["what"] for found in report["findings"] if found["blocks"]] == [what]
    assert named(report, what)["word"] == "not writable"
    assert f"--{which}" in named(report, what)["get"]
    assert {"read-only": "Read-only file system"}.get(how, "File exists") in named(report, what)["found"]


def test_a_full_disk_is_named(folders, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 10**12, 4 * 10**8))
    code, report = asked(folders, *ONE, capsys=capsys)
    assert code == 1
    assert named(report, "store")["word"] == "too little space"
    assert named(report, "store")["found"].endswith("0.4 GB free")
    assert named(report, "output folder")["word"] == "fine"


def test_the_records_of_the_store_are_counted(folders, capsys):
    store = Store(folders["store"])
    for name in ("a1", "a2", "b3"):
        (store.root / name).mkdir()
        (store.root / name / f"{name}.safetensors").touch()
    (store.root / "a1" / "a1.damaged").touch()
    _, report = asked(folders, *ONE, capsys=capsys)
    assert ", 3 records, " in named(report, "store")["found"]


def test_without_a_gpu_only_what_asks_for_one_is_stopped(folders, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, report = asked(folders, *ONE, capsys=capsys)
    assert code == 0
    assert (named(report, "GPU")["found"][:4], named(report, "GPU")["word"]) == ("none", "fine")
    code, report = asked(folders, *ONE, "--device", "cuda", capsys=capsys)
    assert code == 1
    assert "no such GPU here" in named(report, "device")["found"]
    _, report = asked(folders, *ONE, "--profile", "paper", capsys=capsys)
    assert named(report, "GPU")["word"] == "slow without"


def test_gpus_are_named_with_their_memory(monkeypatch):
    Properties = namedtuple("Properties", "total_memory")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", ["NVIDIA A100", "NVIDIA H200"].__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda n: Properties([80, 141][n] * 10**9))
    shown = [(one.what, one.found, one.word) for one in doctor._gpus("cuda:1", wanted=True)]
    assert shown == [("GPU 0", "NVIDIA A100, 80 GB", "fine"), ("GPU 1", "NVIDIA H200, 141 GB", "fine")]


def test_data_are_named_where_they_are_missing_and_priced_where_they_are_there(folders, tmp_path, capsys):
    code, report = asked(folders, *ONE, "--profile", "rehearsal", capsys=capsys)
    assert code == 1
    assert named(report, "data_root")["word"] == "not given"
    blocking = [found for found in report["findings"] if found["blocks"]]
    assert [found["what"] for found in blocking] == ["data_root"]
    assert "--data-root" in blocking[0]["expected"]
    assert "download('coco2014', 'data')" in blocking[0]["get"]
    assert {row["profile"]: row["lacks"] for row in report["profiles"]}["rehearsal"] == "--data-root"

    draw_coco(tmp_path / "coco", images=12, classes=6, split="val", year=2017)
    given = [*ONE, "--profile", "rehearsal", "--weights", "random", "--data-root", str(tmp_path / "coco")]
    code, report = asked(folders, *given, capsys=capsys)
    assert code == 0
    rows = {row["profile"]: row for row in report["profiles"]}
    assert rows["rehearsal"]["lacks"] == ""
    assert rows["rehearsal"]["core_hours"] + rows["rehearsal"]["gpu_hours"] > 0
    assert (rows["rehearsal"]["gpu"], rows["embedded"]["gpu"]) == ("for COCO", "no")
    assert named(report, "data_root")["found"].endswith("coco: complete")


@pytest.mark.parametrize(("here", "word"), [(False, "to be fetched"), (True, "fine")])
def test_weights_that_the_hub_has_are_named(folders, tmp_path, monkeypatch, capsys, here, word):
    """A node without internet would stop at them, after hours of waiting for it."""
    asked_for = []
    monkeypatch.setattr(doctor, "_is_cached", lambda *network: asked_for.append(network) or here)
    draw_coco(tmp_path / "coco", images=12, classes=6, split="val", year=2017)
    given = [*ONE, "--profile", "rehearsal", "--data-root", str(tmp_path / "coco")]
    code, report = asked(folders, *given, capsys=capsys)
    assert (code, named(report, "weights")["word"]) == (0, word)
    assert named(report, "weights")["found"].startswith("tresnet_m, timm:miil_in21k_ft_in1k: ")
    assert set(asked_for) == {("tresnet_m", "miil_in21k_ft_in1k")}


def test_whether_a_published_network_is_here_is_asked_of_the_cache(monkeypatch):
    asked_for = []
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *file: asked_for.append(file))
    assert not doctor._is_cached("tresnet_m", "miil_in21k_ft_in1k")
    assert ("timm/tresnet_m.miil_in21k_ft_in1k", "model.safetensors") in asked_for
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *file: "/cache/model.safetensors")
    assert doctor._is_cached("tresnet_m", "miil_in21k_ft_in1k")


def test_a_folder_that_lacks_a_part_is_incomplete_and_says_which(folders, tmp_path, capsys):
    draw_coco(tmp_path / "coco", images=12, classes=6, split="val", year=2017)
    draw_coco(tmp_path / "coco", images=12, classes=6, split="train", year=2014)
    shutil.rmtree(tmp_path / "coco" / "train2014")
    given = ["--papers", "galc_slr", "--weights", "random", "--data-root", str(tmp_path / "coco")]
    code, report = asked(folders, *given, capsys=capsys)
    assert code == 0  # the default profile reads none of it
    assert named(report, "data_root")["word"] == "incomplete"
    absent = ["no train2014/", "no annotations/instances_train2017.json", "no annotations/instances_val2014.json"]
    assert named(report, "data_root")["found"] == f"{tmp_path / 'coco'}: {'; '.join(absent)}"
    assert "train2017 val2017 for galc_slr (finetune)" in named(report, "data_root")["expected"]
    rows = {row["profile"]: row for row in report["profiles"]}
    assert "instances_train2017.json: no such file" in rows["finetune"]["lacks"]
    assert asked(folders, *given, "--profile", "finetune", capsys=capsys)[0] == 1


def test_what_a_profile_can_do_without_is_told_beside_its_hours(folders, capsys):
    _, report = asked(folders, "--papers", "cleanlab_ema", capsys=capsys)
    row = next(row for row in report["profiles"] if row["profile"] == "paper")
    assert row["core_hours"] > 1
    assert row["lacks"].startswith("--celeba-root, for table_1, fig_1, fig_4 (without: the same on embedded COCO")
    assert row["gpu"] == "for CelebA"


def test_costs_stop_being_estimated_when_time_is_over(folders, monkeypatch):
    monkeypatch.setattr(doctor, "COST_SECONDS", 0.0)
    report = doctor.examine(doctor.Wanted(["missing_label_al"], Asked(store=folders["store"])))
    assert {(row.core_hours, row.lacks) for row in report.profiles} == {(None, "time to estimate it: ask --plan")}


def test_json_equals_the_table(tmp_path):
    resources = Resources(device="cuda:99", celeba_root=str(tmp_path))
    wanted = doctor.Wanted(["cleanlab_ema"], Asked(profile="paper", resources=resources, store=tmp_path / "[red]store"))
    report = doctor.examine(wanted)
    machine, profiles = (printed(table) for table in doctor.tables(report))
    content = json.loads(doctor.as_text(report))
    assert machine == [[row[name] for name in ("what", "found", "expected", "word")] for row in content["findings"]]
    columns = ("paper", "profile", "data", "gpu", "core_hours", "gpu_hours", "lacks")
    assert [list(map(number, row)) for row in profiles] == [
        [row[name] for name in columns] for row in content["profiles"]
    ]
    assert content["works"] is False
    lines = doctor.told(report)
    blocking = [row for row in content["findings"] if row["blocks"]]
    assert len(lines) == len(blocking) + 1 > 2
    for line, row in zip(lines, blocking, strict=False):
        assert line.startswith(f"{row['word']}: {row['what']}: {row['found']}; expected {row['expected']}")
        assert row["get"] in line


def printed(table):
    """The cells of a table's rows, as they are printed where there is width enough."""
    out = io.StringIO()
    Console(file=out, width=2000).print(table)
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.getvalue().splitlines() if "│" in line]


def number(cell):
    try:
        return float(cell)
    except ValueError:
        return None if cell == "–" else cell


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--papers", "resnet"], "paper 'resnet': unknown; expected one of multi_al"),
        (["--papers", ""], "papers: none named; expected one or more of"),
        (["--profile", "huge"], "profile 'huge': multi_al has none of that name; expected one of smoke, embedded"),
        (["--data-root", "/no/such"], "data_root /no/such: no such folder; expected one of images and labels"),
        ([*ONE, "--device", "tpu"], "device: found 'tpu'; expected auto, cpu, cuda or cuda:N"),
        (["--engine", "slurm"], "engine: found 'slurm'; expected local or ray"),
        (["--seeds", "x"], "seeds 'x': cannot read 'x'; expected numbers"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(folders, capsys, arguments, line):
    assert call(folders, *arguments) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not folders["store"].exists()


@pytest.mark.parametrize(("arguments", "code"), [(["doctor"], 1), ([], 2)])
def test_a_python_without_the_packages_is_told_in_one_line(arguments, code):
    command = [sys.executable, "-S", str(ROOT / "run_all.py"), *arguments]  # -S: without what pip installed
    done = subprocess.run(command, capture_output=True, text=True, env={})
    assert done.returncode == code
    assert done.stderr.startswith("error: package typer: not installed for ")
    assert done.stderr.count("\n") == 1
