"""Finding a configuration by measuring: `despina tune`."""
