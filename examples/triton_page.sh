#!/usr/bin/env bash
# High-performance serving, from registering a model to deleting its service, as commands on this machine.
# Needs `despina` (extras cpu and score) and curl. With an attached cluster, `--compute-target NAME` deploys there.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
service=triton-webservice
work=$(mktemp -d)
export DESPINA_HOME=${DESPINA_HOME:-$work/home}
mkdir -p "$DESPINA_HOME"
cd "$work"

clean() {
  despina service delete -n $service 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT

say() { echo "--- $*"; }
field() { python -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
status() { curl -s -o /dev/null -w '%{http_code}' "$@"; }
expect() { # what, wanted, got
  echo "$1: $3"
  [ "$2" = "$3" ] || { echo "expected $2" >&2; exit 1; }
}

say "The directory structure: models/triton/MODEL/VERSION/model.onnx"
mkdir models
cp -r "$here/../model_repository" models/triton
rm models/triton/*.py

say "Register"
despina model register -n my_triton_model -p models --model-framework=Multi

say "A name that was never registered"
if despina model deploy -n $service -m triton_model:1 --dc "$here/deploymentconfig.json"; then
  echo "expected exit status 1" >&2
  exit 1
fi

say "Deploy without code"
despina model deploy -n $service -m my_triton_model:1 --dc "$here/deploymentconfig.json"

say "Call it"
despina service show --name=$service
scoring_uri=$(despina service show --name=$service | field scoringUri)
primary=$(despina service get-keys -n $service | field primaryKey)
secondary=$(despina service get-keys -n $service | field secondaryKey)
expect "ready without a key" 401 "$(status "$scoring_uri/v2/health/ready")"
expect "ready with the primary key" 200 "$(status "$scoring_uri/v2/health/ready" -H "Authorization: Bearer $primary")"
expect "ready with the secondary key" 200 "$(status "$scoring_uri/v2/health/ready" -H "Authorization: Bearer $secondary")"

python - "$scoring_uri" "$primary" "$here/../model_repository/digits/example.json" <<'PYTHON'
import json
import sys

import numpy as np
import tritonclient.http as triton

scoring_uri, key, example = sys.argv[1:]
pixels = json.load(open(example))["inputs"][0]["data"]
client = triton.InferenceServerClient(scoring_uri.removeprefix("http://"))  # the base path stays
image = triton.InferInput("image", [1, 64], "FP32")
image.set_data_from_numpy(np.array([pixels], np.float32))
result = client.infer("digits", [image], headers={"Authorization": f"Bearer {key}"})
print("inferred:", result.as_numpy("probabilities").argmax())
PYTHON

say "Redeploy with an entry script and two workers"
despina model deploy -n $service -m my_triton_model:1 --ic "$here/inference-config.json" \
  --dc "$here/deploymentconfig.json" --overwrite
scoring_uri=$(despina service show --name=$service | field scoringUri)
pixels=$(python -c 'import json, sys; print(json.dumps({"data": [json.load(sys.stdin)["inputs"][0]["data"]]}))' \
  <"$here/../model_repository/digits/example.json")
score() { curl -sf "$scoring_uri" -H "Authorization: Bearer $1" -H 'Content-Type: application/json' -d "$pixels"; }
score "$primary"
echo
for _ in $(seq 200); do
  workers=$({ echo "${workers:-}"; score "$primary" | field pid; } | sed '/^$/d' | sort -u)
  [ "$(wc -l <<<"$workers")" -lt 2 ] || break
done
expect "score workers that answered" 2 "$(wc -l <<<"$workers")"

say "Replace the primary key"
despina service regen-key -n $service -k Primary >"$work/keys.json"
expect "score with the old key" 401 "$(status "$scoring_uri" -H "Authorization: Bearer $primary" -d "$pixels")"
score "$(field primaryKey <"$work/keys.json")" >/dev/null
score "$secondary" >/dev/null

say "Delete"
port=$(despina service show --name=$service | field port)
despina service delete -n $service
python -c 'import socket, sys; socket.create_server(("127.0.0.1", int(sys.argv[1]))).close()' "$port"
echo "port $port is free"
