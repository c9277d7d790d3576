"""Traces of requests: what is sampled, what is stamped, and where it is written."""
