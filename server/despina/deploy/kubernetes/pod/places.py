"""Ports and folders of a pod; the manifests and the processes in it agree on them here."""

from pathlib import Path

LOOPBACK = "127.0.0.1"
SERVER_PORT = 8000
METRICS_PORT = 8002
SCORE_PORT = 5001
GATE_PORT = 8080
PROBE_PORT = 8081

CONFIG_FOLDER = Path("/etc/despina/service")
SERVICE_FILE = "service.json"
SOURCE_FILE = "source.tar.gz"
KEYS_FOLDER = Path("/etc/despina/keys")
CLAIM_FOLDER = Path("/mnt/models")

WORK_FOLDER = Path("/var/despina")
BLOBS_FOLDER = WORK_FOLDER / "blobs"
APP_ROOT = WORK_FOLDER / "app"
