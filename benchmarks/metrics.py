"""How long does an evaluation take? mAP of 3,000 images and 80 classes, ours and scikit-learn's, in one run.

    python benchmarks/metrics.py

Processor time of one thread, the best of 30, so that a busy machine gives the same answer as an idle one.
"""

import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import average_precision_score

from nlcore.metrics import average_precision_all, mean_average_precision, mean_class_f1


def best_of(function: Callable[[], object], repeats: int = 30) -> float:
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        function()
        times.append(time.thread_time() - start)
    return min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((3000, 80)) < 0.036).astype(np.int8)  # COCO: 2.9 labels per image
    scores = rng.random((3000, 80), dtype=np.float32)
    stack = np.stack([scores] * 8)
    assert abs(mean_average_precision(targets, scores) - average_precision_score(targets, scores)) < 1e-9
    for name, function in {
        "mAP": lambda: mean_average_precision(targets, scores),
        "mAP, float64": lambda: mean_average_precision(targets, scores.astype(np.float64)),
        "mAP, 8 models in one call": lambda: mean_average_precision(targets, stack),
        "AP_all": lambda: average_precision_all(targets, scores),
        "CF1": lambda: mean_class_f1(targets, scores),
        "sorting alone (the floor)": lambda: np.sort(np.ascontiguousarray(scores.T), axis=1),
        "scikit-learn's mAP": lambda: average_precision_score(targets, scores),
    }.items():
        print(f"{name:<28}{1e3 * best_of(function):7.2f} ms")


if __name__ == "__main__":
    main()
