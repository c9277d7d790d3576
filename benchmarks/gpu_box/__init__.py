"""GPU tests and GPU benchmark on a machine without a network: see README.md."""
