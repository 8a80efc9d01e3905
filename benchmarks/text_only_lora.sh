#!/usr/bin/env bash
# LoRA fine-tunes of SmolLM2-135M on the sample's text (30 minutes each on one of two busy cores), evaluated on the parts that do
# and that do not need the picture. Text alone should beat the majority class where the text tells, and stay below
# `text_only_accuracy` plus 5 points where only the picture does.
#   bash benchmarks/text_only_lora.sh FOLDER
set -euo pipefail
out=${1:?name an output folder}
mmec build --out "$out/dataset" --workspace "$out/workspace" \
  --set sample.products=6500 \
  --set "sizes={train: 4000, validation: 100, test: 1500, test_ood: 200}" \
  --set tasks.product_relation_prediction.sizes=null \
  --set "tasks.sequential_recommendation.sizes={train: 2000, validation: 50, test: 1500, test_ood: 400}"

finetune() { # NAME TASKS SAMPLES-OF-EACH [MORE]
  caslie_model finetune --data "$out/dataset" --fusion text --preset smollm2-135m --out "$out/$1" --resume \
    --set "tasks=[$2]" --set "task_limits={$3}" --set epochs=1 --set batch_size=2 --set max_train_tokens=300000 "${@:4}"
}
evaluate() { # MODEL TASKS SUBSET LIMIT
  caslie_model evaluate --model "$out/$1" --data "$out/dataset" --splits test --tasks "$2" --subset "$3" --limit "$4" \
    --out "$out/$1-$3-$2"
}
# What the text tells: the prompts of sequential recommendation are five times as long as the others.
finetune tells "cc,sa,sr" "cc: 140, sa: 140, sr: 220" --set max_length=1536
evaluate tells cc,sa,sr text 100
evaluate tells sr visual-critical 400
# What only the picture tells.
finetune needs "cc,prp,psi,mpc,sa" "cc: 160, sa: 160, psi: 100, mpc: 100, prp: 1000"
evaluate needs cc,psi,mpc,sa visual-critical 420
evaluate needs prp visual-critical 880
evaluate needs cc,prp,psi,mpc,sa text 100
