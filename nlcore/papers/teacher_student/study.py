"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from nlcore.data.extended_coco import label_quality
from nlcore.data.source import Images, Source
from nlcore.data.weights import RANDOM, TIMM, name_weights
from nlcore.errors import InputError, require
from nlcore.papers.own import own_labels
from nlcore.papers.profiles import Resources, make_source
from nlcore.papers.teacher_student.own import OwnCleaner
from nlcore.papers.teacher_student.problem import Problem, make_problem
from nlcore.papers.teacher_student.protocol import HEAD_ON_VERIFIED, METHODS, PAPER, Protocol
from nlcore.papers.teacher_student.runs import Labeller, Labels, Method
from nlcore.papers.teacher_student.words import NAMES
from nlcore.report.draws import MOVED, by_seed
from nlcore.runs import Result, Spec, Store

WITHOUT_FRACTION = ("noisy", "ground_truth")
SCORES = ("mAP", "AP_all")
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "linear": {"activation": "linear"},
    "tanh": {"activation": "tanh"},
    "relu": {"activation": "relu"},
    "none": {"pretraining": "none"},
    "teacher_only": {"pretraining": "teacher"},
    "student_only": {"pretraining": "student"},
    "soft": {"labels": "soft"},
}


# What is trained with other rates and passes: all that ts1, ts3 and ts8 compare.
TRAINED = (*(name for name in METHODS if name != "ground_truth"), "linear", "tanh", "relu")
JOINT = ("proposed", "linear", "tanh", "relu")  # of these, what joint training is a stage of
OF_JOINT = {"teacher_rate", "student_rate", "joint_passes"}  # fields of the protocol that joint training alone reads
SHOWN = ("proposed", "finetune_whole", "finetune_last", "veit_joint", "noisy", "ground_truth")  # in Figure 5


def series_of(spec: Method | OwnCleaner) -> str:
    """The name under which tables and figures show a run."""
    if isinstance(spec, OwnCleaner):
        return spec.own.function
    for name, options in VARIANTS.items():
        if options.items() <= vars(spec).items():
            return name
    return spec.method


def on_open_images(spec: Spec) -> bool:
    """Whether a run is one of Table 3's."""
    return spec.source.data == "openimages"


def _of_labels(spec: Spec) -> bool:
    return isinstance(spec, Labels) and not on_open_images(spec)


def _of_series(*names: str, equal_budget: bool = False) -> Callable[[Spec], bool]:
    """A test of runs: those that are shown under one of the names; with equal budgets only where asked for."""
    return lambda spec: (
        isinstance(spec, Method)
        and not on_open_images(spec)
        and not spec.protocol.reading
        and series_of(spec) in names
        and (spec.budget is None or equal_budget)
    )


def of_surface(spec: Spec) -> bool:
    """Whether a run stands behind the scores by rates and passes: the profile's own, or another protocol's."""
    return isinstance(spec, Method) and (bool(spec.protocol.reading) or _of_series(*TRAINED)(spec))


def of_headline(spec: Spec) -> bool:
    """Whether a run stands behind the claims of the ladder, or holds the labels that they are trained on."""
    return _of_labels(spec) or _of_series(*METHODS, "linear")(spec)


# Artefact -> the runs behind it: kinds of runs, or a test of a run. Those not named rest on all.
READS = {
    **dict.fromkeys(("table_1", "label_quality", "fig_1", "fig_4"), _of_labels),
    **dict.fromkeys(("fig_2", "fig_3", "exact_counts"), ()),
    "table_2": lambda spec: isinstance(spec, OwnCleaner) or _of_series(*METHODS)(spec),
    "table_3": on_open_images,
    "table_4": _of_series("linear", "proposed"),
    "table_5": _of_series("none", "teacher_only", "student_only", "proposed"),
    "table_6": _of_series("soft", "proposed"),
    "activations": _of_series("proposed", "tanh", "relu"),
    "fig_5": lambda spec: isinstance(spec, OwnCleaner) or _of_series(*SHOWN)(spec),
    "fig_6": _of_series("noisy", "finetune_whole", "proposed"),
    **dict.fromkeys(("corrections", "teacher_before_after"), _of_series("proposed")),
    "stages": _of_series("noisy", HEAD_ON_VERIFIED, "proposed", "ground_truth"),
    **dict.fromkeys(("where_it_holds", "by_label_quality", "room_by_label_quality"), of_headline),
    "rates": of_surface,
    "why_equal_budgets": _of_series("proposed", "finetune_whole", "finetune_last", equal_budget=True),
}


def _at_shares(fractions: Sequence[float], *names: str) -> Callable[[Spec], bool]:
    """A test of runs: those of some series at some shares of verified images, or without any."""
    of_series = _of_series(*names)
    return lambda spec: of_series(spec) and (spec.fraction in fractions or series_of(spec) in WITHOUT_FRACTION)


ABLATIONS, TABLE_2 = (0.05, 0.1), (0.05, 0.3, 0.5)  # shares of verified images in Tables 4 to 6, and in Table 2
FINETUNED, VEIT = ("finetune_whole", "finetune_last"), ("veit_pretrained", "veit_joint")
# Claim -> the runs that decide it, all of them; and the claims that the ladder is about.
CLAIM_READS = {
    "ts1": _at_shares((0.05,), *(name for name in METHODS if name != "ground_truth")),
    "ts2": _at_shares(TABLE_2, "finetune_whole", "proposed"),
    "ts3": _at_shares(ABLATIONS, "proposed", "linear"),
    "ts4": _at_shares(ABLATIONS, "proposed", "none", "teacher_only", "student_only"),
    "ts5": _at_shares(ABLATIONS, "proposed", "soft"),
    "ts6": _at_shares(TABLE_2, *FINETUNED, *VEIT),
    "ts7": lambda spec: on_open_images(spec) and isinstance(spec, Method),
    "ts8": _at_shares(ABLATIONS, "proposed", "tanh", "relu"),
}
HEADLINE = ("ts1", "ts2", "ts3")


@dataclass(frozen=True)
class Study:
    """Results of one profile; mAP and AP_all are fractions.

    `scores` is long: series (a method, or a variant of the proposed one), fraction, seed, equal_budget, metric, value,
    and by how much draws of the test images move it, value_moved.
    `surface` is the same of other rates and passes, and has their `reading`. `labels` is the result of the data stage;
    `qualitative` that of the methods at the smallest share, first seed.
    """

    scores: pd.DataFrame
    labels: Result | None = None
    qualitative: Mapping[str, Result] = field(default_factory=dict)
    specs: tuple[Spec, ...] = ()
    left_out: tuple[Spec, ...] = ()
    open_images: Study | None = None  # the runs of Table 3, where there are any
    surface: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def source(self) -> Source:
        """What was trained on."""
        return self.specs[0].source

    @property
    def images(self) -> Images:
        """The images and labels."""
        return self.source.load()

    def problem(self, seed: int) -> Problem:
        """What a seed was trained on."""
        protocol = next(spec.protocol for spec in self.specs if isinstance(spec, Method) and not spec.protocol.reading)
        return make_problem(self.source, protocol, seed, self.labels)

    @property
    def series(self) -> dict[str, str]:
        """Method -> what figures call it: the paper's, then those of one's own."""
        return NAMES | self.own

    @property
    def own(self) -> dict[str, str]:
        """Method of one's own -> what tables and figures call it."""
        return own_labels(self.specs)

    @property
    def labels_right(self) -> float:
        """The share of the noisy labels that are right, over all images."""
        return label_quality(self.labels.arrays["clean"], self.labels.arrays["noisy"])["noisy_labels_right"]

    @property
    def first_seed(self) -> int:
        """The smallest seed that was run."""
        return int(self.scores.seed.min())

    def values(self, series: str, fraction: float, metric: str, *, equal_budget: bool = False) -> pd.Series:
        """One value per seed; methods that use no verified image have the same at every share."""
        return self._of(series, fraction, metric, equal_budget).set_index("seed").value.sort_index()

    def in_draws(self, series: str, fraction: float, metric: str) -> pd.Series:
        """`values`, and what draws of the test images make of them, by seed and draw (`nlcore.report.draws`)."""
        return by_seed(self._of(series, fraction, metric, equal_budget=False), "value")

    def _of(self, series: str, fraction: float, metric: str, equal_budget: bool) -> pd.DataFrame:
        fraction = 0.0 if series in WITHOUT_FRACTION else fraction
        return self.scores[
            (self.scores.series == series)
            & np.isclose(self.scores.fraction, fraction)
            & (self.scores.metric == metric)
            & (self.scores.equal_budget == equal_budget)
        ]

    def fractions(self, series: str = "proposed") -> list[float]:
        """The shares of verified images that a series was run with."""
        rows = self.scores[(self.scores.series == series) & ~self.scores.equal_budget]
        return sorted(rows.fraction.unique())

    def seed_counts(self) -> pd.DataFrame:
        """How many seeds stand behind every series and share, and how many runs are not finished."""
        rows = self.scores[(self.scores.metric == "mAP") & ~self.scores.equal_budget]
        counts = rows.pivot_table(index="series", columns="fraction", values="seed", aggfunc="nunique", sort=False)
        return counts.fillna(0).astype(int).assign(unfinished=len(self.left_out))


def grid(settings: Mapping[str, Any], seeds: Sequence[int] | None, resources: Resources) -> list[Spec]:
    """The runs of a profile's settings; `seeds` replaces its own. `resources` name images, weights and device.

    The runs of Table 3 are among them where a folder of Open Images is given.

    Raises:
        InputError: such a folder for a profile without these runs; see `make_source` for others.
    """
    specs = _runs(settings, seeds, resources)
    if resources.open_images_root is None:
        return specs
    if "open_images" not in settings:
        raise InputError("open_images_root: given, and this profile has no runs on it; expected paper or rehearsal")
    other = settings["open_images"]
    weights = _meant_for(other["source"]["model"], resources.weights, of=settings["source"]["model"])
    return specs + _runs(other, seeds, replace(resources, weights=weights))


def _runs(settings: Mapping[str, Any], seeds: Sequence[int] | None, resources: Resources) -> list[Spec]:
    """The runs on one source."""
    source = make_source(settings["source"], resources)
    shared = {"source": source, "protocol": Protocol(**settings["protocol"])}
    shared["labeller"] = _labeller(settings.get("labeller"), source, resources)
    specs: list[Spec] = [Labels(**shared | {"protocol": shared["protocol"].of_stages})]
    for seed in settings["seeds"] if seeds is None else seeds:
        specs += (Method(**shared, seed=seed, **fields) for fields in _fields(settings, shared["protocol"]))
        if seed in (surface := settings.get("surface", {})).get("seeds", ()):
            specs += _surface(shared | {"seed": seed}, surface)
    return specs


def _surface(shared: Mapping[str, Any], surface: Mapping[str, Any]) -> Iterator[Method]:
    """What ts1, ts3 and ts8 compare, at other rates; where joint training alone is another, what that is a stage of."""
    for reading, changes in surface["protocols"].items():
        other = {**shared, "protocol": shared["protocol"].model_copy(update={**changes, "reading": reading})}
        for series in JOINT if changes.keys() <= OF_JOINT else TRAINED:
            fields = {"method": "proposed", **VARIANTS[series]} if series in VARIANTS else {"method": series}
            for fraction in [0.0] if series in WITHOUT_FRACTION else surface["fractions"]:
                yield Method(**other, **fields, fraction=fraction)


def _labeller(settings: Mapping[str, str] | None, source: Source, resources: Resources) -> Labeller | None:
    """The classifier that makes the noisy labels, from its own weights or those that a person gave."""
    if settings is None:
        return None
    model = settings["model"]
    given = _meant_for(model, resources.weights, of=source.model)
    name, file = name_weights(given, settings["weights"], model=model)
    return Labeller(model=model, weights=name, weights_file=file)


def _meant_for(model: str, weights: str | None, *, of: str) -> str | None:
    """What a person gave for the model `of`, if `model` can take it: a file or a tag is for one, a word for all."""
    return weights if model == of or weights in (RANDOM, TIMM) else None


def _fields(settings: Mapping[str, Any], protocol: Protocol) -> Iterator[dict[str, Any]]:
    alone = set(settings["ablations"]) - set(settings["fractions"])
    require(not alone, "ablations", sorted(alone), "shares that are among `fractions`")
    for method in settings["methods"]:
        for fraction in [0.0] if method in WITHOUT_FRACTION else settings["fractions"]:
            yield {"method": method, "fraction": fraction}
    for fraction in settings["ablations"]:
        yield {"method": "proposed", "fraction": fraction}
        yield {"method": HEAD_ON_VERIFIED, "fraction": fraction}
        for options in VARIANTS.values():
            yield {"method": "proposed", "fraction": fraction, **options}
    for fraction in settings["equal_budget"]:
        for method in ("finetune_whole", "finetune_last", "proposed"):
            yield {"method": method, "fraction": fraction, "budget": 2 * protocol.passes}


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    finished, left_out = store.results(specs, partial=partial)
    elsewhere = _study({spec: result for spec, result in finished.items() if on_open_images(spec)}, ())
    here = {spec: result for spec, result in finished.items() if not on_open_images(spec)}
    study = _study(here, left_out, open_images=elsewhere)
    if study is None and elsewhere is not None:
        return replace(elsewhere, scores=elsewhere.scores[:0], left_out=left_out, open_images=elsewhere)
    if study is None:
        raise InputError(f"{PAPER}: no finished run to show; expected at least one method scored")
    return study


def _study(
    finished: Mapping[Spec, Result], left_out: tuple[Spec, ...], *, open_images: Study | None = None
) -> Study | None:
    """The study of finished runs; None where no method is among them."""
    own = {spec: result for spec, result in finished.items() if not spec.protocol.reading}
    rows = list(_rows(own))
    if not rows:
        return None
    labels = next((result for spec, result in own.items() if isinstance(spec, Labels)), None)
    shown = _qualitative({spec: result for spec, result in own.items() if not on_open_images(spec)})
    others = {spec: result for spec, result in finished.items() if spec.protocol.reading}
    surface = pd.DataFrame(_rows(others), columns=["reading", *rows[0]])
    return Study(pd.DataFrame(rows), labels, shown, tuple(finished), left_out, open_images, surface)


def _rows(finished: Mapping[Spec, Result]) -> Iterator[dict[str, Any]]:
    """A row of `scores` for every value of a method, and of a run with another protocol also what is other about it."""
    for spec, result in finished.items():
        if isinstance(spec, Method | OwnCleaner):
            reading = {"reading": spec.protocol.reading} if spec.protocol.reading else {}
            place = {"series": series_of(spec), "fraction": spec.fraction, "seed": spec.seed,
                     "equal_budget": getattr(spec, "budget", None) is not None}  # fmt: skip
            for metric, value in result.values.items():
                moved = result.arrays.get(metric + MOVED)
                yield reading | place | {"metric": metric, "value": value, "value" + MOVED: moved}


def _qualitative(finished: Mapping[Spec, Result]) -> dict[str, Result]:
    """Predictions to look at: one result per method, of the first seed at the smallest share of verified images."""
    runs = [
        spec for spec in finished if isinstance(spec, Method) and spec.budget is None and series_of(spec) in METHODS
    ]
    first = min((spec.seed for spec in runs), default=0)
    runs = sorted((spec for spec in runs if spec.seed == first), key=lambda spec: -spec.fraction)
    return {spec.method: finished[spec] for spec in runs}
