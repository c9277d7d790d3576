"""How the last request of a connection began: clients send the same again and again, but for the tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import ref

from despina.http.request_head import InferHead

if TYPE_CHECKING:
    from despina.http.request_template import RequestTemplate
    from despina.models.model import Model


@dataclass(frozen=True, slots=True)
class Beginning:
    """The `text` before the tensors of a request without an id, and what it came to. `size` is that of the request. An
    idle connection does not keep a model that is gone."""

    text: bytes
    size: int
    head: InferHead
    model: ref[Model]
    template: RequestTemplate
