"""Certificates for 127.0.0.1."""

import subprocess
from pathlib import Path


def make_certificates(directory: Path) -> None:
    """Write server.pem and client.pem, which sign themselves, and their keys."""
    for name in ("server", "client"):
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        files = ["-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem"]
        extension = ["-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*command, *files, *extension], check=True, capture_output=True)
