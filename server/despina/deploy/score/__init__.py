"""Runs a user's entry script (`init()` and `run()`) behind `/score`.

Nothing here needs more than the base install; only `serve` needs gunicorn (extra `score`).
"""
