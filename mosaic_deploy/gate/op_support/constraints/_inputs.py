"""Which inputs and outputs there are, and which inputs are constants."""

from __future__ import annotations

from mosaic_deploy.gate.op_support.constraints._constraint import Breach, constraint
from mosaic_deploy.gate.op_support.constraints._reading import given, output_shape
from mosaic_deploy.graph.facts import Node


@constraint("Every input but the first is a constant.")
def parameters_are_constant(node: Node) -> Breach | None:
    for tensor in node.inputs[1:]:
        if tensor is not None and not tensor.constant:
            return Breach(f"'{tensor.name}' is computed")
    return None


@constraint("The first input is no constant.")
def first_input_is_computed(node: Node) -> Breach | None:
    first = given(node, 0)
    return Breach(f"'{first.name}' is a constant") if first is not None and first.constant else None


@constraint("No input is a constant.")
def inputs_are_computed(node: Node) -> Breach | None:
    found = next((tensor for tensor in node.inputs if tensor is not None and tensor.constant), None)
    return Breach(f"'{found.name}' is a constant") if found else None


@constraint("The operator has two inputs.")
def inputs_are_two(node: Node) -> Breach | None:
    count = len([tensor for tensor in node.inputs if tensor is not None])
    return None if count == 2 else Breach(f"{count} inputs")


@constraint("Only the first output is asked for.")
def only_first_output_is_asked_for(node: Node) -> Breach | None:
    return None if len(node.outputs) == 1 else Breach(f"{len(node.outputs)} outputs")


@constraint("A second input that is stored has two dimensions at most.")
def stored_matrix_is_no_batch(node: Node) -> Breach | None:
    second = given(node, 1)
    if second is None or not second.constant:
        return None
    return Breach(f"'{second.name}' is stored and has rank {second.rank}") if second.rank > 2 else None


@constraint("The third input is left out, or a stored list with one number per column of the output.")
def bias_is_a_row(node: Node) -> Breach | None:
    bias = given(node, 2)
    if bias is None:
        return None
    columns = (output_shape(node) or (None,))[-1:]
    if not bias.constant or bias.shape is None or columns == (None,):
        return Breach(f"'{bias.name}' is no stored list", certain=False)
    return None if bias.shape == columns else Breach(f"'{bias.name}' of {list(bias.shape)}")


@constraint("Every axis has its pads: the fourth input is left out.")
def every_axis_has_pads(node: Node) -> Breach | None:
    axes = given(node, 3)
    return Breach(f"axes in '{axes.name}'") if axes is not None else None


@constraint("The operator has two inputs or more.")
def inputs_are_several(node: Node) -> Breach | None:
    count = len([tensor for tensor in node.inputs if tensor is not None])
    return None if count > 1 else Breach(f"{count} input")


@constraint("The operator has five inputs at most.")
def inputs_are_five_at_most(node: Node) -> Breach | None:
    count = len([tensor for tensor in node.inputs if tensor is not None])
    return None if count <= 5 else Breach(f"{count} inputs")


@constraint("The operator has four outputs at most.")
def outputs_are_four_at_most(node: Node) -> Breach | None:
    return None if len(node.outputs) <= 4 else Breach(f"{len(node.outputs)} outputs")


@constraint(
    "A stored input with numbers along the last axis has as many axes as the data, if those are four or more."
)
def stored_rows_have_every_axis(node: Node) -> Breach | None:
    rank = max((tensor.rank for tensor in node.inputs if tensor is not None), default=0)
    for tensor in node.inputs:
        if tensor is None or not tensor.constant or not tensor.shape:
            continue
        if tensor.rank < rank >= 4 and tensor.shape[-1] > 1:
            return Breach(f"'{tensor.name}' of {list(tensor.shape)} beside {rank} dimensions")
    return None
