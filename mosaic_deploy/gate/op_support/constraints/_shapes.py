"""Sides and ranks, of each tensor and from input to output."""

from __future__ import annotations

import math

from mosaic_deploy.gate.op_support.constraints._constraint import UNKNOWN, Breach, constraint
from mosaic_deploy.gate.op_support.constraints._reading import given, output_shape, shape_of
from mosaic_deploy.graph.facts import Node


@constraint("Every shape is known before the network runs.")
def shapes_are_static(node: Node) -> Breach | None:
    for tensor in node.outputs:
        if tensor.shape is None:
            return Breach(f"'{tensor.name}' has a shape that only running tells")
    return None


@constraint("Tensors have at most five dimensions.")
def rank_is_five_at_most(node: Node) -> Breach | None:
    return _above(node, 5)


@constraint("Tensors have at most four dimensions.")
def ranks_are_four_at_most(node: Node) -> Breach | None:
    return _above(node, 4)


def _above(node: Node, most: int) -> Breach | None:
    for tensor in (*node.inputs, *node.outputs):
        if tensor is not None and tensor.rank > most:
            return Breach(f"'{tensor.name}' has rank {tensor.rank}")
    return None


@constraint("Each side of the output is a whole multiple of the input's.")
def sizes_grow_by_whole_factors(node: Node) -> Breach | None:
    before, after = shape_of(node), output_shape(node)
    if before is None or after is None:
        return UNKNOWN
    if any(a % b if b else a for b, a in zip(before, after, strict=False)):
        return Breach(f"{list(before)} to {list(after)}")
    return None


@constraint("Each side of the input is a whole multiple of the output's.")
def sizes_shrink_by_whole_factors(node: Node) -> Breach | None:
    before, after = shape_of(node), output_shape(node)
    if before is None or after is None:
        return UNKNOWN
    if any(b % a if a else b for b, a in zip(before, after, strict=False)):
        return Breach(f"{list(before)} to {list(after)}")
    return None


@constraint("Batch and channels keep their size.")
def only_height_and_width_change(node: Node) -> Breach | None:
    before, after = shape_of(node), output_shape(node)
    if before is None or after is None:
        return UNKNOWN
    return None if before[:2] == after[:2] else Breach(f"{list(before)} to {list(after)}")


@constraint("The output's first axis is as long as the input's.")
def batch_is_kept(node: Node) -> Breach | None:
    before, after = shape_of(node), output_shape(node)
    if before is None or after is None:
        return UNKNOWN
    return None if before[:1] == after[:1] else Breach(f"{list(before)} to {list(after)}")


@constraint("The first input has the shape of the output: only others are broadcast.")
def first_input_has_the_output_shape(node: Node) -> Breach | None:
    before, after = shape_of(node), output_shape(node)
    if before is None or after is None:
        return UNKNOWN
    return None if before == after else Breach(f"{list(before)} to {list(after)}")


@constraint("Neither input nor output has four dimensions.")
def no_image_is_reshaped(node: Node) -> Breach | None:
    before, after = shape_of(node), output_shape(node)
    if before is None or after is None:
        return UNKNOWN
    return Breach(f"{list(before)} to {list(after)}") if 4 in (len(before), len(after)) else None


@constraint("Of three dimensions, the second and third are not as long as each other.")
def channels_and_length_differ(node: Node) -> Breach | None:
    shape = shape_of(node)
    if shape is None:
        return UNKNOWN
    return Breach(f"{shape[1]} of each") if len(shape) == 3 and shape[1] == shape[2] else None


@constraint("Every output has the same shape.")
def parts_are_equal(node: Node) -> Breach | None:
    shapes = [tensor.shape for tensor in node.outputs]
    if None in shapes:
        return UNKNOWN
    return None if len(set(shapes)) == 1 else Breach(f"parts {[list(shape or ()) for shape in shapes]}")


@constraint("All sides of the output but one are 1.")
def output_is_one_row(node: Node) -> Breach | None:
    shape = output_shape(node)
    if shape is None:
        return UNKNOWN
    return None if sum(side > 1 for side in shape) <= 1 else Breach(f"an output of {list(shape)}")


@constraint("The output of rank 4 is higher than one row.")
def output_is_higher_than_one(node: Node) -> Breach | None:
    shape = output_shape(node)
    if shape is None:
        return UNKNOWN
    return Breach(f"an output of {list(shape)}") if len(shape) == 4 and shape[2] == 1 else None


@constraint("The output has at most 16,000 numbers.")
def output_has_16000_numbers_at_most(node: Node) -> Breach | None:
    shape = output_shape(node)
    if shape is None:
        return UNKNOWN
    count = math.prod(shape)
    return None if count <= 16_000 else Breach(f"an output of {count} numbers")


@constraint("All inputs have the same shape.")
def inputs_share_a_shape(node: Node) -> Breach | None:
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    known = [shape for shape in shapes if shape is not None]
    if len({*known}) > 1:
        return Breach(" and ".join(str(list(shape)) for shape in known))
    return None if len(known) == len(shapes) else UNKNOWN


@constraint("All inputs have the same number of dimensions.")
def inputs_share_a_rank(node: Node) -> Breach | None:
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    ranks = [len(shape) for shape in shapes if shape is not None]
    if len({*ranks}) > 1:
        return Breach("ranks " + " and ".join(map(str, ranks)))
    return None if len(ranks) == len(shapes) else UNKNOWN


@constraint("Every input has two dimensions or more.")
def inputs_are_matrices(node: Node) -> Breach | None:
    for tensor in node.inputs:
        if tensor is not None and tensor.shape is None:
            return UNKNOWN
        if tensor is not None and tensor.rank < 2:
            return Breach(f"'{tensor.name}' has rank {tensor.rank}")
    return None


@constraint("Both matrices have the same sides but for the last two.")
def batches_are_equal(node: Node) -> Breach | None:
    shapes = [tensor.shape for tensor in node.inputs[:2] if tensor is not None]
    left, right = (*shapes, None, None)[:2]
    if left is None or right is None:
        return UNKNOWN
    return None if left[:-2] == right[:-2] else Breach(f"{list(left)} times {list(right)}")


@constraint("The second input holds one number.")
def second_input_is_one_number(node: Node) -> Breach | None:
    second = given(node, 1)
    if second is None or second.shape is None:
        return UNKNOWN
    return None if math.prod(second.shape) == 1 else Breach(f"a second input of shape {list(second.shape)}")


@constraint("The second input holds one number per channel of the first.")
def second_input_is_one_per_channel(node: Node) -> Breach | None:
    second, data = given(node, 1), shape_of(node)
    if second is None or second.shape is None or data is None:
        return UNKNOWN
    full = (1,) * (len(data) - second.rank) + second.shape
    fits = len(full) == len(data) > 1 and full[1] == data[1] and math.prod(full) == full[1]
    return None if fits else Breach(f"{list(second.shape)} for data of shape {list(data)}")


@constraint("The second input has two dimensions.")
def second_input_is_a_matrix(node: Node) -> Breach | None:
    second = given(node, 1)
    if second is None or second.shape is None:
        return UNKNOWN
    return None if second.rank == 2 else Breach(f"'{second.name}' has rank {second.rank}")


@constraint("The indices have one dimension.")
def indices_form_a_list(node: Node) -> Breach | None:
    indices = given(node, 1)
    if indices is None or indices.shape is None:
        return UNKNOWN
    return None if indices.rank == 1 else Breach(f"indices of rank {indices.rank}")


@constraint("A single index is picked.")
def one_index_is_picked(node: Node) -> Breach | None:
    indices = given(node, 1)
    if indices is None or indices.shape is None:
        return UNKNOWN
    return None if math.prod(indices.shape) == 1 else Breach(f"indices of shape {list(indices.shape)}")


@constraint("An output of four dimensions is more than one wide.")
def output_is_wider_than_one(node: Node) -> Breach | None:
    shape = output_shape(node)
    if shape is None:
        return UNKNOWN
    return Breach(f"an output of {list(shape)}") if len(shape) == 4 and shape[3] == 1 else None


@constraint("There is one image: the first axis is 1 long.")
def batch_is_one(node: Node) -> Breach | None:
    shape = shape_of(node)
    if shape is None:
        return UNKNOWN
    return Breach(f"a batch of {shape[0]}") if shape and shape[0] != 1 else None
