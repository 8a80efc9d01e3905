"""The states below a fusion model's first adapter, for batches of training: from the store, else computed and stored.

Each sequence is computed by itself, without padding or neighbours. So what is read equals what would be computed, and
a run that finds all, some or none of its states learns the same, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from caslie_model.base_model import cache_folder
from caslie_model.errors import ModelError
from caslie_model.packing import SEES_NOTHING
from caslie_model.state_store import StateStore
from mmecinstruct.hashing import fingerprint

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "lower_layers"  # in the cache of models
_VERSION = 1


class LowerStates:
    """What goes into the first layer that has an adapter in front of it, for the token sequences of a model."""

    def __init__(self, model: Any, store: StateStore) -> None:
        """model: a `CaslieForCausalLM` that can be entered there (`check_entry`)."""
        self._model = model
        self._store = store
        self.computed = 0  # sequences
        self.reused = 0

    def of_batch(self, inputs: dict[str, Any]) -> Tensor:
        """Return the states [B, T, d] of a batch as `training_batch` or `packed_batch` make it, 0 where there is no
        sample.
        """
        import torch

        ids = inputs["input_ids"]
        rows = ids.tolist()
        states = torch.zeros(
            *ids.shape, self._model.config.hidden_size, dtype=self._model.language_model.dtype
        )
        found = [
            (row, start, end, self._store.get(rows[row][start:end])) for row, start, end in _sequences(inputs)
        ]
        if any(each is None for *_, each in found):
            self._store.refresh()
        for row, start, end, known in found:
            tokens = rows[row][start:end]
            if known is None:
                known = self._store.get(tokens)
            if known is None:
                known = self._computed(ids[row, start:end])
                self._store.put(tokens, known)
                self.computed += 1
            else:
                self.reused += 1
            states[row, start:end] = known
        return states.to(ids.device)

    def flush(self) -> None:
        """Write what the store still holds in memory."""
        self._store.flush()

    def _computed(self, tokens: Tensor) -> Tensor:
        from caslie_model.fusion.lower_layers import states_below

        first: int = self._model.config.first_layer
        return states_below(self._model.language_model, first, input_ids=tokens.unsqueeze(0))[0]


def open_lower_states(model: Any, precision: str, gigabytes: float) -> LowerStates:
    """Return the states of a model's base, kept in the model cache. precision: as it computes, float32 or bfloat16.

    Raises ModelError when the model's states change or cannot be entered, when it does not say what base it stands on,
    or when a file of the store is damaged.
    """
    from caslie_model.fusion.lower_layers import check_entry

    check_entry(model)
    config = model.config
    if not config.base_identity:
        raise ModelError("the model has no base_identity, by which kept states would be told from another's")
    # An identity is of the base's files; in fewer bits they give other states.
    base = [config.base_identity, config.base_quantise]
    device = model.language_model.device.type
    identity = fingerprint([_VERSION, base, config.first_layer, precision, device])[:32]
    return LowerStates(model, StateStore(cache_folder() / FOLDER / identity, int(gigabytes * 1e9)))


def _sequences(inputs: dict[str, Any]) -> Iterator[tuple[int, int, int]]:
    """Yield row, start and end of each sample in a batch. In packed rows positions begin again with each."""
    mask = inputs.get("attention_mask")
    if mask is not None:
        for row, length in enumerate(mask.sum(dim=1).tolist()):
            yield row, mask.shape[1] - length, mask.shape[1]
        return
    groups = inputs["token_groups"].tolist()
    for row, positions in enumerate(inputs["position_ids"].tolist()):
        starts = [place for place, position in enumerate(positions) if position == 0]
        for start, end in zip(starts, [*starts[1:], len(positions)], strict=True):
            if groups[row][start] != SEES_NOTHING:
                yield row, start, end
