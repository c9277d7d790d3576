"""Despina: an inference server for ONNX models that speaks Triton's v2 protocol."""

__version__ = "0.1.0"
