"""Biases that several nodes share."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType

from mosaic_deploy.quantize.cpu_style import insert
from mosaic_deploy.quantize.qdq import Insertion
from mosaic_deploy.quantize.shared_biases import separate_biases

NAMES = ("image", "norm", "norm0", "bias0", "y")
"""ONNX Runtime's quantiser would call its copy of the bias like one of these tensors."""


def network() -> onnx.ModelProto:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 4, 8, 8] image) => (float[1, 4, 8, 8] y) {
            norm = InstanceNormalization(image, scale, bias)
            norm0 = InstanceNormalization(norm, scale, bias)
            bias0 = Tanh(norm0)
            y = Conv(bias0, weight, bias)
        }
    """)
    for node in model.graph.node:
        node.name = node.output[0]
    arrays = {"scale": np.ones(4), "bias": np.arange(4), "weight": np.eye(4).reshape(4, 4, 1, 1)}
    for name, values in arrays.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    return model


def test_each_node_gets_its_own_and_computes_the_same() -> None:
    model, before = network(), network()
    separate_biases(model)
    read = [node.input[2] for node in model.graph.node if len(node.input) > 2]
    assert len(set(read)) == len(read) == 3
    image = np.random.default_rng(1).normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    sessions = [onnxruntime.InferenceSession(m.SerializeToString()) for m in (before, model)]
    ours, theirs = (session.run(None, {"image": image})[0] for session in sessions)
    assert np.array_equal(ours, theirs)
    once = model.SerializeToString()
    separate_biases(model)
    assert model.SerializeToString() == once


def test_a_quantised_graph_reads_the_bias_and_no_other_tensor() -> None:
    ranges = {name: (np.float32(-6), np.float32(6)) for name in NAMES}
    recipe = {"weights": {"symmetric": True, "per_channel": True}, "activations": {"symmetric": False}}
    model = onnx.shape_inference.infer_shapes(network())
    made = insert(Insertion(model, ranges, recipe, QuantType.QInt8, QuantType.QUInt8))
    image = np.random.default_rng(1).normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    graphs = (network().SerializeToString(), made.SerializeToString())
    floats, integers = (
        onnxruntime.InferenceSession(graph, options).run(None, {"image": image})[0] for graph in graphs
    )
    assert np.abs(floats - integers).max() < 0.2
