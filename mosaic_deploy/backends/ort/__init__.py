"""ONNX Runtime mobile: ORT files with its mobile kernels."""
