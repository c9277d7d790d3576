"""The flags of gRPC: those that are followed, and those of tritonserver that tune what is done differently here."""

from functools import partial
from pathlib import Path

from despina.cli import values as v
from despina.cli.flag import Flag

_FOLLOWED = (
    Flag("allow-grpc", "GRPC", "<boolean>", v.boolean, "Serve gRPC."),
    Flag("grpc-address", "GRPC", "<string>", v.address, "Address gRPC listens at.", "as http-address"),
    Flag("grpc-port", "GRPC", "<integer>", v.port, "Port gRPC listens at; 0 takes a free one."),
    Flag("reuse-grpc-port", "GRPC", "<boolean>", v.boolean, "Share the port with other servers (SO_REUSEPORT)."),
    Flag("grpc-header-forward-pattern", "GRPC", "<string>", v.pattern, "Metadata to forward as request parameters."),
    Flag("grpc-use-ssl", "GRPC", "<boolean>", v.boolean, "gRPC over TLS."),
    Flag("grpc-use-ssl-mutual", "GRPC", "<boolean>", v.boolean, "The same, and clients must show a certificate."),
    Flag("grpc-server-cert", "GRPC", "<string>", Path, "Certificate chain (PEM) for --grpc-use-ssl."),
    Flag("grpc-server-key", "GRPC", "<string>", Path, "Key of the certificate (PEM)."),
    Flag("grpc-root-cert", "GRPC", "<string>", Path, "Certificates of clients must be signed by one of these (PEM)."),
    Flag(
        "grpc-infer-response-compression-level",
        "GRPC",
        "<string>",
        v.compression_level,
        "How much answers to inference are compressed: none, low, medium or high.",
    ),
    Flag(
        "grpc-max-connection-age",
        "GRPC",
        "<integer>",
        v.natural,
        "Milliseconds after which a client is asked to connect anew; 0: never.",
    ),
    Flag(
        "grpc-max-connection-age-grace",
        "GRPC",
        "<integer>",
        v.natural,
        "Milliseconds that calls under way have then; 0: as many as they need.",
    ),
    Flag(
        "grpc-restricted-protocol",
        "GRPC",
        "<<string>:<string>=<string>>",
        partial(v.restriction, "protocol"),
        "Demand metadata triton-grpc-protocol-<key> for some protocols: <protocol>[,<protocol>]:<key>=<value>; "
        "repeatable.",
        repeats=True,
    ),
)

_NO_POOL = "nothing is kept of a request once it is answered"
_NO_PINGS = "the server sends no pings of its own; those of clients are answered"
_NOT_COUNTED = "a client may send as many pings as it likes"

_IGNORED = (
    Flag(
        "grpc-infer-thread-count",
        "GRPC",
        "<integer>",
        v.integer,
        default=2,
        inert="one event loop reads all connections",
    ),
    Flag("grpc-infer-allocation-pool-size", "GRPC", "<integer>", v.integer, default=8, inert=_NO_POOL),
    Flag("grpc-max-response-pool-size", "GRPC", "<integer>", v.integer, default=(1 << 31) - 1, inert=_NO_POOL),
    Flag("grpc-keepalive-time", "GRPC", "<integer>", v.integer, default=7_200_000, inert=_NO_PINGS),
    Flag("grpc-keepalive-timeout", "GRPC", "<integer>", v.integer, default=20_000, inert=_NO_PINGS),
    Flag("grpc-keepalive-permit-without-calls", "GRPC", "<boolean>", v.boolean, default=False, inert=_NO_PINGS),
    Flag("grpc-http2-max-pings-without-data", "GRPC", "<integer>", v.integer, default=2, inert=_NO_PINGS),
    Flag(
        "grpc-http2-min-recv-ping-interval-without-data",
        "GRPC",
        "<integer>",
        v.integer,
        default=300_000,
        inert=_NOT_COUNTED,
    ),
    Flag("grpc-http2-max-ping-strikes", "GRPC", "<integer>", v.integer, default=2, inert=_NOT_COUNTED),
)

GRPC_FLAGS = (*_FOLLOWED, *_IGNORED)
