"""tritonserver's ONNX Runtime backend, which no package carries, compiled from its public sources."""
