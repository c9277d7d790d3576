"""Why there is nothing to measure here."""


class Problem(Exception):
    """One sentence for the person who started the run."""
