"""A score.py as people write it, behind Flask: `{"data": rows}` to `{"result": rows}`."""

import numpy as np
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from model import Model

app = Flask(__name__)
model = Model()


@app.post("/score")
def score() -> ResponseReturnValue:
    rows = np.array(request.get_json()["data"], np.float32)
    return jsonify(result=model.run(rows).tolist())


@app.get("/health")
def health() -> ResponseReturnValue:
    return "ok"
