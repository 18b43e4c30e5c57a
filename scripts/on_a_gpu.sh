#!/usr/bin/env bash
# What a machine with a GPU is wanted for, in one go: GPU tests, throughput, `finetune` and `simulated` of the papers.
#
#   scripts/on_a_gpu.sh OUT COCO      COCO: a folder in COCO's format, such as the 3,084 images of coco_real
#   TOY=1 scripts/on_a_gpu.sh OUT COCO   the same path at toy size, on any machine, in a few minutes
#
# Sized for 25 minutes of one recent GPU. Every part has a log and a mark in OUT: a second call goes on with the first part
# that is not marked; inside a part, finished runs and checkpoints are kept. PARTS names some: PARTS="throughput tests".
# MINUTES is the longest that any part may take (10): what it had not finished is left for the next call.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}
fail() { echo "error: $1" >&2; exit 2; }

[ $# -eq 2 ] || fail "arguments: $# given; expected OUT and COCO (see the top of $0)"
[ -d "$2" ] || fail "$2: no such folder; expected images and labels in COCO's format"
[ -x "$(command -v "$python")" ] || fail "$python: no such program; expected what make install sets up, or PYTHON=..."
mkdir -p "$1"
out=$(cd "$1" && pwd) coco=$(cd "$2" && pwd)
papers="multi_al,missing_label_al,galc_slr,teacher_student"
batch() { "$python" "$here/run_all.py" --papers "$papers" --store "$out/store" --output "$out/figures" "$@"; }
export NLCORE_CACHE="$out/cache"

tests() {
    if [ -n "${TOY:-}" ]; then "$python" -m pytest -q "$here/tests/test_devices.py"; else "$python" -m pytest -q "$here/tests/training" "$here/tests/scorers"; fi
}
throughput() {
    if [ -n "${TOY:-}" ]; then
        "$python" "$here/benchmarks/training.py" --model test_resnet --size 32 --batch-size 8 --steps 2 --warm-up 1 --images 16 --workers 1 --repeats 1
    else
        for model in tresnet_m resnet50; do "$python" "$here/benchmarks/training.py" --model "$model"; done
        "$python" "$here/benchmarks/training.py" --model tresnet_m --compile
    fi
}
finetune() {
    if [ -n "${TOY:-}" ]; then
        batch --profile frozen --seeds 0 --data-root "$coco" --backbone test_resnet --weights random --plan
    else
        batch --profile finetune --seeds 0-4 --data-root "$coco"
    fi
}
simulated() {
    if [ -n "${TOY:-}" ]; then papers=multi_al batch --profile smoke --seeds 0; else batch --profile simulated --device cuda; fi
}

cd "$here"
for part in ${PARTS:-tests throughput finetune simulated}; do
    case $part in tests | throughput | finetune | simulated) ;; *) fail "part $part: unknown; expected tests, throughput, finetune or simulated" ;; esac
    if [ -e "$out/$part.done" ]; then echo "$part: done before"; continue; fi
    begun=$SECONDS
    export -f "$part" batch
    export here python out coco papers
    if timeout "$((60 * ${MINUTES:-10}))" bash -euo pipefail -c "$part" >"$out/$part.log" 2>&1; then
        touch "$out/$part.done"
        echo "$part: done in $((SECONDS - begun)) s, $out/$part.log"
    else
        echo "$part: not finished after $((SECONDS - begun)) s, $out/$part.log ends: $(tail -n 1 "$out/$part.log")"
        left=1
    fi
done
exit "${left:-0}"
