"""How much each task counts in a training: its samples are repeated or thinned out, each by a draw of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caslie_model.errors import ConfigError
from caslie_model.prompts.encoder import Encoded
from mmecinstruct.core.hashing import hash_fraction


def mixed(encoded: Sequence[Encoded], weights: Mapping[str, float], seed: int) -> list[Encoded]:
    """Return samples as often as the weight of their task says, in their order.

    At 2 each comes twice; at 2.5 half of them, drawn by hash of their ids, come a third time; at 0.5 half of them
    are left out. Tasks without a weight stay as they are. Raises ConfigError when nothing of a task is left.
    """
    result: list[Encoded] = []
    for each in encoded:
        whole, part = divmod(weights.get(each.sample.task, 1.0), 1.0)
        more = hash_fraction(seed, "task weights", each.sample.id) < part
        result.extend([each] * (int(whole) + more))
    lost = {each.sample.task for each in encoded} - {each.sample.task for each in result}
    if lost:
        told = ", ".join(f"{task}: {weights[task]}" for task in sorted(lost))
        raise ConfigError(
            f"task_weights {{{told}}} leave no sample; give more, or leave the task out of `tasks`"
        )
    return result
