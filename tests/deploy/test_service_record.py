import pytest

from despina.deploy.service import Mode
from despina.deploy.service_record import uri_of_script
from despina.errors import Unavailable, Unsupported

URI = "http://localhost:6789"


def test_input_is_posted_to_the_script() -> None:
    assert uri_of_script("svc", Mode.DEFAULT, f"{URI}/score") == f"{URI}/score"


@pytest.mark.parametrize("root", [URI, f"{URI}/"])
def test_service_without_a_script_says_where_it_answers(root: str) -> None:
    with pytest.raises(Unsupported, match=f"it answers below {URI}/v2/, requests for inference at {URI}/v2/models/"):
        uri_of_script("svc", Mode.DIRECT, root)


def test_service_without_an_address_says_so() -> None:
    with pytest.raises(Unavailable, match="has no address yet"):
        uri_of_script("svc", Mode.DEFAULT, None)
