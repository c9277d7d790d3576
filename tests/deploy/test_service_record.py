from dataclasses import replace

import pytest

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.service import Mode, ServiceSpec, ServiceState, State
from despina.deploy.service_record import describe, uri_of_script
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


def test_scoring_uri_of_a_server_alone_ends_with_a_slash_where_clusters_end_it() -> None:
    state = ServiceState(State.RUNNING, 1, address="http://ml.example/api/v1/service/svc")
    spec = ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig("aks", compute_target_name="target"))
    shown = describe(spec, state, "home")
    assert (shown["scoringUri"], shown["port"]) == ("http://ml.example/api/v1/service/svc/", None)
    here = replace(spec, port=6789, deployment=DeploymentConfig("aks"))
    assert describe(here, state, "home")["scoringUri"] == "http://localhost:6789/api/v1/service/svc/"
    plain = replace(spec, port=6789, deployment=DeploymentConfig())
    assert describe(plain, state, "home")["scoringUri"] == "http://localhost:6789"
    assert describe(spec, replace(state, address=None), "home")["scoringUri"] is None
