"""Where services run: on this machine, or in a cluster."""
