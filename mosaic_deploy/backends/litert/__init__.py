"""LiteRT: onnx2tf, ai-edge-quantizer, XNNPACK, and what builds on them."""
