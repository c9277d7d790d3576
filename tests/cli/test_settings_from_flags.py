from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import despina
from despina.cli.flags import FLAGS
from despina.cli.settings_from_flags import read_command_line
from despina.cli.values import CommandLineError
from despina.settings import RateLimitResource, Settings


def settings(*words: str) -> Settings:
    return read_command_line(("--model-repository=models", *words)).settings


def warnings(*words: str) -> tuple[str, ...]:
    return read_command_line(("--model-repository=models", *words)).warnings


def refusal(*words: str) -> str:
    with pytest.raises(CommandLineError) as caught:
        settings(*words)
    return caught.value.message


def test_every_setting_is_read_by_the_server() -> None:
    package = Path(despina.__file__).parent
    sources = [path for path in package.rglob("*.py") if path.name != "settings.py" and path.parent.name != "cli"]
    read = "".join(path.read_text() for path in sources)
    names = [field.name for field in fields(Settings)]
    assert [name for name in names if f"settings.{name}" not in read] == []


def test_the_shortest_command_line_gives_every_default() -> None:
    assert settings() == Settings(model_repository=(Path("models"),))


def test_defaults_are_those_of_the_newest_tritonserver() -> None:
    defaults = Settings()
    assert (defaults.http_port, defaults.metrics_port, defaults.http_address) == (8000, 8002, "0.0.0.0")
    assert (defaults.allow_grpc, defaults.grpc_port, defaults.grpc_address) == (True, 8001, "0.0.0.0")
    assert (defaults.grpc_infer_response_compression_level, defaults.grpc_max_connection_age) == ("none", 0)
    assert (defaults.http_max_input_size, defaults.allow_client_shm) == (67_108_864, False)
    assert (defaults.exit_timeout_secs, defaults.model_load_thread_count) == (30, 4)


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("--id=me", "id", "me"),
        ("--exit-timeout-secs=5", "exit_timeout_secs", 5),
        ("--log-verbose=true", "log_verbose", 1),
        ("--log-info=off", "log_info", False),
        ("--log-format=ISO8601", "log_format", "ISO8601"),
        ("--log-file=x.log", "log_file", "x.log"),
        ("--exit-on-error=0", "exit_on_error", False),
        ("--disable-auto-complete-config", "strict_model_config", True),
        ("--strict-readiness=false", "strict_readiness", False),
        ("--model-control-mode=Explicit", "model_control_mode", "explicit"),
        ("--model-config-name=small", "model_config_name", "small"),
        ("--http-port=0", "http_port", 0),
        ("--reuse-http-port=1", "reuse_http_port", True),
        ("--http-header-forward-pattern=x-.*", "http_header_forward_pattern", "x-.*"),
        ("--http-max-input-size=1", "http_max_input_size", 1),
        ("--allow-client-shm=true", "allow_client_shm", True),
        ("--allow-grpc=false", "allow_grpc", False),
        ("--grpc-address=ipv6:[::1]", "grpc_address", "::1"),
        ("--grpc-port=9001", "grpc_port", 9001),
        ("--reuse-grpc-port=1", "reuse_grpc_port", True),
        ("--grpc-header-forward-pattern=x-.*", "grpc_header_forward_pattern", "x-.*"),
        ("--grpc-server-cert=c.pem", "grpc_server_cert", Path("c.pem")),
        ("--grpc-server-key=k.pem", "grpc_server_key", Path("k.pem")),
        ("--grpc-root-cert=r.pem", "grpc_root_cert", Path("r.pem")),
        ("--grpc-infer-response-compression-level=High", "grpc_infer_response_compression_level", "high"),
        ("--grpc-max-connection-age=5000", "grpc_max_connection_age", 5000),
        ("--grpc-max-connection-age-grace=7", "grpc_max_connection_age_grace", 7),
        (
            "--grpc-restricted-protocol=health,trace:k=v",
            "grpc_restricted_protocol",
            {"health": ("triton-grpc-protocol-k", "v"), "trace": ("triton-grpc-protocol-k", "v")},
        ),
        ("--allow-metrics=false", "allow_gpu_metrics", False),
        ("--metrics-interval-ms=1.5", "metrics_interval_ms", 1.5),
        ("--metrics-interval-ms=0", "metrics_interval_ms", 0.0),
        ("--rate-limit=execution_count", "rate_limit", "execution_count"),
        ("--pinned-memory-pool-byte-size=0", "pinned_memory_pool_byte_size", 0),
        ("--min-supported-compute-capability=7.5", "min_supported_compute_capability", 7.5),
        ("--api-key=a", "api_key", ("a",)),
        ("--model-name=m", "model_name", "m"),
        ("--kserve", "kserve", True),
        ("--max-queue-rows=7", "max_queue_rows", 7),
        ("--max-queue-bytes=8", "max_queue_bytes", 8),
        ("--metrics-on-http", "metrics_on_http", True),
        ("--response-compression=false", "response_compression", False),
        ("--http-workers=2", "http_workers", 2),
        ("--http-max-arriving-bytes=9", "http_max_arriving_bytes", 9),
        ("--http-restricted-api=health:k=v", "http_restricted_api", {"health": ("k", "v")}),
        ("--rate-limit-resource=r:1:0", "rate_limit_resource", (RateLimitResource("r", 1, 0),)),
    ],
)
def test_a_flag_sets_its_field(word: str, field: str, value: object) -> None:
    assert getattr(settings(word), field) == value


def test_every_field_has_a_flag() -> None:
    assert {field.name for field in fields(Settings)} - {flag.field for flag in FLAGS} == {"grpc_required"}


def test_the_last_occurrence_wins() -> None:
    assert settings("--http-port=1", "--http-port=2").http_port == 2


def test_repositories_collect_under_both_names_and_lose_duplicates() -> None:
    paths = settings("--model-store=b", "--model-repository=a", "--model-repository=b").model_repository
    assert paths == (Path("a"), Path("b"), Path("models"))


def test_poll_seconds_count_only_in_poll_mode() -> None:
    assert settings("--repository-poll-secs=3").repository_poll_secs == 0
    assert settings("--model-control-mode=poll").repository_poll_secs == 15
    assert settings("--model-control-mode=poll", "--repository-poll-secs=3").repository_poll_secs == 3


@pytest.mark.parametrize("service", ["metrics", "grpc"])
def test_metrics_and_grpc_listen_where_http_does(service: str) -> None:
    def address(*words: str) -> object:
        return getattr(settings(*words), f"{service}_address")

    assert address("--http-address=127.0.0.1") == "127.0.0.1"
    assert address("--http-address=127.0.0.1", f"--{service}-address=::1") == "::1"
    assert address("--http-address=ipv6:[::1]") == "::1"


@pytest.mark.parametrize(
    ("words", "required"),
    [
        ((), False),
        (("--http-address=127.0.0.1", "--reuse-grpc-port=true"), False),
        (("--allow-grpc=true",), True),
        (("--grpc-port=8001",), True),
        (("--grpc-address=127.0.0.1",), True),
        (("--allow-grpc=false", "--grpc-port=8001"), False),
    ],
)
def test_grpc_is_required_where_it_was_asked_for(words: tuple[str, ...], required: bool) -> None:
    assert settings(*words).grpc_required is required


TLS = ("--grpc-server-cert=c.pem", "--grpc-server-key=k.pem")


def test_certificates_of_clients_are_a_matter_of_tls() -> None:
    given = settings("--grpc-use-ssl-mutual=true", "--grpc-root-cert=r.pem", *TLS)
    assert (given.grpc_use_ssl, given.grpc_use_ssl_mutual) == (True, True)
    assert settings("--grpc-use-ssl=true", *TLS).grpc_use_ssl_mutual is False


@pytest.mark.parametrize("word", ["--grpc-use-ssl=true", "--grpc-use-ssl-mutual=true"])
def test_grpc_over_tls_needs_a_certificate_with_its_key(word: str) -> None:
    for given in ((), TLS[:1], TLS[1:]):
        assert refusal(word, *given) == (
            "Error: Use of '--grpc-use-ssl' requires '--grpc-server-cert' and '--grpc-server-key' as well."
        )
    assert not settings(word, "--allow-grpc=false").allow_grpc


def test_what_clients_are_checked_against_is_needed_to_check_them() -> None:
    text = "Error: Use of '--grpc-use-ssl-mutual' requires '--grpc-root-cert' as well."
    assert refusal("--grpc-use-ssl-mutual=true", *TLS) == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--grpc-use-ssl=true", *TLS), ()),
        (TLS, ("'--grpc-server-cert' has no effect without '--grpc-use-ssl=true'",)),
        (
            ("--grpc-use-ssl=true", "--grpc-root-cert=r.pem", *TLS),
            ("'--grpc-root-cert' has no effect without '--grpc-use-ssl-mutual=true': any client is let in",),
        ),
        (("--http-tls-cert=c.pem", "--http-tls-key=k.pem"), ()),  # gRPC takes them, too
        (("--allow-grpc=false", *TLS), ()),
        (
            ("--http-restricted-api=trace:k=v",),
            (
                "'--http-restricted-api' restricts nothing that comes by gRPC: give '--grpc-restricted-protocol', "
                "too, or '--allow-grpc=false'",
            ),
        ),
        (("--http-restricted-api=trace:k=v", "--grpc-restricted-protocol=trace:k=v"), ()),
        (("--http-restricted-api=trace:k=v", "--allow-grpc=false"), ()),
    ],
)
def test_what_leaves_a_door_open_that_was_to_be_shut_is_said(words: tuple[str, ...], said: tuple[str, ...]) -> None:
    assert warnings(*words) == tuple(f"Warning: {text}" for text in said)


def test_keys_come_from_the_command_line_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("b\na\n")
    assert settings("--api-key=a", f"--api-key-file={tmp_path / 'keys'}").api_key == ("a", "b")


def test_backend_settings_by_backend() -> None:
    given = settings("--backend-config=onnxruntime,a=1", "--backend-config=a=2", "--backend-config=onnxruntime,b=3")
    assert given.backend_config == {"onnxruntime": {"a": "1", "b": "3"}, "": {"a": "2"}}


def test_trace_settings_by_mode() -> None:
    given = settings(
        "--trace-config=rate=1",
        "--trace-config=rate=2",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=level=TENSORS",
        "--trace-config=triton,file=t.json",
        "--trace-config=opentelemetry,url=http://collector",
        "--trace-config=opentelemetry,resource=service.name=a",
        "--trace-config=opentelemetry,resource=service.version=1",
    )
    assert given.trace_config == {
        "": {"rate": ("2",), "level": ("TIMESTAMPS", "TENSORS")},
        "triton": {"file": ("t.json",)},
        "opentelemetry": {"url": ("http://collector",), "resource": ("service.name=a", "service.version=1")},
    }


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("--trace-config=rate=x", "Invalid option value. Got x"),
        ("--trace-config=level=ALL", "invalid level 'ALL'"),
        ("--trace-config=zipkin,url=x", "unknown mode 'zipkin'"),
        ("--cache-config=size=1", "--cache-config option format is"),
        ("--cache-config=redis,host=x", "there is no cache 'redis' here"),
        ("--cache-config=local,size=x", "--cache-config=local,size: Invalid option value. Got x"),
        ("--http-header-forward-pattern=(", "not a regular expression"),
        ("--grpc-header-forward-pattern=(", "not a regular expression"),
        ("--grpc-restricted-protocol=infer:k=v", "unknown restricted protocol 'infer' ; expected one of health, "),
        ("--grpc-restricted-protocol=health", "--grpc-restricted-protocol option format is '<protocol>[,<protocol>"),
        ("--grpc-infer-response-compression-level=max", "argument for --grpc_infer_response_compression_level: max"),
        ("--grpc-max-connection-age=-1", "Invalid option value. Got -1"),
        ("--http-max-input-size=0", "Error: --http-max-input-size must be greater than 0."),
        ("--load-model=a", "Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well."),
        ("--http-tls-cert=c.pem", "need each other"),
        ("--http-tls-client-ca=c.pem", "requires '--http-tls-cert'"),
        ("--model-load-thread-count=0", "Invalid option value. Got 0"),
    ],
)
def test_refusals(word: str, text: str) -> None:
    assert text in refusal(word)


def test_settings_that_nobody_knows_have_no_effect_as_in_tritonserver_and_that_is_said() -> None:
    words = ("--trace-config=speed=1", "--trace-config=triton,x=1", "--trace-config=rate=2", "--metrics-config=y=true")
    cache = ("--cache-config=local,size=1024", "--cache-config=local,z=1")
    given = settings(*words, *cache)
    assert given.trace_config == {"": {"rate": ("2",)}}
    assert (given.metrics_config, given.cache_config) == (Settings().metrics_config, {"local": {"size": "1024"}})
    said = warnings(*words, *cache)
    assert [line.partition(" has no effect: it is unknown; known are ")[0] for line in said] == [
        "Warning: '--trace-config' setting 'speed'",
        "Warning: '--trace-config' setting 'x'",
        "Warning: '--metrics-config' setting 'y'",
        "Warning: '--cache-config' setting 'z'",
    ]


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("--exit-timeout-secs=5s", "exit_timeout_secs", 5),
        ("--pinned-memory-pool-byte-size=256M", "pinned_memory_pool_byte_size", 256),
        ("--metrics-interval-ms=2.5e2ms", "metrics_interval_ms", 250.0),
    ],
)
def test_of_a_number_that_something_follows_the_number_counts_as_in_tritonserver(
    word: str, field: str, value: float
) -> None:
    assert getattr(settings(word), field) == value
    assert f"Warning: '{word}' is read as {value}: what follows the number has no effect" in warnings(word)


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("--trace-config=rate=10x", "trace_config", {"": {"rate": ("10",)}}),
        ("--trace-config=triton,log-frequency=10s", "trace_config", {"triton": {"log-frequency": ("10",)}}),
        ("--cache-config=local,size=10M", "cache_config", {"local": {"size": "10"}}),
    ],
)
def test_so_does_that_of_a_setting(word: str, field: str, value: object) -> None:
    assert getattr(settings(word), field) == value
    assert warnings(word) == (f"Warning: '{word}' is read as 10: what follows the number has no effect",)


def test_a_number_of_our_own_flags_is_a_number() -> None:
    assert "Got 1G; expected an integer" in refusal("--http-max-arriving-bytes=1G")


def test_two_caches_are_refused() -> None:
    text = "found multiple cache configurations, but only a single cache is currently supported"
    assert text in refusal("--cache-config=local,size=1", "--cache-config=redis,host=x")


def test_an_api_may_be_restricted_once() -> None:
    text = refusal("--http-restricted-api=health,trace:k=v", "--http-restricted-api=trace:k=w")
    assert text == "restricted api 'trace' can not be specified in multiple config groups"
    text = refusal("--grpc-restricted-protocol=health,trace:k=v", "--grpc-restricted-protocol=trace:k=w")
    assert text == "restricted protocol 'trace' can not be specified in multiple config groups"


def test_the_wildcard_stands_alone() -> None:
    text = refusal("--model-control-mode=explicit", "--load-model=*", "--load-model=a")
    assert text == "Wildcard model name '*' must be the ONLY startup model if specified at all."
    assert settings("--model-control-mode=explicit", "--load-model=*").load_model == ("*",)


def test_two_services_need_two_ports() -> None:
    said = "The server cannot listen to {} requests and {} requests at the same address and port {}"
    assert refusal("--http-port=8002") == said.format("HTTP", "metrics", "0.0.0.0:8002")
    assert refusal("--http-port=8001", "--allow-grpc=true") == said.format("HTTP", "GRPC", "0.0.0.0:8001")
    assert settings("--http-port=8001").http_port == 8001  # nobody has asked for gRPC there
    assert refusal("--grpc-port=8002", "--http-address=::1") == said.format("GRPC", "metrics", "::1:8002")
    assert settings("--http-port=8001", "--grpc-address=127.0.0.1").http_port == 8001
    assert settings("--http-port=8001", "--allow-grpc=false").http_port == 8001
    assert settings("--grpc-port=8000", "--allow-http=false").grpc_port == 8000
    assert settings("--http-port=8002", "--allow-metrics=false").http_port == 8002
    assert settings("--http-port=0", "--metrics-port=0", "--grpc-port=0").metrics_port == 0


def test_a_repository_is_needed() -> None:
    with pytest.raises(CommandLineError, match="--model-repository must be specified"):
        read_command_line(())
    assert read_command_line(("--exit-on-error=false",)).settings.model_repository == ()


@pytest.mark.parametrize(
    "words",
    [
        ("--allow-grpc=false",),
        ("--allow-sagemaker=false",),
        ("--model-namespacing", "0"),
        ("--http-thread-count=8",),
        ("--reuse-grpc-port=false", "--grpc-use-ssl=false", "--grpc-use-ssl-mutual=false"),
        ("--grpc-keepalive-permit-without-calls=false", "--enable-peer-access=true"),
        ("--grpc-infer-thread-count=2", "--grpc-infer-allocation-pool-size=8"),
        ("--grpc-max-response-pool-size=2147483647", "--grpc-keepalive-time=7200000"),
        ("--grpc-http2-max-ping-strikes=2", "--grpc-http2-min-recv-ping-interval-without-data=300000"),
        ("--sagemaker-port=8080", "--sagemaker-thread-count=8", "--vertex-ai-port=8080", "--vertex-ai-thread-count=8"),
    ],
)
def test_foreign_flags_that_ask_for_nothing_are_silent(words: tuple[str, ...]) -> None:
    assert warnings(*words) == ()


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("--allow-sagemaker=1", "SageMaker"),
        ("--allow-vertex-ai=on", "Vertex AI"),
        ("--model-namespacing=true", "unique across all repositories"),
        ("--model-load-gpu-limit=0:0.5", "gpu_mem_limit"),
    ],
)
def test_foreign_flags_that_ask_for_something_are_refused(word: str, reason: str) -> None:
    text = refusal(word)
    assert text.startswith(f'Bad option: "{word.partition("=")[0]}".\nNot offered here: ')
    assert reason in text


def test_foreign_flags_that_tune_are_accepted_with_one_warning() -> None:
    words = ("--grpc-infer-thread-count=4", "--grpc-keepalive-time=1", "--grpc-keepalive-time=2")
    assert warnings(*words) == (
        "Warning: '--grpc-infer-thread-count' has no effect: one event loop reads all connections",
        "Warning: '--grpc-keepalive-time' has no effect: the server sends no pings of its own; those of clients are "
        "answered",
    )


def test_a_server_without_http_and_grpc_has_no_clients_which_is_said() -> None:
    assert warnings("--allow-http=false") == ()
    assert warnings("--allow-grpc=false") == ()
    assert warnings("--allow-http=false", "--allow-grpc=false") == (
        "Warning: '--allow-http=false' and '--allow-grpc=false' leave clients no way to a model",
    )


def test_a_size_of_the_pinned_pool_is_no_limit_here_which_is_said() -> None:
    (warning,) = warnings("--pinned-memory-pool-byte-size=0")
    assert warning.startswith("Warning: '--pinned-memory-pool-byte-size' has no effect: ")
    assert warnings("--pinned-memory-pool-byte-size=268435456") == ()


def test_strict_model_config_still_works() -> None:
    line = read_command_line(("--model-repository=m", "--strict-model-config=true"))
    assert line.settings.strict_model_config
    assert line.warnings == (
        "Warning: '--strict-model-config' has been deprecated! Please use '--disable-auto-complete-config' instead.",
    )


def test_auto_complete_stays_off_whatever_the_deprecated_flag_says() -> None:
    line = read_command_line(("--model-repository=m", "--disable-auto-complete-config", "--strict-model-config=false"))
    assert line.settings.strict_model_config
    assert line.warnings[-1] == (
        "Warning: Overriding deprecated '--strict-model-config' from False to True in favor of "
        "'--disable-auto-complete-config'!"
    )


def test_response_cache_byte_size_is_a_local_cache() -> None:
    assert settings("--response-cache-byte-size=10").cache_config == {"local": {"size": "10"}}
    assert settings("--response-cache-byte-size=0").cache_config == {}
    assert refusal("--response-cache-byte-size=10", "--cache-config=local,size=10") == (
        "Error: Incompatible flags --response-cache-byte-size and --cache-config both provided. "
        "Please provide one or the other."
    )


def test_deprecated_trace_flags_are_trace_settings() -> None:
    words = ("--trace-file=t", "--trace-level=MAX", "--trace-rate=5", "--trace-count=-1", "--trace-log-frequency=7")
    expected: dict[str, Any] = {
        "": {"rate": ("5",), "count": ("-1",), "level": ("TIMESTAMPS",)},
        "triton": {"file": ("t",), "log-frequency": ("7",)},
    }
    assert settings(*words).trace_config == expected
    assert refusal("--trace-rate=5", "--trace-config=rate=5").startswith(
        "Error: Incompatible flags --trace-* and --trace-config both provided."
    )
