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
from nlcore.data.extended_coco import label_quality
from nlcore.data.simulated import calibrate_scale
from nlcore.data.simulated_check import class_agreement, compare_cells, read_checks
from nlcore.data.simulated_fit import Settings, held_out_score
from nlcore.data.simulated_probe import distance_to_real
from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.files import write_atomically
from nlcore.generators import generator
from nlcore.metrics import per_class_average_precision
from nlcore.papers.galc_slr.protocol import Protocol as GalcProtocol
from nlcore.papers.galc_slr.runs import GoldClassifier, MatrixEstimates
from nlcore.papers.galc_slr.study import contrast
from nlcore.papers.missing_label_al.measures import Choice
from nlcore.papers.missing_label_al.protocol import UNKNOWN_AS
from nlcore.papers.missing_label_al.protocol import Protocol as MissingProtocol
from nlcore.papers.missing_label_al.runs import WholeSetRun as PartlyLabelledRun
from nlcore.papers.missing_label_al.study import measure_run
from nlcore.papers.multi_al.protocol import MIN_LABELS
from nlcore.papers.multi_al.protocol import Protocol as MultiProtocol
from nlcore.papers.multi_al.runs import ActiveLearningRun, InitialRun, WholeSetRun
from nlcore.papers.profiles import load_profile
from nlcore.papers.teacher_student.protocol import Protocol as TeacherProtocol
from nlcore.papers.teacher_student.runs import Labels, Method
from nlcore.runs import Result, Spec, Store, run_grid

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
HALVES = slice(0, None, 2), slice(1, None, 2)
DIVISIONS = 3  # of the images, for the choice of donors


class Runs:
    """Runs on one kind of features, computed when they are asked for and kept in a store."""

    def __init__(self, store: Path, seeds: tuple[int, ...], **source: object) -> None:
        self.store, self.seeds, self.source = Store(store), seeds, source

    def get(self, spec: Spec) -> Result:
        """The result of a run, from the store or computed now."""
        run_grid([spec], self.store, workers=0)
        return self.store.result(spec)

    def galc(self, kind: type[Spec], noise: float | None, changes: dict, **fields: object) -> list[Result]:
        """Runs of paper 4, one for each seed."""
        protocol = GalcProtocol(**load_profile("nlcore.papers.galc_slr", "embedded")["protocol"] | changes)
        shared = {"source": Source(**self.source, model="linear"), "protocol": protocol, "noise": noise}
        shared |= {"gold": protocol.gold, **fields}
        return [self.get(kind(**shared, seed=seed)) for seed in self.seeds]

    def classifier(self, method: str, noise: float | None, changes: dict | None = None, **fields: object) -> float:
        """mAP of paper 4's classifier, mean over seeds, percent."""
        found = self.galc(GoldClassifier, noise, changes or {}, method=method, **fields)
        return 100 * float(np.mean([result.values["map"] for result in found]))

    def curve(self, method: str, noise: float, changes: dict) -> np.ndarray:
        """(epochs,) mAP of paper 4's classifier after every epoch, mean over seeds, percent."""
        found = self.galc(GoldClassifier, noise, changes, method=method)
        return 100 * np.mean([[row["map"] for row in result.values["history"]] for result in found], axis=0)

    def of_paper_1(self, kind: type[Spec], **fields: object) -> Result:
        """A run of paper 1, all seeds in it."""
        protocol = MultiProtocol(**load_profile("nlcore.papers.multi_al", "embedded")["protocol"])
        source = Source(**self.source, model="linear", min_labels=MIN_LABELS)
        return self.get(kind(source=source, protocol=protocol, seeds=self.seeds, **fields))

    def active(self, kind: type[Spec], **fields: object) -> float:
        """The last mAP of a run of paper 1, mean over seeds, percent."""
        values = self.of_paper_1(kind, **fields).arrays["map"]
        return 100 * float(values.reshape(len(self.seeds), -1)[:, -1].mean())

    def trained_longer(self) -> float:
        """What paper 1's longer training of its first classifier gains, mean over seeds, points of mAP."""
        protocol = MultiProtocol(**load_profile("nlcore.papers.multi_al", "embedded")["protocol"])
        validation = self.of_paper_1(InitialRun).arrays["validation"]
        return 100 * float((validation[:, -1] - validation[:, protocol.epochs - 1]).mean())

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
        for name, strategy in (("entropy", "multi_al_safe"), ("random", "random_safe")):
            safe = runs.active(ActiveLearningRun, noise=noise, strategy=strategy)
            yield f"paper 1, {name} with Safe, {noise:.0%}", safe
        yield f"paper 1, asl on the pool, {noise:.0%}", runs.active(WholeSetRun, noise=noise)
    yield "paper 1, CBIM, 40%", runs.active(ActiveLearningRun, noise=0.4, strategy="cbim")
    yield "paper 2, random", runs.completed("random", NOISES[0])  # it trains on what it has completed alone
    for noise in NOISES:
        yield f"paper 2, hard_entropy, {noise:.0%}", runs.completed("hard_entropy", noise)
        for unknown_as in UNKNOWN_AS:
            yield f"paper 2, asl ({unknown_as}), {noise:.0%}", runs.partly_labelled(unknown_as, noise)
    for method, fractions in (("noisy", (0.0,)), ("finetune_last", (0.05, 0.3)), ("finetune_whole", (0.05, 0.3)),
                              ("proposed", (0.05, 0.3)), ("ground_truth", (0.0,))):  # fmt: skip
        for fraction in fractions:
            found = np.mean([result.values["mAP"] for result in runs.taught(method, fraction)])
            yield f"paper 5, {method}" + (f", {fraction:.0%} clean" if fraction else ""), 100 * float(found)


def memorisation(runs: Runs) -> Iterator[tuple[str, float]]:
    """What long training costs ASL, points of mAP; when it is best; and how far the correction ends ahead of it."""
    for noise in (0.0, 0.4, 0.6):
        loss = runs.classifier("asl", noise) - runs.classifier("asl", noise, LONG)
        yield f"80 epochs instead of 30, {noise:.0%}: loss", loss
    curve = runs.curve("asl", 0.4, LONG)
    yield "best less last epoch of 80, 40 %", float(curve.max() - curve[-1])
    yield "epoch of the peak, of 80, 40 %", float(curve.argmax() + 1)
    yield "galc_slr less asl after 80 epochs, 40 %", float(runs.curve("galc_slr", 0.4, LONG)[-1] - curve[-1])


def estimation(runs: Runs) -> Iterator[tuple[str, float]]:
    """Mean absolute errors of estimated matrices at 40 %: two on the diagonal, and GLC's less GALC-SLR's."""
    found = runs.galc(MatrixEstimates, 0.4, {})
    glc, ours = (np.mean([errors(result, name) for result in found], axis=0) for name in ("glc", "galc_slr"))
    yield "glc, diagonal, hundredths", 100 * float(glc[0])
    yield "galc_slr, diagonal, hundredths", 100 * float(ours[0])
    for name, difference in zip(("diagonal", "off-diagonal", "contrast"), glc - ours, strict=True):
        unit = 10_000 if name == "off-diagonal" else 100
        yield f"glc less galc_slr, {name}, 1/{unit}", unit * float(difference)


def errors(result: Result, name: str) -> tuple[float, float, float]:
    """Mean absolute error of an estimate on the diagonal and off it, and the error of its contrast (gs6)."""
    apart = contrast(result.arrays[name]) - contrast(result.arrays["true"])
    return (*result.values["distances"][name], abs(apart))


def gains(table: dict[str, float], pairs: list[tuple[str, str]]) -> dict[str, float]:
    """One cell less another, points of mAP."""
    return {f"{more} less {less.partition(', ')[2]}": table[more] - table[less] for more, less in pairs}


def at_all(paper: str, more: str, less: str) -> list[tuple[str, str]]:
    """The pair at every noise."""
    return [(f"{paper}, {more}, {noise:.0%}", f"{paper}, {less}, {noise:.0%}") for noise in NOISES]


def by_gold(runs: Runs) -> Iterator[tuple[str, float]]:
    """By how much the true matrix is ahead of its estimate, points of mAP: 10 % of gold images, and half of them."""
    for noise, gold in ((0.2, 0.1), (0.4, 0.1), (0.4, 0.05), (0.6, 0.1)):
        true, estimated = (runs.classifier(method, noise, gold=gold) for method in ("true matrix", "galc_slr"))
        yield f"true matrix less galc_slr, {noise:.0%}, {gold:.0%} gold", true - estimated


SAFE = {"entropy": 1.0, "random": 0.48}  # half of 0.97, which Safe mode gains over random at the paper's size, at 40 %
# Kind of claim -> pairs of cells whose difference it is about, and the tolerance, points of mAP.
CONTRASTS = {
    "gain of relabelling": (at_all("paper 1", "entropy with Safe", "asl on the pool"), 3.0),
    "gain of Safe mode": (
        [(f"paper 1, {way} with Safe, {n:.0%}", f"paper 1, {way}") for way in SAFE for n in NOISES],
        {f"paper 1, {way} with Safe, {n:.0%} less {way}": far for way, far in SAFE.items() for n in NOISES},
    ),
    "selection by uncertainty": ([("paper 1, entropy", "paper 1, random")], 1.0),
    "selection by conflict": ([("paper 1, random", "paper 1, CBIM, 40%")], 1.0),
    "gain of completing labels": (
        [pair for way in UNKNOWN_AS for pair in at_all("paper 2", "hard_entropy", f"asl ({way})")], 3.0
    ),
    "selection by missing labels": ([(f"paper 2, hard_entropy, {n:.0%}", "paper 2, random") for n in NOISES], 1.0),
    "gain of a correction": (
        at_all("paper 4", "galc_slr", "asl") + at_all("paper 4", "galc_slr", "asl + clean gold"), 3.0
    ),
}  # fmt: skip


def cleaning(runs: Runs) -> Iterator[tuple[str, float]]:
    """The teacher's precision and recall, percent."""
    for fraction in (0.05, 0.3):
        for name, value in zip(("precision", "recall"), runs.cleaned(fraction), strict=True):
            yield f"teacher's {name}, {fraction:.0%} clean", value


def longer(runs: Runs) -> Iterator[tuple[str, float]]:
    """What paper 1's longer training gains, points of mAP."""
    yield "first classifier, epochs doubled: gain", runs.trained_longer()


# Kind of claim -> what it is about, and the tolerance of it, or of each. Where simulation decides a claim, a tolerance
# is at most half of what lay, at the paper's size, between the result and the bound that the claim's word hangs on: a
# miss that large could not have turned the word. Fixed on 2026-11-30, before differences of matrices, 5 % of gold,
# longer training and peaks were looked at. Safe mode over random had kept 1.0 by oversight; it was brought under the
# rule when its rows had been seen, and fails by it.
MEASURED = {
    "memorisation under noise": (memorisation, {
        "80 epochs instead of 30, 0%: loss": 1.3, "80 epochs instead of 30, 40%: loss": 1.3,
        "80 epochs instead of 30, 60%: loss": 1.3, "best less last epoch of 80, 40 %": 1.3,
        "epoch of the peak, of 80, 40 %": 10.0, "galc_slr less asl after 80 epochs, 40 %": 2.1,
    }),
    "longer training": (longer, 0.1),
    "estimation of a matrix": (estimation, {
        "glc, diagonal, hundredths": 3.0, "galc_slr, diagonal, hundredths": 3.0,
        "glc less galc_slr, diagonal, 1/100": 1.3, "glc less galc_slr, off-diagonal, 1/10000": 1.7,
        "glc less galc_slr, contrast, 1/100": 1.3,
    }),
    "loss by the estimate": (by_gold, 1.8),
    "label cleaning": (cleaning, 5.0),
}  # fmt: skip


def class_precision(runs: Runs, rows: slice = slice(None)) -> np.ndarray:
    """(K,) average precision of a linear classifier by least squares on clean labels: for a ranking that suffices.

    rows: of the training images, those to train on.
    """
    images = Source(**runs.source, model="linear").load()
    train = images.train[rows]
    mean = images.inputs[train].mean(axis=0)
    inputs, targets = images.inputs - mean, images.targets
    trained = inputs[train]
    inner = trained.T @ trained + 0.1 * len(trained) * np.eye(trained.shape[1]) * trained.var(axis=0).mean()
    weights = np.linalg.solve(inner, trained.T @ (targets[train] - targets[train].mean(axis=0)))
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
    quality = label_quality(clean, noisy)
    shares = {"noisy_right": quality["noisy_labels_right"], "noisy_missing": quality["true_labels_missing"]}

    def simulated(scale: float) -> Runs:
        return Runs(store, seeds, data="simulated", label_sets="embedded", scale=round(scale, 4), **shares)

    clean_map = real.classifier("asl", 0.0) / 100
    scale = calibrate_scale(lambda scale: simulated(scale).classifier("asl", 0.0) / 100, clean_map, low=0.5, high=2.0)
    drawn = simulated(scale)
    tables = [dict(cells(runs)) for runs in (real, drawn)]
    halves = [class_precision(real, half) for half in HALVES]
    kinds = {
        **{kind: ([dict(measure(runs)) for runs in (real, drawn)], far) for kind, (measure, far) in MEASURED.items()},
        **{kind: ([gains(table, pairs) for table in tables], far) for kind, (pairs, far) in CONTRASTS.items()},
    }
    compared = {name: compare_cells(*pair, tolerance=tolerance) for name, (pair, tolerance) in kinds.items()}
    return {
        "clean_map": round(100 * clean_map, 2),
        "scale": round(scale, 4),
        "seeds": list(seeds),
        "class_rank_correlation": round(class_agreement(class_precision(real), class_precision(drawn)), 3),
        "of_two_halves_of_the_real_images": round(class_agreement(*halves), 3),
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
