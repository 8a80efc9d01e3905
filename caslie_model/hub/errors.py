"""Explain why the Hub does not give a model. Offline, a misspelt name looks like a missing one."""

from __future__ import annotations

from caslie_model.errors import ModelError
from caslie_model.runtime.disk_errors import disk_error
from mmecinstruct.core.disk_errors import explained
from mmecinstruct.core.shown import shown_text


def loading_errors() -> tuple[type[Exception], ...]:
    """Return what transformers raises for a model that is missing, damaged or contradicts itself."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    lookups = (KeyError, AttributeError, IndexError, TypeError, RecursionError)
    return (OSError, ValueError, RuntimeError, ImportError, *lookups, SafetensorError, StrictDataclassError)


def not_loaded(what: str, name: str, error: Exception) -> ModelError:
    """Return the error for a model that cannot be loaded, with the remedy.

    Args:
        what: base model, vision encoder or adapter.
        name: The name that was asked for.
        error: The error of transformers.

    Returns:
        The error to raise.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__

    def is_because_of(kind: type[Exception]) -> bool:
        return any(isinstance(each, kind) for each in causes)

    reason = shown_text(" ".join(str(error).split()))[:500]
    if is_because_of(GatedRepoError):
        reason = "its owner gives it on request: ask on its page on the Hub, then log in with `hf auth login`"
    elif is_because_of(RepositoryNotFoundError):
        reason = (
            "there is no such folder, and the Hub knows no model of this name: check how it is written; for a private "
            "one log in with `hf auth login`"
        )
    elif is_because_of(LocalEntryNotFoundError):
        offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the Hub does not answer"
        reason = (
            f"it is not in this machine's cache, and {offline}: check how it is written, run once with a network, or "
            "name a folder that holds the model"
        )
    elif (found := disk_error(error)) is not None:
        reason = explained(found)
    return ModelError(f"{what} '{name}' cannot be loaded: {reason}")
