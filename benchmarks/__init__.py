"""The harness: load generators, models, servers side by side, and the tables they end up in. Start at `__main__`."""
