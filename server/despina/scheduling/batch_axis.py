"""Tensors of ensembles may go from models that batch to models that do not, and back."""

import numpy as np

from despina_backends.base import Array


def fit_batch_axis(array: Array, rank: int, batches: bool) -> Array:
    """A view of `array` with a batch dimension of 1 added or left out, where that is all that keeps it from what is
    expected: `rank` dimensions, and one more in front of them if `batches`. Anything else comes back as it is."""
    if batches and array.ndim == rank:
        return array[np.newaxis]
    if not batches and array.ndim == rank + 1 and len(array) == 1:
        return array.reshape(array.shape[1:])
    return array
