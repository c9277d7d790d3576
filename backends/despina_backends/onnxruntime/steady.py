"""Does the run time of a model depend on anything but the shapes of its inputs?

A model with a loop, or with an operator that sizes its output by values, can take a microsecond for one request and a
second for the next of the same shape. The server may run short batches on its event loop, but never such a model's.
onnxruntime's API does not list the operators of a model, so this reads them from the file: only the fields on the way
ModelProto.graph → GraphProto.node → NodeProto.op_type, skipping the weights by their lengths
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, wire format of Protocol Buffers).
"""

from collections.abc import Iterator
from pathlib import Path

from despina_backends.wire import delimited_fields

_GRAPH_FIELD = 7
_NODE_FIELD = 1
_OP_TYPE_FIELD = 4
_DOMAIN_FIELD = 7

MAX_FILE_SIZE = 1 << 26
"""A larger model is never so short that it matters."""

VALUE_DEPENDENT = frozenset(
    {
        *("Loop", "If", "Scan", "SequenceMap", "While"),
        *("Range", "ConstantOfShape", "Expand", "Tile", "Resize", "Upsample", "OneHot", "Pad", "TopK"),
        *("NonZero", "Unique", "Compress", "NonMaxSuppression", "RoiAlign", "StringSplit", "RegexFullMatch"),
        *("EyeLike", "Bernoulli", "Multinomial", "TfIdfVectorizer", "StringNormalizer", "StringConcat"),
        *("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix", "DFT", "STFT"),
        *("AffineGrid", "CenterCropPad", "Col2Im", "MaxUnpool", "ImageDecoder"),
    }
)
"""Operators whose work depends on the values they see, or on strings of any length."""

ML_DOMAIN = "ai.onnx.ml"
STEADY_ML = frozenset(
    {
        *("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"),
        *("TreeEnsembleClassifier", "TreeEnsembleRegressor"),
        *("Binarizer", "Imputer", "Normalizer", "Scaler", "ArrayFeatureExtractor", "FeatureVectorizer"),
    }
)
"""Operators of classical models (scikit-learn's, for example) whose work follows from shapes. A tree's is not the same
for all values, but never more than its depth. The others of the domain map values, of strings too, to values."""


def is_steady(path: Path) -> bool:
    """Whether every operator of the model file is a standard one whose work follows from the shapes of its inputs."""
    try:
        if path.stat().st_size > MAX_FILE_SIZE:
            return False
        model = memoryview(path.read_bytes())
        return all(_is_steady(op_type, domain) for op_type, domain in _operators(model))
    except (OSError, ValueError, IndexError, UnicodeDecodeError):
        return False


def _is_steady(op_type: str, domain: str) -> bool:
    return op_type in STEADY_ML if domain == ML_DOMAIN else not domain and op_type not in VALUE_DEPENDENT


def _operators(model: memoryview) -> Iterator[tuple[str, str]]:
    """(operator, domain) of every node of the main graph; subgraphs belong to operators that are refused anyway."""
    for graph in _submessages(model, _GRAPH_FIELD):
        for node in _submessages(graph, _NODE_FIELD):
            op_type = "".join(bytes(text).decode() for text in _submessages(node, _OP_TYPE_FIELD))
            domain = "".join(bytes(text).decode() for text in _submessages(node, _DOMAIN_FIELD))
            yield op_type, "" if domain == "ai.onnx" else domain


def _submessages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The content of every field `wanted`. Raises ValueError, IndexError on malformed data."""
    for field in delimited_fields(message):
        if field.number == wanted:
            yield message[field.begin : field.end]
