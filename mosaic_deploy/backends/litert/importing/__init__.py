"""TFLite files of float networks, read as ONNX."""
