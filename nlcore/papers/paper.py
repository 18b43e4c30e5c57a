"""What a paper is to the suite: one object per paper, and one way to open it, for the batch and for its notebook.

A paper is a package of one shape. Its `__init__` holds the object; its modules and files have fixed names:

    protocol.py   settings: what the paper fixes, and what it leaves open
    runs.py       the runs, each a `Spec`
    study.py      `grid(settings, seeds, resources)`: which runs a profile consists of; `load_study(specs, store)`;
                  `READS`: which runs stand behind each table and figure; `CLAIM_READS` (optional): which decide each
                  claim; `HEADLINE` (optional): the claims that matter most
    tables.py, figures.py   one function per artefact: (study, writer) -> what a notebook shows;
                  `tables.published_cells(study)`: every published number with our runs' values
    words.py      what tables and figures call things; `deviations`: how data and protocol differ from the paper's
    claims.py     `decide_claims(study, only=None)`, `readings_atlas(study)`; `headline_effects(study)` of one with a
                  ladder
    contract/     claims.yaml, published.yaml, artefacts.yaml
    own.py        where it takes methods of one's own: `ROLE`, what it takes a function for; `BESIDE`, name -> label of
                  the methods that one is compared with; `beside(spec, method)`: the run of a method that goes with one
                  of the paper's, or None; `compared(study)`: all their values (docs/add_a_method.md)
    profiles.yaml, readings.yaml, tolerances.yaml (optional)

Modules are loaded when they are needed: naming a paper costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nlcore.errors import InputError
from nlcore.papers.ladder import Grid, make_grid
from nlcore.papers.profiles import Resources, has_official_parts, load_profile, profiles_of, stated_evidence, undecided
from nlcore.places import figures_folder, store_folder
from nlcore.yaml_text import read_yaml

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from nlcore.papers.budget import Stake
    from nlcore.report.claims import ClaimVerdict
    from nlcore.report.contract import Contract
    from nlcore.report.evidence import StatedEvidence
    from nlcore.report.ladder import By, Place
    from nlcore.report.writer import ArtefactWriter
    from nlcore.runs import Spec, Store

WHERE_IT_HOLDS = "where_it_holds"
LADDER_CAPTION = (
    "Where the headline claims hold: the effect that a claim says is above zero, with its 95 % interval over seeds and "
    "test images, by number of training images, for simulated features of several qualities (the mAP that plain "
    "training reaches without noise on all 65,268 images of paper 4). Filled: the whole interval lies on the claimed "
    "side or, where a claim says that two differ by little, in the green band. Star: this profile's own data. Dotted: "
    "as published. {trained} Fewer images are trained on for as many epochs, and so in fewer steps. Grey panels: "
    "claims of a kind for which simulated features do not predict the real ones well enough."
)
LADDER_ALT = "A grid of panels, a claim a row and a noise level a column: effect against number of training images."
BY_LABEL_QUALITY = "by_label_quality"
SWEPT = (BY_LABEL_QUALITY, "room_by_label_quality")  # what reads the sweep
SWEEP_CAPTION = (
    "The headline claims by the quality of the noisy labels: the effect that a claim says is above zero, with its 95 % "
    "interval over seeds and test images, by the share of noisy labels that are right. On the simulated features three "
    "in ten true labels are missing everywhere; on this profile's own data (the star) as many as the table of "
    "label quality says. Marks and lines as in the map of where the claims hold."
)
SWEEP_ALT = "A grid of panels, a claim a row and a share of clean images a column: effect by share of right labels."
Reads = type | tuple[type, ...] | Callable[[Any], bool]  # kinds of runs, or a test of a run


@dataclass(frozen=True)
class Need:
    """Artefacts that need data which are not in the repository."""

    artefacts: tuple[str, ...]
    data: str  # what, and how much
    instead: str  # what stands there without them
    command: str  # what makes them


@dataclass(frozen=True)
class Paper:
    """One paper. `package` is where its modules and files lie; `notebook` is the annotated notebook.

    For the report's first page: `question`, what it asks, in a sentence; `key`, the table or figure whose headline (the
    paper's number beside ours) answers it first, and the claim that this number is of.
    """

    id: str
    title: str
    package: str
    notebook: Path
    needs: tuple[Need, ...] = ()
    question: str = ""
    key: tuple[str, str] = ("", "")

    def module(self, name: str) -> ModuleType:
        """One of the package's modules, such as `study`."""
        return import_module(f"{self.package}.{name}")

    @cached_property
    def contract(self) -> Contract:
        """What is claimed, what was published, and what every artefact must hold."""
        from nlcore.report.contract import Contract

        return Contract(self.package)

    def profiles(self) -> dict[str, dict[str, Any]]:
        """All profiles by name."""
        return profiles_of(self.package)

    def readings(self) -> pd.DataFrame:
        """Where the paper leaves a choice: question, what it says, our default, the other options."""
        from nlcore.report.readings import readings

        return readings(self.package)

    def tolerances(self) -> Mapping[str, float]:
        """Column -> by how much a cell may differ where its runs were computed anew; `.inf`: not compared."""
        path = files(self.package) / "tolerances.yaml"
        return (read_yaml(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}

    def grid(self, profile: str, *, seeds: Sequence[int] | None = None, resources: Resources | None = None) -> Grid:
        """The runs of a profile, on its own data and on the rungs of its ladder; `seeds` replaces its own.

        Methods of one's own run on its own data alone.

        Raises:
            InputError: no such profile, no seed, data that were not given or are not what they should be, or a method
                of one's own that cannot be used.
        """
        if seeds is not None and not seeds:
            raise InputError("seeds: none named; expected at least one")
        settings, study, resources = load_profile(self.package, profile), self.module("study"), resources or Resources()
        found = make_grid(settings, seeds, resources, grid=study.grid, headline=self.reads(WHERE_IT_HOLDS))
        return replace(found, main=(*found.main, *self._own_runs(found.main, resources.methods)))

    @property
    def own(self) -> ModuleType | None:
        """The package's module `own`; None where the paper takes no method of one's own."""
        return self.module("own") if find_spec(f"{self.package}.own") else None

    def _own_runs(self, specs: Sequence[Spec], methods: Sequence[str]) -> Iterator[Spec]:
        """The runs of methods of one's own that go with these of the paper's."""
        if not methods:
            return
        own = self.own
        if own is None:
            raise InputError(f"method {methods[0]!r}: {self.id} takes none; expected a paper with a module own.py")
        from nlcore.papers.own import find_methods  # late: it is seldom asked for

        for method in find_methods(methods, own.ROLE, own.BESIDE):
            found = [run for spec in specs if (run := own.beside(spec, method))]
            if not found:
                raise InputError(f"method {method.function}: no run in this profile to go with; expected another one")
            yield from found

    def specs(
        self, profile: str, *, seeds: Sequence[int] | None = None, resources: Resources | None = None
    ) -> list[Spec]:
        """All runs of `grid`, each once."""
        return self.grid(profile, seeds=seeds, resources=resources).specs

    def folder(self, asked: Asked) -> Path:
        """Where the artefacts of what was asked go: `<output>/<paper>/<profile>`, or a folder beside it.

        A profile's own folder holds the profile as it is. With other seeds, other weights, methods of one's own, runs
        left out, or a variant, the name says so ("embedded.seeds-0"), and nothing that was made from more is
        overwritten.
        """
        settings, parts = load_profile(self.package, asked.profile), []
        if asked.seeds is not None and list(asked.seeds) != settings.get("seeds"):
            parts.append("seeds-" + "-".join(map(str, asked.seeds)))
        if asked.resources.weights is not None:
            parts.append(f"weights-{Path(asked.resources.weights).stem.replace(':', '-')}")
        if asked.resources.backbone is not None:
            parts.append(f"backbone-{asked.resources.backbone}")
        if asked.resources.methods:
            parts.append("method-" + "-".join(name.rpartition(":")[2] for name in asked.resources.methods))
        parts += [*["partial"] * asked.partial, *filter(None, [asked.variant])]
        return Path(asked.output) / self.id / ".".join([asked.profile, *parts])

    def evidence(self, asked: Asked) -> StatedEvidence:
        """What the verdicts of what was asked stand on: what the profile states.

        With weights, methods or other changes of one's own it is not the published protocol, whatever the profile. A
        frozen network's word counts for the data set that it has seen: in a folder that is divided here it is a
        stand-in's.

        Raises:
            InputError: no such profile, or one that does not say.
        """
        stated = stated_evidence(self.package, asked.profile, load_profile(self.package, asked.profile))
        if stated.frozen and not has_official_parts(asked.resources):
            return stated.on_part_of_the_data()
        changed = asked.resources.weights is not None or asked.resources.methods or asked.variant
        return stated.beside_the_profile() if changed else stated

    def open(self, profile: str = "embedded", *, workers: int | None = None, **parameters: Any) -> Session:
        """Compute what is missing, and load everything: what a notebook starts with.

        Args:
            profile: how much to run.
            workers: processes; one per core by default.
            parameters: `seeds`, `partial`, `output`, `store`, `variant` and the fields of `Resources`.

        Raises:
            InputError: unusable input. RunFailedError: runs failed; what finished is in the store.
        """
        return open_session(self, Asked.of(profile, parameters), workers=workers)

    def training_images(self, spec: Spec) -> int:
        """How many images a run may train on: its source's, where the paper's `study` has no word of its own."""
        own = getattr(self.module("study"), "training_images", None)
        return own(spec) if own else spec.source.sizes()[0]

    def reads(self, artefact: str) -> Callable[[Spec], bool]:
        """Which runs stand behind an artefact; all of them where the paper does not say."""
        return _test_of(self.module("study").READS.get(artefact, object))

    def stakes(self, specs: Sequence[Spec]) -> list[Stake]:
        """The claims with the runs among `specs` that decide them: all of them where the paper does not say."""
        from nlcore.papers.budget import make_stakes

        return make_stakes(self.id, self.claim_reads(), getattr(self.module("study"), "HEADLINE", ()), specs)

    def claim_reads(self) -> dict[str, Callable[[Spec], bool]]:
        """Claim -> whether a run is one of those that decide it; all of them where the paper does not say."""
        stated = getattr(self.module("study"), "CLAIM_READS", dict.fromkeys(self.contract.claims(), object))
        return {claim: _test_of(found) for claim, found in stated.items()}

    def behind(self, artefact: str, grid: Grid) -> list[Spec]:
        """The runs of a grid that stand behind an artefact; those of its rungs stand behind one alone."""
        rungs = {WHERE_IT_HOLDS: grid.rungs, **dict.fromkeys(SWEPT, grid.sweep)}.get(artefact, ())
        return list(filter(self.reads(artefact), Grid(grid.main, rungs).specs))


@dataclass(frozen=True)
class Asked:
    """What a person asked of a paper, on the command line or in a notebook's parameters."""

    profile: str = "embedded"
    seeds: tuple[int, ...] | None = None
    resources: Resources = field(default_factory=Resources)
    partial: bool = False
    output: Path = field(default_factory=figures_folder)
    store: Path = field(default_factory=store_folder)
    variant: str = ""  # names a folder of its own beside the profile's, for runs with other parameters

    @classmethod
    def of(cls, profile: str, parameters: Mapping[str, Any]) -> Asked:
        """From a notebook's parameters; None and absent mean the default."""
        seeds = parameters.get("seeds")
        return cls(
            profile=profile,
            seeds=None if seeds is None else tuple(seeds),
            resources=Resources.of(parameters),
            partial=parameters.get("partial", False),
            output=Path(parameters.get("output") or figures_folder()),
            store=Path(parameters.get("store") or store_folder()),
            variant=parameters.get("variant") or "",
        )


@dataclass(frozen=True)
class Session:
    """A paper at one profile, computed and loaded: what its notebook works with."""

    paper: Paper
    store: Store
    grid: Grid  # finished or not
    study: Any
    partial: bool
    out: ArtefactWriter
    evidence: StatedEvidence

    @cached_property
    def decided(self) -> list[ClaimVerdict]:
        """Every claim with its verdict, in the words that the profile's evidence allows."""
        found = self._partly_decided() if self.partial else self.paper.module("claims").decide_claims(self.study)
        return [replace(decided, evidence=self.evidence.of(decided.claim.id)) for decided in found]

    def _partly_decided(self) -> list[ClaimVerdict]:
        """As `decided`, each claim over those seeds alone of which all its runs are there."""
        lacking = set(self.store.results(self.grid.main, partial=True)[1])
        return [self._decided_on(stake, lacking) for stake in self.paper.stakes(self.grid.main)]

    def _decided_on(self, stake: Stake, lacking: Collection[Spec]) -> ClaimVerdict:
        from nlcore.papers.budget import PAIRS
        from nlcore.report.claims import ClaimVerdict
        from nlcore.report.verdicts import not_run

        units = stake.whole(lacking)
        if sum(len(unit.seeds) for unit in units) >= PAIRS:
            runs = frozenset().union(*(unit.runs for unit in units))
            study = self._load([spec for spec in self.grid.main if spec in runs])
            return self.paper.module("claims").decide_claims(study, only=stake.claim)[0]
        claim = self.paper.contract.claims()[stake.claim.partition(" ")[0]]
        there = f"{len(stake.runs - set(lacking))} of {len(stake.runs)} runs are there"
        part = not_run("all parts", f"{there}, of {PAIRS} seeds none may be absent")
        return ClaimVerdict(replace(claim, id=stake.claim), (part,))

    def verdicts(self) -> pd.DataFrame:
        """The claims and their verdicts, and every part of them as the artefact `verdicts`."""
        from nlcore.report.claims import claims_table, verdict_table

        self.out.table("verdicts", verdict_table(self.decided), caption="Every part of every claim, decided.")
        return claims_table(self.decided)

    def published_cells(self) -> pd.DataFrame:
        """How many published numbers look like one of ours; every cell as the artefact `published_cells`."""
        from nlcore.report.cells import cells_summary, cells_table

        table = cells_table(self.paper.module("tables").published_cells(self.study))
        inside = (table.inside == "yes").sum()
        caption = f"{inside} of {len(table)} published numbers lie in the 95 % prediction interval of our runs."
        self.out.table("published_cells", table, caption=caption)
        return cells_summary(table)

    def own_method(self) -> pd.DataFrame | None:
        """Methods of one's own minus each of the paper's: the artefact `own_method`; None where none was given."""
        from nlcore.papers.own import own_labels
        from nlcore.report.own import own_method_table

        own = own_labels(self.grid.main)
        if not own:
            return None
        module = self.paper.own
        table = own_method_table(module.compared(self.study), own, module.BESIDE, self.evidence.default)
        caption = "A method of one's own minus each of the paper's, paired over the seeds; is it ahead?"
        return self.out.table("own_method", table, caption=caption)

    def atlas(self) -> pd.DataFrame:
        """Which of the other readings that were run changes which verdict: the artefact `reading_atlas`."""
        from nlcore.report.atlas import on_evidence

        found = on_evidence(self.paper.module("claims").readings_atlas(self.study), self.evidence.of)
        return self.out.table("reading_atlas", found, caption="Verdicts by reading.")

    def by_profile(self) -> pd.DataFrame:
        """The verdicts of this profile beside those of the others whose artefacts lie in the paper's folder."""
        from nlcore.report.verdict_file import verdicts_by_profile

        return verdicts_by_profile(self.decided, self.out.profile, self.out.folder.parent)

    def where_it_holds(self) -> Figure:
        """The headline claims by number of images, quality of the features and noise: the artefact `where_it_holds`."""
        own = self._place(self.grid.main), self.study
        found = [own, *((self._place(rung.specs, rung.quality), self._load(rung.specs)) for rung in self.grid.rungs)]
        caption = LADDER_CAPTION.format(trained=how_trained(self.grid))
        return self._map(WHERE_IT_HOLDS, found, "images", caption=caption, alt=LADDER_ALT)

    def by_label_quality(self) -> Figure:
        """The headline claims by the share of noisy labels that are right: the artefact `by_label_quality`."""
        return self._map(BY_LABEL_QUALITY, self.at_label_qualities(), "right", caption=SWEEP_CAPTION, alt=SWEEP_ALT)

    def at_label_qualities(self) -> list[tuple[Place, Any]]:
        """The study of the profile's own labels, and of those more or less often right, each with its place."""
        own = self._place(self.grid.main, right=self.study.labels_right), self.study
        swept = self.grid.sweep
        return [own, *((self._place(rung.specs, rung.quality, rung.right), self._load(rung.specs)) for rung in swept)]

    def _place(self, specs: Sequence[Spec], quality: int | None = None, right: float | None = None) -> Place:
        from nlcore.report.ladder import Place

        return Place(self.paper.training_images(specs[0]), quality, None if right is None else 100 * right)

    def _map(self, artefact: str, found: Sequence[tuple[Place, Any]], by: By, **words: str) -> Figure:
        """The effects of studies, each at its place, as an artefact."""
        from nlcore.report.figures import style
        from nlcore.report.ladder import ladder_figure, ladder_table, with_a_line

        effects = self.paper.module("claims").headline_effects
        measured = [(place, effects(study)) for place, study in found]
        known = undecided(self.paper.contract.claims())
        embedded = self._of_the_embedded_profile() if by == "images" else None
        table = ladder_table(measured, undecided=known, by=by, embedded=embedded)
        table = with_a_line(table) if by == "right" else table
        with style():
            figure = ladder_figure(table, by=by)
        return self.out.figure(artefact, figure, table, **words)

    def _of_the_embedded_profile(self) -> pd.DataFrame | None:
        """Its map, where it lies beside that of another profile."""
        import pandas as pd

        path = self.out.folder.parent / "embedded" / f"{WHERE_IT_HOLDS}.csv"
        return pd.read_csv(path) if self.out.profile != "embedded" and path.is_file() else None

    def _load(self, specs: Sequence[Spec]) -> Any:
        return load_rounded(self.paper, specs, self.store, partial=self.partial)

    def finish(self) -> Path:
        """Write the verdicts and what the artefacts were made from; returns the manifest."""
        from nlcore.papers.own import own_methods

        behind = {artefact: set(self.paper.behind(artefact, self.grid)) for artefact in self.out.entries}
        reads = lambda artefact: behind[artefact].__contains__
        methods = [
            {"function": one.function, "file": one.file, "sha256": one.fingerprint()}
            for one in own_methods(self.grid.main)
        ]
        return self.out.finish(self.grid.specs, self.store, verdicts=self.decided, reads=reads, methods=methods)


HEADS = {"linear": "linear heads", "mlp": "heads with a hidden layer"}


def how_trained(grid: Grid) -> str:
    """A sentence on the networks and learning rates of a grid's rungs and of its own data."""

    def said(spec: Spec) -> str:
        network, protocol = HEADS.get(spec.source.model, spec.source.model), getattr(spec, "protocol", None)
        rates = (getattr(protocol, name, None) for name in ("learning_rate", "rate"))
        rate = next((rate for rate in rates if rate is not None), None)  # a paper of one's own may name none
        return network if rate is None else f"{network} at a learning rate of {rate:g}"

    rungs = dict.fromkeys(said(rung.specs[0]) for rung in grid.rungs)
    return f"Lines: {', '.join(rungs)}; star: {said(grid.main[0])}." if rungs else ""


def _test_of(reads: Reads) -> Callable[[Any], bool]:
    return reads if not isinstance(reads, type | tuple) else lambda spec: isinstance(spec, reads)


def open_session(paper: Paper, asked: Asked, *, workers: int | None = None) -> Session:
    """See `Paper.open`."""
    from nlcore.papers.prepare import prepare
    from nlcore.report.pictures import show_as_written
    from nlcore.report.writer import ArtefactWriter
    from nlcore.runs import Store, make_engine, plan_grid, run_grids

    show_as_written()
    store, grid = Store(asked.store), paper.grid(asked.profile, seeds=asked.seeds, resources=asked.resources)
    if not asked.partial:
        plan = plan_grid(grid.specs, store)
        prepare(plan.missing)
        run_grids({paper.id: plan}, store, make_engine(workers=workers))
    study = load_rounded(paper, grid.main, store, partial=asked.partial)
    out = ArtefactWriter(paper.id, asked.profile, paper.folder(asked), paper.contract.artefacts())
    return Session(paper, store, grid, study, asked.partial, out, paper.evidence(asked))


def load_rounded(paper: Paper, specs: Sequence[Spec], store: Store, *, partial: bool) -> Any:
    """A paper's study of these runs, its numbers with the digits they carry.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    from nlcore.report.digits import rounded

    return rounded(paper.module("study").load_study(specs, store, partial=partial))
