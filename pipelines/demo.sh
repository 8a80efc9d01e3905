#!/usr/bin/env bash
# The whole road once, on the built-in shop: build, validate, fine-tune briefly, evaluate.
# It shows that everything works, and the resulting folders; figures of so short a run say nothing about quality.
set -euo pipefail
demo=${1:-demo}
mkdir -p "$demo"
mmec build --tasks all --out "$demo/dataset" --workspace "$demo/workspace"
mmec validate "$demo/dataset"
caslie_model finetune --data "$demo/dataset" --fusion text --preset demo --out "$demo/model" --resume
caslie_model evaluate --model "$demo/model" --data "$demo/dataset" --splits test,test_ood --limit 50 --out "$demo/evaluation"
echo "dataset:    $demo/dataset (README.md is its card)"
echo "model:      $demo/model (loss_curve.png, README.md)"
echo "evaluation: $demo/evaluation (metrics.md, metrics.json, predictions)"
