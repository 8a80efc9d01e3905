"""The shipped configs of accelerate, and FSDP2 on two processes of a CPU.

accelerate divides nothing on a CPU by itself, so its own function that divides a model is called here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from caslie_model.config.files import adapter_weights
from caslie_model.config.presets import finetune_config
from caslie_model.errors import ConfigError
from caslie_model.fusion.language_model import decoder_layers
from caslie_model.runtime.fsdp import check_fsdp, whole
from caslie_model.runtime.processes import join_processes
from caslie_model.training.finetune import finetune
from mmecinstruct.core.package_data import pipelines_folder

CONFIG = pipelines_folder() / "accelerate" / "fsdp.yaml"
FAMILIES = ("llama", "mistral", "qwen3", "phi3", "gemma2", "gemma3", "gpt2")
REPOSITORY = Path(__file__).parents[3]


def environment_of_launch(*options: str) -> dict[str, str]:
    """Return the variables that `accelerate launch` gives each process."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    parser = launch_command_parser()
    asked = parser.parse_args(["--config_file", str(CONFIG), *options, "-m", "caslie_model"])
    checked, _, _ = _validate_launch_command(asked)
    environment: dict[str, str] = prepare_multi_gpu_env(checked)
    return environment


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    from accelerate import FullyShardedDataParallelPlugin

    for name, value in environment_of_launch().items():
        if name.startswith(("FSDP_", "ACCELERATE_USE_FSDP")):
            monkeypatch.setenv(name, value)
    return FullyShardedDataParallelPlugin()


def test_accelerate_reads_the_config_as_it_is_meant(plugin: Any) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

    config = load_config_from_file(str(CONFIG))
    assert config.distributed_type.value == "FSDP"
    assert (config.mixed_precision, config.use_cpu) == ("bf16", False)
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.auto_wrap_policy is transformer_auto_wrap_policy
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert plugin.cpu_ram_efficient_loading is False


def test_launch_passes_it_to_every_process() -> None:
    environment = environment_of_launch("--num_processes", "4")
    assert environment["ACCELERATE_USE_FSDP"] == "true"
    assert environment["FSDP_VERSION"] == "2"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["xattn", "LoRA"])
def test_every_base_model_is_divided_by_layers(plugin: Any, family: str, kind: str) -> None:
    from accelerate.utils.fsdp_utils import fsdp2_prepare_auto_wrap_policy
    from peft import LoraConfig, get_peft_model

    from caslie_model.fusion import CaslieForCausalLM

    base = make_language_model(family)
    layers = list(decoder_layers(base))
    if kind == "xattn":
        model = CaslieForCausalLM.from_base(base, fusion="xattn", vision_width=12, vision_patches=5)
    else:
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"))
    divided = fsdp2_prepare_auto_wrap_policy(plugin, model)
    assert divided is not None
    found = [module for module in model.modules() if divided(module)]
    assert len(found) == len(layers)
    assert {id(module) for module in found} == {id(layer) for layer in layers}


def make_language_model(family: str) -> Any:
    import transformers

    shape = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
    }
    made = {
        "llama": lambda: transformers.LlamaConfig(**shape),
        "mistral": lambda: transformers.MistralConfig(**shape),
        "qwen3": lambda: transformers.Qwen3Config(**shape, head_dim=8),
        "phi3": lambda: transformers.Phi3Config(**shape),
        "gemma2": lambda: transformers.Gemma2Config(**shape, head_dim=8),
        "gemma3": lambda: transformers.Gemma3TextConfig(**shape, head_dim=8),
        "gpt2": lambda: transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=4, n_head=4),
    }[family]()
    return transformers.AutoModelForCausalLM.from_config(made)


# --- what does not go with it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "version", "message"),
    [
        ("compile=true", "2", "compile=true does not go with FSDP; start with torchrun"),
        ("batch_size=4", "1", "FSDP of version 1 does not take layers whose weights are partly frozen"),
    ],
)
def test_incompatible_settings_fail_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, version: str, message: str
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", version)
    with pytest.raises(ConfigError, match=message):
        finetune(finetune_config("tiny", [setting], data="no dataset", out=tmp_path / "out"))


def test_quantised_weights_are_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    check_fsdp("4bit", False)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    check_fsdp("none", False)
    with pytest.raises(ConfigError, match="quantise=4bit does not go with FSDP"):
        check_fsdp("4bit", False)


def test_fsdp_on_a_cpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ConfigError, match="FSDP divides models among GPUs, not on a CPU: start with torchrun"
    ):
        join_processes("cpu")


def test_a_tensor_that_is_not_divided_is_whole() -> None:
    tensor = torch.ones(3)
    assert whole(tensor) is tensor


# --- two processes ---------------------------------------------------------------------------------------

# Trains three steps on the same two samples: one process on both, two processes on one each.
TRAINING = """
import atexit, json, os, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from torch import distributed

kind, folder = sys.argv[1], Path(sys.argv[2])
count = int(os.environ.get("WORLD_SIZE", "1"))
rank = int(os.environ.get("RANK", "0"))
from caslie_model.backbones.language_model import load_base_model
from caslie_model.fusion import CaslieForCausalLM
from caslie_model.runtime.device import Device
from caslie_model.runtime.processes import end_process

torch.manual_seed(0)
half = os.environ.get("PRECISION") == "bf16"
base = load_base_model("random:tiny", Device("cpu", "bfloat16" if half else "float32")).model
lora = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": "all-linear"}
model = CaslieForCausalLM.from_base(
    base, fusion=kind, vision_width=12, vision_patches=5, first_adapter_layer=0, adapter_every=1, gate_init=0.5,
    lora=lora,
).train()
if count > 1:
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model
    from torch.distributed.fsdp import FSDPModule

    distributed.init_process_group("gloo")
    plugin = FullyShardedDataParallelPlugin()
    if half:
        plugin.set_mixed_precision("bf16")
    asked = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin),
        mixed_precision="bf16" if half else "no",
        device=torch.device("cpu"),
        is_main_process=rank == 0,
    )
    if os.environ.get("CHECKPOINTING"):
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model = fsdp2_prepare_model(asked, model)
    assert isinstance(model, FSDPModule)
    assert all(isinstance(layer, FSDPModule) for layer in base.model.layers)
    assert all(hasattr(weight, "full_tensor") for weight in model.parameters())
    held = sum(weight.to_local().numel() for weight in model.parameters())
    assert held < 0.6 * sum(weight.numel() for weight in model.parameters())
else:
    if os.environ.get("CHECKPOINTING"):
        model.gradient_checkpointing_enable({"use_reentrant": False})
numbers = torch.Generator().manual_seed(1)
tokens = torch.randint(1, 256, (2, 24), generator=numbers)
images = torch.randn(4, 5, 12, generator=numbers)
per_sample = 2
slots = torch.full((2, 24), -1)
if kind == "concat":
    slots[:, 2:18] = torch.arange(16)
labels = tokens.clone()
labels[:, :20] = -100
mine = range(2) if count == 1 else [rank]
rows = torch.tensor(list(mine))
batch = {
    "input_ids": tokens[rows],
    "labels": labels[rows],
    "attention_mask": torch.ones_like(tokens[rows]),
    "image_features": images.view(2, per_sample, 5, 12)[rows].flatten(0, 1),
    "image_counts": torch.tensor([per_sample] * len(rows)),
    "guide_ids": tokens[rows, :6].repeat_interleave(per_sample, 0),
    "guide_mask": torch.ones(len(rows) * per_sample, 6),
}
if kind == "concat":
    batch["token_slots"] = slots[rows]
groups = [{"params": weights} for weights in model.parameter_groups().values() if weights]
optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.0)
losses = []
for _ in range(3):
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    value = loss.detach().clone()
    if count > 1:
        distributed.all_reduce(value)
        value /= count
    losses.append(float(value))
tensors = model.trained_state_dict()
results = {"losses": losses, "gates": list(model.gates().values()), "guides": model.guide_gates()}
if rank == 0:
    model.save_adapter(folder, tensors)
    (folder / "results.json").write_text(json.dumps(results))
if count > 1:
    distributed.barrier()
    # Gloo's threads outlive the group and could abort an interpreter that shuts down, as in a command's end.
    atexit.register(distributed.destroy_process_group)
    end_process(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["xattn", "concat", "xattn, checkpointed", "xattn, bf16"])
def test_a_divided_model_learns_like_a_whole_one(tmp_path: Path, kind: str) -> None:
    import json

    from safetensors.torch import load_file

    script = tmp_path / "training.py"
    script.write_text(TRAINING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [
        *("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"),
        f"--master-port={port}",
    ]
    fsdp = {name: value for name, value in environment_of_launch().items() if name.startswith("FSDP_")}
    for count, command, more in ((1, (), {}), (2, launch, fsdp)):
        done = subprocess.run(
            [sys.executable, *command, str(script), kind.partition(",")[0], str(tmp_path / str(count))],
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                "GLOO_SOCKET_IFNAME": "lo",
                "OMP_NUM_THREADS": "1",
                "CHECKPOINTING": "1" if "checkpointed" in kind else "",
                "PRECISION": "bf16" if "bf16" in kind else "",
                **more,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / count / "results.json").read_text()) for count in "12")
    assert one["losses"][-1] < one["losses"][0]
    for name in one:
        rounding = {"rel": 2e-2, "abs": 1e-3} if "bf16" in kind else {"rel": 1e-4}
        assert two[name] == pytest.approx(one[name], **rounding), name
    weights, others = (load_file(adapter_weights(tmp_path / count)) for count in "12")
    assert weights.keys() == others.keys()
    for name in weights:
        assert others[name].dtype == torch.float32
        # Three steps of a learning rate of .001 move a weight by at most .003, whichever way rounding sends it.
        torch.testing.assert_close(
            others[name], weights[name], atol=6e-3 if "bf16" in kind else 2e-4, rtol=1e-3
        )
