"""ONNX files read safely: bytes, names, tensors, shapes."""
