"""Layers that share one matrix, as an output head does that is tied to the input embeddings.

LoRA changes a layer, not its matrix: on one layer of a tied pair it cannot be added to the matrix without changing the
other layer too.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from caslie_model.errors import ModelError


def find_modules(model: Any, names: Sequence[str]) -> list[str]:
    """Return the full names of a model's modules, as `lora.modules_to_save` names them.

    Args:
        model: A language model.
        names: Full names, or their last parts, such as `embed_tokens`.

    Returns:
        The full names, in the order of the model.

    Raises:
        ModelError: If a name is not there.
    """
    there = [name for name, _ in model.named_modules() if name]
    missing = [name for name in names if not any(_is_called(each, name) for each in there)]
    if missing:
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
        known = [name for name, module in model.named_modules() if any(module is end for end in ends)]
        raise ModelError(
            f"lora.modules_to_save: {type(model).__name__} has no module {', '.join(missing)}; its embeddings and head "
            f"are {', '.join(known)}"
        )
    return [each for each in there if any(_is_called(each, name) for name in names)]


def has_tied_head(model: Any) -> bool:
    """Return whether a language model's output head has the matrix of its input embeddings."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and getattr(head, "weight", None) is embeddings.weight


@contextmanager
def ties_are_handled() -> Iterator[None]:
    """Silence peft's warning of a tied layer in an adapter: we refuse it in training, and never merge it.

    Yields:
        Nothing.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*`tie_word_embeddings=True` and a tied layer")
        yield


def tied_targets(model: Any) -> dict[str, str]:
    """Return the layers with LoRA whose matrix another layer has too.

    Args:
        model: A model with peft's LoRA, or one without.

    Returns:
        Name of the other layer by name of the layer, as in the base model.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    owners: dict[int, list[str]] = defaultdict(list)
    adapted: dict[str, int] = {}
    for name, module in model.named_modules():
        for weight in module._parameters.values():
            owners[id(weight)].append(name.removesuffix(".base_layer"))
        if isinstance(module, BaseTunerLayer):
            weight = getattr(module.get_base_layer(), "weight", None)
            if weight is not None:
                adapted[name] = id(weight)
    return {
        _in_base(name): _in_base(next(other for other in owners[weight] if other != name))
        for name, weight in adapted.items()
        if len(owners[weight]) > 1
    }


def check_targets_not_tied(model: Any) -> None:
    """Check that LoRA to be trained is on layers with a matrix of their own.

    Args:
        model: A model with LoRA.

    Raises:
        ModelError: If a layer shares its matrix.
    """
    for name, other in tied_targets(model).items():
        short = name.rpartition(".")[2]
        raise ModelError(
            f"lora.target_modules reaches {name}, whose weights are tied to those of {other}: LoRA on one of them "
            f"cannot be merged; leave {short} out, or train both whole with lora.modules_to_save=[{short}]"
        )


def _is_called(full: str, name: str) -> bool:
    return full == name or full.endswith(f".{name}")


def _in_base(name: str) -> str:
    return name.removeprefix("base_model.model.").removeprefix("language_model.")
