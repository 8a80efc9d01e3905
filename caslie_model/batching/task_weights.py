"""Weight of each task in a training: its samples are repeated, or thinned out by hash draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caslie_model.errors import ConfigError
from caslie_model.prompts.encoder import Encoded
from mmecinstruct.core.hashing import hash_fraction


def mixed(encoded: Sequence[Encoded], weights: Mapping[str, float], seed: int) -> list[Encoded]:
    """Return samples as often as the weight of their task says, in their order.

    With weight 2 each comes twice; with 2.5 half of them come a third time, decided by hash of their ids; with 0.5 half
    of them are left out. Tasks without a weight stay as they are.

    Args:
        encoded: The samples in tokens.
        weights: By task.
        seed: Seed of the hash draws.

    Returns:
        The samples.

    Raises:
        ConfigError: If no sample of a task is left.
    """
    result: list[Encoded] = []
    for each in encoded:
        whole, part = divmod(weights.get(each.sample.task, 1.0), 1.0)
        more = hash_fraction(seed, "task weights", each.sample.id) < part
        result.extend([each] * (int(whole) + more))
    lost = {each.sample.task for each in encoded} - {each.sample.task for each in result}
    if lost:
        weights_text = ", ".join(f"{task}: {weights[task]}" for task in sorted(lost))
        raise ConfigError(
            f"task_weights {{{weights_text}}} leave no sample; give more, or leave the task out of `tasks`"
        )
    return result
