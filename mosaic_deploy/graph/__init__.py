"""ONNX graphs: read, described, indexed, run, cut and rewritten."""
