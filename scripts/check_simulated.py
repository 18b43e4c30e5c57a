"""Hold simulated features against the real ones that they were fitted to, and write what they predict.

    python scripts/check_simulated.py --store results/simulated_check

The simulation is cut down to the embedded set's own size, label sets and division. Its scale is set such that clean ASL
of paper 4 scores as on the real features, and noisy labels are as often right and missing as the real ones. Then the
runs of papers 1, 2, 4 and 5 themselves predict the cells that they have not seen, and the differences between cells
that claims are about. What comes out is nlcore/data/simulated_checks.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml

from nlcore.data.embedded_set import embedded
from nlcore.data.simulated import calibrate_scale
from nlcore.data.simulated_check import class_agreement, compare_cells, read_checks
from nlcore.data.simulated_fit import Settings, held_out_score
from nlcore.data.simulated_probe import distance_to_real
from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.files import write_atomically
from nlcore.generators import generator
from nlcore.metrics import per_class_average_precision
from nlcore.papers import galc_slr, missing_label_al, multi_al, teacher_student  # noqa: F401  (registers their runs)
from nlcore.papers.galc_slr.protocol import Protocol as GalcProtocol
from nlcore.papers.galc_slr.runs import GoldClassifier, MatrixEstimates
from nlcore.papers.missing_label_al.measures import Choice
from nlcore.papers.missing_label_al.protocol import UNKNOWN_AS
from nlcore.papers.missing_label_al.protocol import Protocol as MissingProtocol
from nlcore.papers.missing_label_al.runs import WholeSetRun as PartlyLabelledRun
from nlcore.papers.missing_label_al.study import measure_run
from nlcore.papers.multi_al.protocol import MIN_LABELS
from nlcore.papers.multi_al.protocol import Protocol as MultiProtocol
from nlcore.papers.multi_al.runs import ActiveLearningRun, WholeSetRun
from nlcore.papers.profiles import load_profile
from nlcore.papers.teacher_student.protocol import Protocol as TeacherProtocol
from nlcore.papers.teacher_student.runs import Labels, Method
from nlcore.runs import Result, Spec, Store
from nlcore.runs.execute import execute

OUTPUT = Path(__file__).parents[1] / "nlcore" / "data" / "simulated_checks.yaml"
NOISES = (0.2, 0.4, 0.6)
LONG = {"epochs": 80, "learning_rate": 3e-3}  # long enough to memorise
CANDIDATES = {
    "one ridge of 20, Gaussian": Settings(ridge=20.0, strengths=False, visibility=0.0, freedom=np.inf),
    "one ridge of 20, t with 16": Settings(ridge=20.0, strengths=False, visibility=0.0),
    "a ridge by component": Settings(strengths=False, visibility=0.0),
    "and a strength by class": Settings(visibility=0.0),
    "and visibility up to 0.5": Settings(visibility=0.5),
    "and visibility up to 1 (chosen)": Settings(),
    "visibility up to 1.5": Settings(visibility=1.5),
    "t with 8": Settings(freedom=8.0),
    "t with 32": Settings(freedom=32.0),
    "floor 0.1": Settings(floor=0.1),
    "floor 0.3": Settings(floor=0.3),
}
DONORS = {
    "Gaussian residuals": Settings(fresh=1.0),
    "any donor": Settings(kinship=0.0),
    "kinship 8": Settings(kinship=8.0),
    "kinship 16": Settings(kinship=16.0),
    "kinship 24 (chosen)": Settings(),
    "kinship 32": Settings(kinship=32.0),
    "kinship 24, less fresh (0.3)": Settings(fresh=0.3),
    "kinship 24, more fresh (0.8)": Settings(fresh=0.8),
}
DIVISIONS = 3  # of the images, for the choice of donors


class Runs:
    """Runs on one kind of features, computed when they are asked for and kept in a store."""

    def __init__(self, store: Path, seeds: tuple[int, ...], **source: object) -> None:
        self.store, self.seeds, self.source = Store(store), seeds, source

    def get(self, spec: Spec) -> Result:
        """The result of a run, from the store or computed now."""
        execute(spec, self.store.root)
        return self.store.result(spec)

    def galc(self, kind: type[Spec], seed: int, noise: float | None, changes: dict, **fields: object) -> Result:
        """A run of paper 4."""
        protocol = GalcProtocol(**load_profile("nlcore.papers.galc_slr", "embedded")["protocol"] | changes)
        source = Source(**self.source, model="linear")
        return self.get(kind(source=source, protocol=protocol, noise=noise, gold=protocol.gold, seed=seed, **fields))

    def classifier(self, method: str, noise: float | None, **changes: object) -> float:
        """mAP of paper 4's classifier, mean over seeds, percent."""
        found = [self.galc(GoldClassifier, seed, noise, changes, method=method).values for seed in self.seeds]
        return 100 * float(np.mean([values["map"] for values in found]))

    def active(self, kind: type[Spec], **fields: object) -> float:
        """The last mAP of a run of paper 1, mean over seeds, percent."""
        protocol = MultiProtocol(**load_profile("nlcore.papers.multi_al", "embedded")["protocol"])
        source = Source(**self.source, model="linear", min_labels=MIN_LABELS)
        values = self.get(kind(source=source, protocol=protocol, seeds=self.seeds, **fields)).arrays["map"]
        return 100 * float(values.reshape(len(self.seeds), -1)[:, -1].mean())

    def missing_fields(self) -> dict[str, object]:
        """What paper 2's runs share."""
        protocol = MissingProtocol(**load_profile("nlcore.papers.missing_label_al", "embedded")["protocol"])
        return {"source": Source(**self.source, model="linear"), "protocol": protocol, "seeds": self.seeds}

    def completed(self, measure: str, noise: float) -> float:
        """mAP of paper 2's Algorithm 1 at its end, mean over seeds, percent."""
        values = self.get(measure_run(self.missing_fields(), Choice(measure, noise))).arrays["map"]
        return 100 * float(values[:, -1].mean())

    def partly_labelled(self, unknown_as: str, noise: float) -> float:
        """mAP of ASL on paper 2's partly labelled pool, mean over seeds, percent."""
        fields = self.missing_fields() | {"noise": noise, "unknown_as": unknown_as}
        return 100 * float(self.get(PartlyLabelledRun(**fields)).arrays["map"][:, -1].mean())

    def teacher_fields(self) -> dict[str, object]:
        """What paper 5's runs share."""
        protocol = TeacherProtocol(**load_profile("nlcore.papers.teacher_student", "embedded")["protocol"])
        return {"source": Source(**self.source, model="mlp"), "protocol": protocol}

    def label_fields(self) -> dict[str, object]:
        """The same of the labels that they stand on."""
        fields = self.teacher_fields()
        return fields | {"protocol": fields["protocol"].of_stages}

    def taught(self, method: str, fraction: float) -> list[Result]:
        """Paper 5's runs of one method, one for each seed."""
        fields = self.teacher_fields()
        return [self.get(Method(**fields, seed=seed, method=method, fraction=fraction)) for seed in self.seeds]

    def cleaned(self, fraction: float) -> tuple[float, float]:
        """Precision and recall of the teacher's labels, of all images, percent, mean over seeds."""
        clean = self.get(Labels(**self.label_fields())).arrays["clean"] == 1
        given = [result.arrays["teacher_labels"] == 1 for result in self.taught("proposed", fraction)]
        precision = [(labels & clean).sum() / max(labels.sum(), 1) for labels in given]
        recall = [(labels & clean).sum() / clean.sum() for labels in given]
        return 100 * float(np.mean(precision)), 100 * float(np.mean(recall))


def cells(runs: Runs) -> Iterator[tuple[str, float]]:
    """The cells to predict: paper, method, noise; mAP in percent."""
    for noise in NOISES:
        for method in ("asl", "galc_slr", "glc", "true matrix", "asl + clean gold"):
            yield f"paper 4, {method}, {noise:.0%}", runs.classifier(method, noise)
    yield "paper 4, gold only", runs.classifier("gold only", None)
    yield "paper 1, random", runs.active(ActiveLearningRun, noise=None, strategy="random")
    yield "paper 1, entropy", runs.active(ActiveLearningRun, noise=None, strategy="multi_al")
    for noise in NOISES:
        safe = runs.active(ActiveLearningRun, noise=noise, strategy="multi_al_safe")
        yield f"paper 1, entropy with Safe, {noise:.0%}", safe
        yield f"paper 1, asl on the pool, {noise:.0%}", runs.active(WholeSetRun, noise=noise)
    yield "paper 1, CBIM, 40%", runs.active(ActiveLearningRun, noise=0.4, strategy="cbim")
    for noise in NOISES:
        for measure in ("hard_entropy", "random"):
            yield f"paper 2, {measure}, {noise:.0%}", runs.completed(measure, noise)
        for unknown_as in UNKNOWN_AS:
            yield f"paper 2, asl ({unknown_as}), {noise:.0%}", runs.partly_labelled(unknown_as, noise)
    for method, fractions in (("noisy", (0.0,)), ("finetune_last", (0.05, 0.3)), ("finetune_whole", (0.05, 0.3)),
                              ("proposed", (0.05, 0.3)), ("ground_truth", (0.0,))):  # fmt: skip
        for fraction in fractions:
            found = np.mean([result.values["mAP"] for result in runs.taught(method, fraction)])
            yield f"paper 5, {method}" + (f", {fraction:.0%} clean" if fraction else ""), 100 * float(found)


def memorisation(runs: Runs) -> Iterator[tuple[str, float]]:
    """What long training costs ASL, points of mAP."""
    for noise in (0.0, 0.4, 0.6):
        loss = runs.classifier("asl", noise) - runs.classifier("asl", noise, **LONG)
        yield f"80 epochs instead of 30, {noise:.0%}: loss", loss
    curve = [100 * row["map"] for row in runs.galc(GoldClassifier, 0, 0.4, LONG, method="asl").values["history"]]
    yield "best less last epoch of 80, 40 %", max(curve) - curve[-1]


def estimation(runs: Runs) -> Iterator[tuple[str, float]]:
    """100 times the mean absolute error on the diagonal of estimated matrices at 40 %."""
    found = [runs.galc(MatrixEstimates, seed, 0.4, {}).values["distances"] for seed in runs.seeds]
    for name in ("glc", "galc_slr"):
        yield f"{name}, diagonal", 100 * float(np.mean([row[name][0] for row in found]))


def gains(table: dict[str, float], pairs: list[tuple[str, str]]) -> dict[str, float]:
    """One cell less another, points of mAP."""
    return {f"{more} less {less.partition(', ')[2]}": table[more] - table[less] for more, less in pairs}


def at_all(paper: str, more: str, less: str) -> list[tuple[str, str]]:
    """The pair at every noise."""
    return [(f"{paper}, {more}, {noise:.0%}", f"{paper}, {less}, {noise:.0%}") for noise in NOISES]


# Kind of claim -> pairs of cells whose difference it is about, and the tolerance, points of mAP.
CONTRASTS = {
    "gain of relabelling": (at_all("paper 1", "entropy with Safe", "asl on the pool"), 3.0),
    "gain of Safe mode": ([(f"paper 1, entropy with Safe, {n:.0%}", "paper 1, entropy") for n in NOISES], 1.0),
    "selection by uncertainty": ([("paper 1, entropy", "paper 1, random")], 1.0),
    "selection by conflict": ([("paper 1, random", "paper 1, CBIM, 40%")], 1.0),
    "gain of completing labels": (
        [pair for way in UNKNOWN_AS for pair in at_all("paper 2", "hard_entropy", f"asl ({way})")], 3.0
    ),
    "selection by missing labels": (at_all("paper 2", "hard_entropy", "random"), 1.0),
    "gain of a correction": (
        at_all("paper 4", "galc_slr", "asl") + at_all("paper 4", "galc_slr", "asl + clean gold"), 3.0
    ),
    "loss by the estimate": (at_all("paper 4", "true matrix", "galc_slr"), 3.0),
}  # fmt: skip


def cleaning(runs: Runs) -> Iterator[tuple[str, float]]:
    """The teacher's precision and recall, percent."""
    for fraction in (0.05, 0.3):
        for name, value in zip(("precision", "recall"), runs.cleaned(fraction), strict=True):
            yield f"teacher's {name}, {fraction:.0%} clean", value


def class_precision(runs: Runs) -> np.ndarray:
    """(K,) average precision of a linear classifier by least squares on clean labels: for a ranking that suffices."""
    images = Source(**runs.source, model="linear").load()
    mean = images.inputs[images.train].mean(axis=0)
    inputs, targets = images.inputs - mean, images.targets
    trained = inputs[images.train]
    inner = trained.T @ trained + 0.1 * len(trained) * np.eye(trained.shape[1]) * trained.var(axis=0).mean()
    weights = np.linalg.solve(inner, trained.T @ (targets[images.train] - targets[images.train].mean(axis=0)))
    return per_class_average_precision(targets[images.test], inputs[images.test] @ weights)


def choices() -> dict[str, float]:
    """The held-out score of each form of the generator, on training images only."""
    real = embedded()
    given = real.features[real.train], real.targets[real.train]
    scores = {name: held_out_score(*given, form, generator=generator("choose")) for name, form in CANDIDATES.items()}
    return {name: round(score, 2) for name, score in scores.items()}


def donors() -> dict[str, float]:
    """How far from the real ones classifiers on drawn features are, points of mAP, on training images only."""
    real = embedded()
    given = real.features[real.train], real.targets[real.train]

    def distance(form: Settings) -> float:
        far = [distance_to_real(*given, form, generator=generator("donors", n))[0] for n in range(DIVISIONS)]
        return round(float(np.mean(far)), 2)

    return {name: distance(form) for name, form in DONORS.items()}


def forms() -> dict[str, dict[str, float]]:
    """By which the generator's form was chosen."""
    return {"held_out_score": choices(), "distance_to_real": donors()}


def checks(store: Path, seeds: tuple[int, ...]) -> dict[str, object]:
    """What is simulated beside what is real, as one record."""
    real = Runs(store, seeds, data="embedded")
    labels = real.get(Labels(**real.label_fields())).arrays
    clean, noisy = labels["clean"] == 1, labels["noisy"] == 1
    shares = {"noisy_right": float((clean & noisy).sum() / noisy.sum()), "noisy_missing": None}
    shares["noisy_missing"] = float(1 - (clean & noisy).sum() / clean.sum())

    def simulated(scale: float) -> Runs:
        return Runs(store, seeds, data="simulated", label_sets="embedded", scale=round(scale, 4), **shares)

    clean_map = real.classifier("asl", 0.0) / 100
    scale = calibrate_scale(lambda scale: simulated(scale).classifier("asl", 0.0) / 100, clean_map, low=0.5, high=2.0)
    drawn = simulated(scale)
    tables = [dict(cells(runs)) for runs in (real, drawn)]
    kinds = {
        "memorisation under noise": ([dict(memorisation(runs)) for runs in (real, drawn)], 3.0),
        "estimation of a matrix": ([dict(estimation(runs)) for runs in (real, drawn)], 3.0),
        **{kind: ([gains(table, pairs) for table in tables], far) for kind, (pairs, far) in CONTRASTS.items()},
        "label cleaning": ([dict(cleaning(runs)) for runs in (real, drawn)], 5.0),
    }
    compared = {name: compare_cells(*pair, tolerance=tolerance) for name, (pair, tolerance) in kinds.items()}
    return {
        "clean_map": round(100 * clean_map, 2),
        "scale": round(scale, 4),
        "seeds": list(seeds),
        "class_rank_correlation": round(class_agreement(class_precision(real), class_precision(drawn)), 3),
        "cells": compare_cells(*tables),
        "kinds": {name: {"holds": all(row["within"] for row in rows), "rows": rows} for name, rows in compared.items()},
    }


def main(
    store: Annotated[Path, typer.Option(help="folder of the runs' results")],
    output: Annotated[Path, typer.Option(help="file to write")] = OUTPUT,
    seeds: Annotated[int, typer.Option(help="how many, from 0")] = 3,
    keep_forms: Annotated[bool, typer.Option("--keep-forms", help="the tables of forms as the file has them")] = False,
) -> None:
    """Compute the checks and write them."""
    try:
        known = read_checks(output) if keep_forms else forms()
        found = {name: known[name] for name in ("held_out_score", "distance_to_real")}
        found |= checks(store, tuple(range(seeds)))
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    write_atomically(output, yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=120))
    missed = [row["cell"] for row in found["cells"] if not row["within"]]
    typer.echo(f"{len(found['cells']) - len(missed)} of {len(found['cells'])} cells predicted; missed: {missed}")


if __name__ == "__main__":
    typer.run(main)
