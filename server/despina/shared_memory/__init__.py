"""Memory that clients share with the server: regions by name, in system memory and on GPUs (protocol §1.12, §1.13)."""
