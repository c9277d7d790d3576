"""Services around the inference server: registered models, deployments, score workers, keys."""
