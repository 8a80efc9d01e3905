#!/usr/bin/env bash
# A LoRA fine-tune of SmolLM2-135M on the sample's text (20 to 40 minutes on two cores), evaluated on the parts that
# do and that do not need the picture. Text alone should beat the majority class where the text tells, and stay below
# `text_only_accuracy` plus 5 points where only the picture does.
#   bash benchmarks/text_only_lora.sh FOLDER
set -euo pipefail
out=${1:?name an output folder}
mmec build --out "$out/dataset" --workspace "$out/workspace" \
  --set sample.products=6500 \
  --set "sizes={train: 4000, validation: 100, test: 1500, test_ood: 200}" \
  --set tasks.product_relation_prediction.sizes=null \
  --set "tasks.sequential_recommendation.sizes={train: 2000, validation: 50, test: 1500, test_ood: 400}"
# Sequential recommendation is left out: its prompts are four times as long.
caslie_model finetune --data "$out/dataset" --fusion text --preset smollm2-135m --out "$out/model" --resume \
  --set "tasks=[ap,cc,prp,psi,mpc,sa]" --set max_train_tokens=350000
caslie_model evaluate --model "$out/model" --data "$out/dataset" --splits test --tasks cc,prp,psi,mpc,sa \
  --subset visual-critical --limit 650 --out "$out/needs_picture"
caslie_model evaluate --model "$out/model" --data "$out/dataset" --splits test --tasks ap,cc,prp,psi,mpc,sa \
  --subset text --limit 100 --out "$out/text_tells"
