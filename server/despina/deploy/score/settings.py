"""What the environment says about an entry script and its server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from despina.errors import InvalidArgument, NotFound

CONFIG_FILE = "AZUREML_CONFIG_FILE"


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """Paths are absolute. `entry_script` None means the module `main` in `app_root`."""

    app_root: Path
    entry_script: Path | None = None
    source_directory: Path | None = None
    model_directory: Path | None = None
    worker_count: int = 1
    worker_timeout_seconds: int = 300
    worker_preload: bool = False
    scoring_timeout_ms: int = 3_600_000
    cors_origins: tuple[str, ...] = ()
    service_name: str = "ML service"
    service_version: str = "1.0"
    path_prefix: str = ""
    log_level: str = "INFO"
    report_version: bool = True


def read_settings(environment: Mapping[str, str], directory: Path) -> ScoreSettings:
    """Settings from variables, completed by the JSON file of `AZUREML_CONFIG_FILE` or `config.json` in the app root.

    `directory` is the app root where `AML_APP_ROOT` is not set. Raises NotFound: a settings file that was named does
    not exist. Raises InvalidArgument: a value that is not what it should be, or a settings file that is not a JSON
    object.
    """
    app_root = (directory / environment.get("AML_APP_ROOT", ".")).resolve()
    values = {**_read_file(environment.get(CONFIG_FILE), app_root), **environment}
    source = values.get("AZUREML_SOURCE_DIRECTORY")
    script = values.get("AZUREML_ENTRY_SCRIPT")
    model = values.get("AZUREML_MODEL_DIR")
    return ScoreSettings(
        app_root=app_root,
        entry_script=(app_root / script) if script else None,
        source_directory=(app_root / source) if source else None,
        model_directory=(app_root / model) if model else None,
        worker_count=_integer(values, "WORKER_COUNT", 1),
        worker_timeout_seconds=_integer(values, "WORKER_TIMEOUT", 300),
        worker_preload=values.get("WORKER_PRELOAD", "false").lower() == "true",
        scoring_timeout_ms=_integer(values, "SCORING_TIMEOUT_MS", 3_600_000),
        cors_origins=_list(values.get("AML_CORS_ORIGINS", "")),
        service_name=values.get("SERVICE_NAME", "ML service"),
        service_version=values.get("SERVICE_VERSION", "1.0"),
        path_prefix=values.get("SERVICE_PATH_PREFIX", "").strip("/"),
        log_level=values.get("AZUREML_LOG_LEVEL", "INFO").upper(),
        report_version=values.get("SERVER_VERSION_LOG_RESPONSE_ENABLED", "true").lower() == "true",
    )


def _read_file(named: str | None, app_root: Path) -> dict[str, str]:
    path = Path(named) if named else app_root / "config.json"
    if named and not path.is_file():
        raise NotFound(f"settings file {path} does not exist; correct {CONFIG_FILE} (--config-file)")
    if not path.is_file() or path.stat().st_size == 0:
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidArgument(f"settings file {path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InvalidArgument(f"settings file {path} is not a JSON object")
    return {key: str(value) for key, value in content.items()}


def _integer(values: Mapping[str, str], name: str, default: int) -> int:
    text = values.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise InvalidArgument(f"{name}={text}: expected an integer from 1 up")
    return int(text)


def _list(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())
