from dataclasses import replace

import pytest
from tests.support.serving import free_port

from despina.errors import Unavailable
from despina.http.workers.supervisor import next_delay, reserve_port
from despina.settings import Settings


@pytest.mark.parametrize(
    ("last_s", "lived_s", "next_s"), [(0, 1, 0.1), (0.1, 0, 0.2), (0.2, 9, 0.4), (4, 1, 5), (5, 1, 5), (5, 20, 0)]
)
def test_front_ends_that_end_early_are_replaced_ever_later(last_s: float, lived_s: float, next_s: float) -> None:
    assert next_delay(last_s, lived_s) == next_s


def test_a_port_is_reserved_for_one_server_and_shared_only_where_that_is_wanted() -> None:
    settings = Settings(model_repository=(), http_address="127.0.0.1", http_port=free_port(), http_workers=2)
    with reserve_port(settings):
        for address in ("127.0.0.1", "0.0.0.0"):
            with pytest.raises(Unavailable, match="already in use"):
                reserve_port(replace(settings, http_address=address))
    sharing = replace(settings, reuse_http_port=True)
    with reserve_port(sharing), reserve_port(sharing):
        pass
