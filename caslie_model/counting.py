"""What a pass through a model takes: products, bytes moved, and the most memory at once, counted while it runs.

With shapes alone, numbers with a decimal point are torch's fake tensors: they have a shape, a type and a device, but
no memory, and the kernels that a device would run decide what is kept for the backward pass. Token ids, masks and
places are real, as what a model does depends on them, and small.
"""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True, slots=True)
class Operation:
    """What one operation takes."""

    flops: float  # of products of matrices and of attention; a multiply-add is 2
    moved: int  # bytes read and written
    drawn: int  # random numbers


class Counting(TorchDispatchMode):
    """While it is active, counts operations and the memory of the tensors that are alive.

    shapes_only: nothing is computed but integers. `operations`: how often there was one of a kind. `alive`,
    `most_alive`: bytes of tensors that came about meanwhile, now and at most.
    """

    def __init__(self, shapes_only: bool) -> None:
        super().__init__()
        self.operations: Counter[Operation] = Counter()
        self.alive = self.most_alive = 0
        self._fake = FakeTensorMode(allow_non_fake_inputs=True) if shapes_only else None
        self._storages: dict[int, weakref.ref[Any]] = {}

    def begin(self) -> None:
        """Forget operations, and how much memory there was."""
        self.operations.clear()
        self.most_alive = self.alive

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
        """Return a tensor of that shape, without values."""
        if self._fake is None:
            return torch.empty(shape, dtype=dtype, device=device)
        with self._fake:
            return torch.empty(shape, dtype=dtype, device=device)

    def fill(self, model: nn.Module, device: str) -> None:
        """Bring a model from the meta device to another one, in place, without values; shared tensors stay shared."""
        made: dict[int, tuple[Tensor, Tensor]] = {}  # with the first one, so that its id is not given anew
        for module in model.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is None or tensor.device.type != "meta":
                        continue
                    if id(tensor) not in made:
                        real: Tensor
                        if tensor.is_floating_point():
                            real = self.empty(*tensor.shape, dtype=tensor.dtype, device=device)
                        else:
                            real = torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
                        if isinstance(tensor, nn.Parameter):
                            real = nn.Parameter(real, requires_grad=tensor.requires_grad)
                        made[id(tensor)] = (real, tensor)
                        self._keep(real)
                    tensors[name] = made[id(tensor)][0]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device  # asked more often than anything is computed
        kwargs = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        result = self._run(func, inputs, args, kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        for tensor in outputs:
            self._keep(tensor)
        if not _moves_nothing(func):
            kind = func._overloadpacket
            formula: Any = _FORMULAS.get(kind) or flop_registry.get(kind)
            flops = float(formula(*args, **kwargs, out_val=result)) if formula else 0.0
            moved = sum(each.numel() * each.itemsize for each in inputs + outputs)
            draws = not formula and torch.Tag.nondeterministic_seeded in func.tags
            drawn = max((each.numel() for each in outputs), default=0) if draws else 0
            self.operations[Operation(flops, moved, drawn)] += 1
        return result

    def _run(self, func: Any, inputs: list[Tensor], args: Any, kwargs: Any) -> Any:
        if self._fake is None or (inputs and not any(isinstance(each, FakeTensor) for each in inputs)):
            return func(*args, **kwargs)
        with self._fake:
            result = func(*args, **kwargs)
        if not inputs and isinstance(result, Tensor) and not result.is_floating_point():
            return func(*args, **kwargs)  # made of nothing: positions, for example
        return result

    def _keep(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place = storage._cdata
        if place in self._storages:
            return
        size = storage.nbytes()
        self.alive += size
        self.most_alive = max(self.most_alive, self.alive)

        def gone(_: Any) -> None:
            self.alive -= size
            del self._storages[place]

        self._storages[place] = weakref.ref(storage, gone)


def total_flops(operations: Counter[Operation]) -> float:
    """Return the FLOPs of operations that were counted."""
    return sum(each.flops * count for each, count in operations.items())


def _moves_nothing(func: Any) -> bool:
    """Return whether an operation asks for a property, gives another look at its input, or room without values."""
    if func.namespace == "prim" or func._overloadpacket in _NO_WORK:
        return True
    returns = func._schema.returns
    return bool(returns) and all(
        each.alias_info is not None and not each.alias_info.is_write for each in returns
    )


_NO_WORK = frozenset(
    (
        torch.ops.aten._unsafe_view,
        torch.ops.aten.empty,
        torch.ops.aten.empty_like,
        torch.ops.aten.empty_strided,
        torch.ops.aten.new_empty,
        torch.ops.aten.new_empty_strided,
    )
)


def _attention(query: Tensor, key: Tensor, *_: Any, is_causal: bool = False, **more: Any) -> float:
    """FLOPs of the CPU's kernel, of which torch's own counter knows nothing: two products."""
    batch, heads, length, width = query.shape
    return 4.0 * batch * heads * width * length * key.shape[2]


def _attention_back(gradient: Tensor, query: Tensor, key: Tensor, *_: Any, **more: Any) -> float:
    """Five products: the scores are computed again."""
    return 2.5 * _attention(query, key)


_FORMULAS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_back,
}
