"""Merge an adapter and its base model into one model folder that `from_pretrained` reads.

LoRA is added to the base model's weights. Fusion adapters stay parts of their own, since no weight of the base model
could take them in: such a folder is read after `import caslie_model.fusion`. The folder has the settings of the
training (config.yaml), so that `evaluate` asks as they say.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.adapters.base import load_base_of, of_read_files, recorded_fingerprint
from caslie_model.adapters.model_card import write_model_card
from caslie_model.adapters.output_lock import output_lock
from caslie_model.adapters.parity import TOLERANCE, deviation, probe_logits
from caslie_model.adapters.summary import read_summary
from caslie_model.adapters.trained import load_trained, merge_lora
from caslie_model.backbones.language_model import base_fingerprint, load_base_model, locate
from caslie_model.backbones.quantisation import check_not_quantised
from caslie_model.config.files import CONFIG, FUSION_WEIGHTS, PEFT_WEIGHTS, TRAINING, adapter_weights
from caslie_model.config.presets import load_finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.errors import ModelError, RunError
from caslie_model.hub.download import adapter_folder
from caslie_model.hub.public_names import known_names, public_name
from caslie_model.prompts.templates import PROMPTS_FOLDER
from caslie_model.runtime.console import say
from caslie_model.runtime.disk_errors import explained_disk_errors
from mmecinstruct.core.disk_errors import LEAST_FREE_BYTES, check_can_write
from mmecinstruct.core.errors import RenderError
from mmecinstruct.core.files import give_ordinary_permissions, sync_folder, sync_tree, write_atomically
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.output_folder import MERGE, check_output
from mmecinstruct.core.partial_folder import partial_folder

# Of a finished merge: the adapter, the base model, the files of the weights and the deviation. It is not uploaded.
MERGED = "merge.json"


@dataclass(frozen=True)
class MergeResult:
    """The files that a merge wrote.

    Attributes:
        folder: The model folder.
        deviation: Largest difference of its logits from those of base model and adapter, in their standard deviation.
    """

    folder: Path
    deviation: float


def merge(adapter: Path, out: Path, full_base: bool = False, place: str | None = None) -> MergeResult:
    """Write base model and adapter as one model folder in float32, and compare its logits after reading it back.

    A folder that an earlier call has merged from the same adapter is returned at once.

    Args:
        adapter: A finished adapter folder.
        out: The model folder to write, new or empty.
        full_base: Also merge an adapter that was trained on a quantised base model, with the unquantised weights.
        place: Where the base model is now; None: where it was in training.

    Returns:
        The folder and the deviation of its logits.

    Raises:
        ModelError: If `adapter` is not finished, was trained on another base model or, without full_base, on a
            quantised one, or the merged model's logits differ.
        RunError: If `out` is not empty, another merge writes there, or the disk is full.
        OutputError: If another command made `out`, or it cannot be written.
    """
    adapter = adapter_folder(adapter)
    if not (adapter / CONFIG).is_file() or adapter_weights(adapter) is None:
        raise ModelError(
            f"{adapter} is not a finished adapter folder (no {CONFIG}, or neither {PEFT_WEIGHTS} nor {FUSION_WEIGHTS})"
        )
    check_output(out, MERGE, [adapter])
    with output_lock(out):
        return _merge(adapter, out, full_base, place)


def _merge(adapter: Path, out: Path, full_base: bool, place: str | None) -> MergeResult:
    config = load_finetune_config(adapter / CONFIG)
    weights = adapter_weights(adapter)
    assert weights is not None
    record: dict[str, Any] = {"adapter_sha256": sha256_file(weights)}
    merged = _merged(out)
    if merged.items() >= record.items() and _is_same_base(merged["base_fingerprint"], adapter, place):
        _check_files(out, merged["files"])
        say(f"{out} is finished: the same adapter was merged there")
        return MergeResult(out, merged["deviation"])
    if out.is_dir() and any(out.iterdir()):
        raise RunError(f"out={out} is not empty; give another folder")
    check_can_write(out)
    if config.quantise != "none" and not full_base:
        raise ModelError(
            f"{adapter} was trained on a base model in {config.quantise}, and merging is into whole weights, on which "
            "it answers a little otherwise: measure that with `evaluate --set quantise=none`, then give --full-base"
        )
    # Read before anything is loaded: the card at the end is made of it.
    summary = _summary(adapter, config)
    base = load_base_of(adapter, config, quantise="none", place=place)
    check_not_quantised(base.model)
    model = load_trained(base, config.fusion, adapter)
    expected = probe_logits(model, base.tokenizer)
    try:
        model = merge_lora(model, config.fusion)
    except ModelError as error:
        raise ModelError(f"{adapter} cannot be merged: {error}; use the adapter folder itself") from error
    if config.fusion != "text":
        model.leave_base_out_of_checkpoints(False)
        known = known_names(config, summary.get("folders"))
        model.config.base_model = public_name(model.config.base_model, known)
        model.config.vision_encoder = public_name(model.config.vision_encoder, known)
    # A link stays, and what it leads to is replaced.
    target = out.resolve()
    # In float32; the tokenizer and the rest are small beside it.
    check_can_write(out, LEAST_FREE_BYTES + 4 * sum(weight.numel() for weight in model.parameters()))
    with explained_disk_errors(out, "then merge again"), partial_folder(target, MERGE) as partial:
        model.save_pretrained(partial)
        base.tokenizer.save_pretrained(partial)
        shutil.copytree(adapter / PROMPTS_FOLDER, partial / PROMPTS_FOLDER)
        shutil.copyfile(adapter / CONFIG, partial / CONFIG)
        write_model_card(config, summary, partial / "README.md", merged=True)
        give_ordinary_permissions(partial)
        found = deviation(probe_logits(load_base_model(str(partial)).model, base.tokenizer), expected)
        if not found <= TOLERANCE:
            raise ModelError(
                f"the merged model's logits differ by {found:.2g} of their spread from the adapter's (at most "
                f"{TOLERANCE:g}); use the adapter folder itself"
            )
        record |= {"base_fingerprint": base.fingerprint, "files": _weights_files(partial), "deviation": found}
        write_atomically(partial / MERGED, json.dumps(record, indent=1).encode())
        sync_tree(partial)
        if target.is_dir():
            target.rmdir()
        partial.rename(target)
        sync_folder(target.parent)
    return MergeResult(out, found)


def _merged(out: Path) -> dict[str, Any]:
    """Return what a finished merge recorded; nothing where there is none."""
    try:
        found = json.loads((out / MERGED).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    kinds = {"deviation": float, "base_fingerprint": str, "files": dict}
    is_whole = isinstance(found, dict) and all(
        isinstance(found.get(name), kind) for name, kind in kinds.items()
    )
    return found if is_whole else {}


def _is_same_base(merged: str, adapter: Path, place: str | None) -> bool:
    """Return whether a merge was with the base model that is asked for now."""
    if place is None:
        return recorded_fingerprint(adapter) in (None, merged)
    return merged in (base_fingerprint(place), of_read_files(locate(place)))


def _weights_files(folder: Path) -> dict[str, Any]:
    """Return size and SHA-256 of the files of a model's weights, by name."""
    files = [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]
    return {file.name: [file.stat().st_size, sha256_file(file)] for file in sorted(files)}


def _check_files(out: Path, recorded: dict[str, Any]) -> None:
    there = _weights_files(out)
    wrong = sorted(name for name in recorded | there if recorded.get(name) != there.get(name))
    if wrong:
        raise RunError(
            f"out={out} holds an earlier merge of this adapter, whose {wrong[0]} is missing or changed: delete the "
            "folder, or give another"
        )


def _summary(adapter: Path, config: FinetuneConfig) -> dict[str, Any]:
    """Return the content of training.json, of which a card can be made."""
    summary = read_summary(adapter)
    try:
        with tempfile.TemporaryDirectory() as folder:
            write_model_card(config, summary, Path(folder) / "README.md", merged=True)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RenderError) as error:
        raise ModelError(
            f"{adapter / TRAINING} is damaged: there is no card without its entries ({error}); train again, or copy it "
            "from where the adapter was"
        ) from error
    return summary
