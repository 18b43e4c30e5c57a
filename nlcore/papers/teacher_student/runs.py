"""The paper's experiments as runs: the labels, the shared stages, and one run per method and share of clean labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from nlcore.data.content import file_digest
from nlcore.data.extended_coco import CLASS_MAP, build_noisy_labels, extend, map_predictions, read_class_map
from nlcore.data.source import Source
from nlcore.devices import resolve_device
from nlcore.errors import InputError
from nlcore.metrics.resampling import MOVED
from nlcore.papers.teacher_student.features import MakeArray, in_memory, keep, look_at_all, mapped
from nlcore.papers.teacher_student.heads import pretraining_loss
from nlcore.papers.teacher_student.methods import TRAINERS
from nlcore.papers.teacher_student.problem import UNUSED, VALIDATION_SHARE, Problem, divide, make_problem
from nlcore.papers.teacher_student.protocol import HEAD_ON_VERIFIED, Activation, MethodName, Protocol
from nlcore.papers.teacher_student.stages import (
    NoisyNetwork,
    fit,
    head_recipe,
    network_loss,
    network_recipe,
    new_heads,
    stored_weights,
    tested,
    weight_arrays,
)
from nlcore.papers.work import training_work
from nlcore.runs import Result, Spec, Work, checkpoint_file, once
from nlcore.training import shuffled, train
from nlcore.training.models import last_layer


class Labeller(BaseModel):
    """The ImageNet classifier whose predictions are the noisy labels of a folder of images.

    weights: their name (`nlcore.data.weights`); the file they are in, if any, is no part of a run's key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    weights: str
    weights_file: str | None = Field(None, exclude=True)


class TeacherStudentRun(Spec):
    """What all runs of this paper share."""

    source: Source
    protocol: Protocol
    labeller: Labeller | None = None  # of images; other sets come with predictions or noisy labels

    @property
    def name(self) -> str:
        """One line for people: the class and the fields that differ within a profile."""
        shown = self.model_dump(exclude={"source", "protocol", "labeller", "own"})
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def data_fingerprint(self) -> str:
        """The content of the data and, where it is used, of the map from ImageNet's classes to COCO's."""
        if self.source.data == "openimages":
            return once(Source.fingerprint, self.source)
        return f"{once(Source.fingerprint, self.source)} {once(file_digest, CLASS_MAP)}"

    def shared(self) -> dict[str, BaseModel | None]:
        """The fields that every run of a profile has in common."""
        return {"source": self.source, "protocol": self.protocol, "labeller": self.labeller}

    def of_stages(self) -> dict[str, BaseModel | None]:
        """The same of the stages that a run builds on."""
        return self.shared() | {"protocol": self.protocol.of_stages}

    def passes_work(self, passes: float, *, head: bool = False) -> Work:
        """The work of so many passes over the training part, of the network or of a head on its features, each with a
        look at the validation part."""
        train, _ = once(Source.sizes, self.source)
        source = self.source.model_copy(update={"model": "mlp"}) if head else self.source
        return training_work(source, passes * train, passes * VALIDATION_SHARE * train)


class Labels(TeacherStudentRun):
    """Clean and noisy labels of a data set, made once for all seeds.

    Arrays: `rows` (n,) places of the images in the data set; `clean`, `noisy` (n, K) of 0 and 1; `parts` (n,) of TRAIN,
    VALIDATION, TEST, VERIFIED. On Open Images labels stay sparse, in `clean_...` and `noisy_...` (`SparseLabels`), and
    a clean cell that nobody looked at is -1. Value `class_names`.
    """

    def work(self) -> Work:
        if self.labeller is None:
            return Work("labels of the embedded set", 0.5)
        images = sum(once(Source.sizes, self.source))
        usual = 299 if self.labeller.model.startswith("inception") else 224
        return Work(f"predict {self.labeller.model} {usual}", images)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Noisy labels beside the clean ones (Section 4.1).

        1. The eight likeliest ImageNet classes of each image: those of the embedded set, or predicted by the labeller.
        2. They are mapped to COCO's classes; what has no place in the map is ignored.
        3. Images without any noisy label are left out, as are those in no part of the source.

        Open Images comes with both: people's labels of its validation images, a machine's of all.

        Raises:
            InputError: a frozen backbone that predicts no ImageNet classes.
        """
        images, class_map = self.source.load(), read_class_map()
        parts = divide(images)
        used = np.flatnonzero(parts != UNUSED)
        if images.machine is not None:
            labels = images.targets.rows(used).arrays("clean") | images.machine.rows(used).arrays("noisy")
            return Result({"class_names": list(images.class_names)}, {"rows": used, "parts": parts[used]} | labels)
        if images.noisy is not None:
            noisy = images.noisy()[used]
        elif self.labeller is None:
            if images.top_classes is None:
                raise InputError(
                    f"backbone {self.source.backbone}: no ImageNet classifier; expected one, since what it predicts "
                    "are the noisy labels"
                )
            noisy = map_predictions(images.top_classes[used], class_map)
        else:
            weights, device = self.labeller.weights_file or self.labeller.weights, resolve_device(self.source.device)
            paths = [images.pictures[row] for row in used.tolist()]
            noisy = build_noisy_labels(paths, self.labeller.model, weights=weights, class_map=class_map, device=device)
        data = extend(images.targets[used], images.class_names, noisy, class_map)
        rows = used[data.rows]
        arrays = {"rows": rows, "clean": data.clean, "noisy": data.noisy, "parts": parts[rows]}
        return Result({"class_names": list(data.class_names)}, arrays)


class Stage(TeacherStudentRun):
    """A run of one seed."""

    seed: int

    def problem(self, labels: Result) -> Problem:
        """What this seed trains on, from the result of `Labels`."""
        return make_problem(self.source, self.protocol, self.seed, labels)

    def network(self, labels: Literal["noisy", "clean"] = "noisy") -> Network:
        """The seed's network of stage 0, or the upper bound."""
        return Network(**self.of_stages(), seed=self.seed, labels=labels)


class Network(Stage):
    """The network trained on the whole training part, with noisy labels (stage 0) or clean ones (the upper bound).

    Values: see `tested`. Arrays: `probabilities` (test images, K), `weights/...`; of the noisy network also what those
    methods need that leave it as it is: `features` (n, D), its last layer's inputs, and `last/...`, that layer. The
    features of Open Images lie beside the record (`features.py`).
    """

    labels: Literal["noisy", "clean"]

    def requires(self) -> Sequence[Spec]:
        return [Labels(**self.of_stages())]

    def work(self) -> Work:
        return self.passes_work(self.protocol.passes)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Stage 0 (Section 3.2), or the same on clean labels.

        1. The network starts from ImageNet's weights (on frozen features: from random ones).
        2. Batches of the training part, images flipped at random; binary cross-entropy against the labels.
        3. After each pass AP_all on the validation part; training stops when it no longer grows, the best pass counts.
        4. Test images are scored; the noisy network's features of all images are kept for the later stages.
        """
        problem = self.problem(inputs[0])
        model, draws = problem.network(), problem.generator("order", self.labels)
        targets = problem.clean if self.labels == "clean" else problem.noisy
        flips, recipe = problem.generator("flips", self.labels), network_recipe(problem)
        plain = problem.fetch(targets, model)
        run = fit(
            problem,
            model,
            recipe,
            sampler=shuffled(problem.train, self.protocol.batch_size, generator=draws),
            fetch=problem.fetch(targets, model, flips=flips),
            loss=network_loss,
            plain=plain,
            generators=(draws, flips),
        )
        values, arrays = tested(problem, model, plain, run, bfloat16=recipe.bfloat16)
        if self.labels == "noisy":
            arrays |= weight_arrays(last_layer(model), name="last")
            look = partial(self._look, problem, model)
            if isinstance(problem.clean, Tensor):
                arrays["features"] = look(in_memory)
            else:
                keep(self.key, look)
        return Result(values, arrays | weight_arrays(model))

    def _look(self, problem: Problem, model: nn.Module, array: MakeArray) -> np.ndarray:
        """The features of all images, in what `array` makes for them."""
        plain, bfloat16 = problem.fetch(problem.noisy, model), network_recipe(problem).bfloat16
        return look_at_all(model, plain, len(problem.noisy), array, bfloat16=bfloat16)

    def trained(self, problem: Problem, record: Result) -> NoisyNetwork:
        """The network as other stages take it, from its record."""
        again = lambda array: self._look(problem, problem.network(stored_weights(record.arrays)), array)
        beside = lambda: mapped(self.key, again)
        kept = record.arrays.get("features")
        return NoisyNetwork(record.arrays, beside if kept is None else lambda: kept)


class PretrainedHeads(Stage):
    """Stage 1: teacher and student trained on the noisy labels of all training images; arrays `weights/...`.

    Each head has its own initial weights and its own sum in the loss, so neither depends on the other.
    """

    activation: Activation
    passes: int

    def requires(self) -> Sequence[Spec]:
        return [Labels(**self.of_stages()), self.network()]

    def work(self) -> Work:
        return self.passes_work(1.5 * self.passes, head=True)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Eq. 2 (Section 3.2, first stage).

        1. Teacher g and student h start from random weights, on the features of the noisy network, which stays.
        2. Both are trained side by side on the noisy labels, binary cross-entropy, for a fixed number of passes.
        """
        problem = self.problem(inputs[0])
        features = self.network().trained(problem, inputs[1]).features
        model, draws = new_heads(problem, features, self.activation), problem.generator("order", "pretraining")
        train(
            model,
            head_recipe(problem, passes=self.passes, stop=False),
            sampler=shuffled(problem.train, self.protocol.batch_size, generator=draws),
            fetch=problem.feature_batches(features, problem.noisy),
            loss=pretraining_loss,
            generators=(draws,),
            checkpoint=checkpoint_file("heads"),
        )
        return Result({}, weight_arrays(model))


class Method(Stage):
    """One method at one share of verified images, scored on the test part.

    Values: see `tested`. Array `probabilities` (test images, K); of the proposed network also `teacher_labels` (n, K),
    and the values mAP and AP_all of the teacher (`teacher_...`) and of both heads before stage 2 (`..._before`).
    `activation`, `pretraining` and `labels` are the choices of Tables 4 to 6; `budget` replaces the passes of training
    (of all stages on top of the noisy network together) and switches early stopping's patience off.
    """

    method: MethodName
    fraction: float = 0.0
    activation: Activation = "sigmoid"
    pretraining: Literal["none", "teacher", "student", "both"] = "both"
    labels: Literal["hard", "soft"] = "hard"
    budget: int | None = None

    def requires(self) -> Sequence[Spec]:
        trained_on = "clean" if self.method == "ground_truth" else "noisy"
        stages: list[Spec] = [Labels(**self.of_stages()), self.network(trained_on)]
        if self.method in ("proposed", HEAD_ON_VERIFIED) and self.pretraining != "none":
            passes = self.protocol.passes if self.budget is None else self.budget // 2
            heads = {"activation": self.activation, "passes": passes}
            stages.append(PretrainedHeads(**self.of_stages(), seed=self.seed, **heads))
        return stages

    def work(self) -> Work:
        if self.method in ("noisy", "ground_truth"):
            return Work("scores of a network", 0.1)
        whole, proposed = self.method == "finetune_whole", self.method == "proposed"
        passes = self.budget or (self.protocol.passes if proposed else self.protocol.finetune_passes)
        stopped = min(passes, self.protocol.passes)  # early stopping ends most fine-tuning long before its last pass
        return self.passes_work((1.5 if proposed else 1) * stopped, head=not whole)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """The method's own stage, on top of the noisy network; see `nlcore.papers.teacher_student.methods`.

        1. `noisy` and `ground_truth` are the networks themselves. Any other trains on V, or on V and T, 1 : 9.
        2. After each pass AP_all on the validation part; the best pass counts.
        3. Test images are scored: mAP (Eq. 5) and AP_all.
        """
        if self.method in ("noisy", "ground_truth"):
            kept = ("probabilities", "mAP" + MOVED, "AP_all" + MOVED)
            return Result(inputs[1].values, {name: inputs[1].arrays[name] for name in kept})
        problem = self.problem(inputs[0])
        noisy = self.network().trained(problem, inputs[1])
        heads = stored_weights(inputs[2].arrays) if len(inputs) > 2 else None
        return Result(*TRAINERS[self.method](self, problem, noisy, heads))
