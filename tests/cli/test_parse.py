from pathlib import Path

import pytest

from despina.cli.flags import FLAGS
from despina.cli.parse import find_flag, parse
from despina.cli.values import CommandLineError


def pairs(*words: str) -> list[tuple[str, object]]:
    return [(given.flag.name, given.value) for given in parse(words)]


def test_value_behind_an_equals_sign_or_in_the_next_word() -> None:
    assert pairs("--id=a", "--id", "b", "--http-port", "9000") == [("id", "a"), ("id", "b"), ("http-port", 9000)]


def test_a_value_may_be_empty_or_look_like_a_flag() -> None:
    assert pairs("--log-file=", "--id", "--x", "--id=--y") == [("log-file", ""), ("id", "--x"), ("id", "--y")]


def test_a_boolean_flag_with_nothing_behind_it_is_true() -> None:
    assert pairs("--log-info", "--allow-http") == [("log-info", True), ("allow-http", True)]


def test_a_boolean_flag_takes_the_next_word() -> None:
    assert pairs("--log-info", "OFF", "--strict-readiness=1") == [("log-info", False), ("strict-readiness", True)]


def test_a_flag_without_a_value_takes_none() -> None:
    assert pairs("--disable-auto-complete-config") == [("disable-auto-complete-config", True)]
    with pytest.raises(CommandLineError, match="It takes no value"):
        parse(["--disable-auto-complete-config=true"])
    with pytest.raises(CommandLineError, match=r"^Unexpected argument: true$"):
        parse(["--disable-auto-complete-config", "true"])


@pytest.mark.parametrize(
    ("abbreviation", "name"),
    [
        ("model-repo", "model-repository"),
        ("http-p", "http-port"),
        ("model-control", "model-control-mode"),
        ("id", "id"),
        ("grpc-keepalive-time", "grpc-keepalive-time"),
        ("http-t", "http-thread-count"),
        ("model-n", "model-namespacing"),
    ],
)
def test_unambiguous_abbreviations(abbreviation: str, name: str) -> None:
    assert find_flag(abbreviation).name == name


def test_an_ambiguous_abbreviation_lists_what_it_could_mean() -> None:
    with pytest.raises(CommandLineError, match="--log-verbose, --log-info, --log-warning") as caught:
        parse(["--log=true"])
    assert caught.value.message.startswith('Bad option: "--log".\n')


def test_an_unknown_flag_names_the_nearest() -> None:
    with pytest.raises(CommandLineError) as caught:
        parse(["--model-repositry=x"])
    assert caught.value.message == (
        'Bad option: "--model-repositry".\nThere is no such flag; did you mean "--model-repository"?'
    )


@pytest.mark.parametrize("word", ["-x", "--", "--zzzz", "-"])
def test_other_words_with_a_dash_are_unknown(word: str) -> None:
    with pytest.raises(CommandLineError, match="There is no such flag"):
        parse([word])


@pytest.mark.parametrize("word", ["models", 300 * "a"])  # the latter is too long for a path
def test_a_stray_argument_is_refused(word: str) -> None:
    with pytest.raises(CommandLineError, match=rf"^Unexpected argument: {word}$"):
        parse([word])


def test_a_stray_argument_that_is_a_path_is_met_with_the_flag(tmp_path: Path) -> None:
    with pytest.raises(CommandLineError, match=rf"\nDid you mean --model-repository={tmp_path}\?$"):
        parse([str(tmp_path)])


def test_a_missing_value_is_named() -> None:
    with pytest.raises(CommandLineError) as caught:
        parse(["--http-port"])
    assert caught.value.message == 'Bad option: "--http-port".\nA value is missing: --http-port=<integer>'


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("--log-info=maybe", "invalid value for bool option: maybe"),
        ("--http-port=x", "Invalid option value. Got x; expected an integer"),
    ],
)
def test_a_bad_value_names_flag_and_reason(word: str, reason: str) -> None:
    flag = word.partition("=")[0]
    with pytest.raises(CommandLineError) as caught:
        parse([word])
    assert caught.value.message == f'Bad option: "{flag}".\n{reason}'


def test_no_flag_is_listed_twice() -> None:
    names = [flag.name for flag in FLAGS]
    assert len(names) == len(set(names))


TRITONSERVER = """
help id exit-timeout-secs log-verbose log-info log-warning log-error log-format log-file model-store model-repository
exit-on-error disable-auto-complete-config strict-readiness model-control-mode repository-poll-secs load-model
model-config-name model-load-thread-count model-load-retry-count model-namespacing enable-peer-access allow-http
http-address http-port reuse-http-port http-header-forward-pattern http-thread-count http-restricted-api
http-max-input-size allow-client-shm allow-grpc grpc-address grpc-port reuse-grpc-port grpc-header-forward-pattern
grpc-infer-thread-count grpc-infer-allocation-pool-size grpc-max-response-pool-size grpc-use-ssl grpc-use-ssl-mutual
grpc-server-cert grpc-server-key grpc-root-cert grpc-infer-response-compression-level grpc-keepalive-time
grpc-keepalive-timeout grpc-keepalive-permit-without-calls grpc-http2-max-pings-without-data
grpc-http2-min-recv-ping-interval-without-data grpc-http2-max-ping-strikes grpc-max-connection-age
grpc-max-connection-age-grace grpc-restricted-protocol allow-sagemaker sagemaker-port sagemaker-safe-port-range
sagemaker-thread-count allow-vertex-ai vertex-ai-port vertex-ai-thread-count vertex-ai-default-model allow-metrics
allow-gpu-metrics allow-cpu-metrics metrics-address metrics-port metrics-interval-ms metrics-config trace-config
backend-directory backend-config repoagent-directory cache-config cache-directory rate-limit rate-limit-resource
pinned-memory-pool-byte-size cuda-memory-pool-byte-size cuda-virtual-address-size min-supported-compute-capability
buffer-manager-thread-count host-policy model-load-gpu-limit strict-model-config response-cache-byte-size trace-file
trace-level trace-rate trace-count trace-log-frequency
"""


def test_every_flag_of_tritonserver_is_known() -> None:
    assert {flag.name for flag in FLAGS if not flag.own} == set(TRITONSERVER.split())
