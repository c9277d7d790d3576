"""What was decided for a model and why, in sentences for the start-up log and for people who wonder."""

from despina.config.complete import is_complete
from despina.config.datatypes import config_name
from despina.config.dims import shape_text
from despina.config.instance_groups import placements
from despina.config.names import ENSEMBLE
from despina.config.proto import Message, ModelConfig, model_config_pb2

_GPU = model_config_pb2.ModelInstanceGroup.KIND_GPU


def explain(written: ModelConfig, final: ModelConfig) -> list[str]:
    """One sentence per decision. `written` is the configuration as read, `final` what the model is served with."""
    if final.platform == ENSEMBLE:
        steps = ", ".join(step.model_name for step in final.ensemble_scheduling.step)
        return [f"ensemble of {steps}", _explain_versions(final)]
    sentences = [_explain_backend(written, final), _explain_versions(final), _explain_batch_size(written, final)]
    sentences += [_explain_scheduler(written, final), *_explain_tensors(written, final)]
    sentences += [_explain_group(written, final, index) for index in range(len(final.instance_group))]
    return sentences


def explain_created(final: ModelConfig, created: int) -> list[str]:
    """What is to be said when other than all configured instances were created: nobody asked for so many."""
    configured = len(placements(final))
    if created == configured or final.platform == ENSEMBLE:
        return []
    reason = "no count is configured, and fewer make better use of so few cores"
    return [f"{created} of {configured} instances created: {reason}"]


def _explain_backend(written: ModelConfig, final: ModelConfig) -> str:
    if written.backend:
        source = "as configured"
    elif written.platform or written.default_model_filename:
        source = f"because of the configured {'platform' if written.platform else 'default_model_filename'}"
    else:
        source = "because of the file found in a version directory"
        if final.default_model_filename == f"model.{final.backend}":
            source = "because of the model's name"
    return f"backend {final.backend}, file {final.default_model_filename or '(chosen by the backend)'}: {source}"


def _explain_versions(final: ModelConfig) -> str:
    policy = final.version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        return f"versions {', '.join(map(str, policy.specific.versions))}: version_policy specific"
    if choice == "all":
        return "all versions: version_policy all"
    count = policy.latest.num_versions
    return f"the latest {f'{count} versions' if count != 1 else 'version'}: version_policy latest"


def _explain_batch_size(written: ModelConfig, final: ModelConfig) -> str:
    size = final.max_batch_size
    if written.max_batch_size:
        return f"max_batch_size {size}: as configured"
    if size:
        return f"max_batch_size {size}: every input and output has a variable first dimension; default-max-batch-size"
    if is_complete(written):
        return "max_batch_size 0: none is configured, and none is chosen for a model whose tensors are listed"
    if _may_batch(final):
        return "max_batch_size 0: default-max-batch-size"
    return "max_batch_size 0: some input or output has no variable first dimension, so requests cannot be batched"


def _may_batch(final: ModelConfig) -> bool:
    return all(tensor.dims[:1] == [-1] for tensor in (*final.input, *final.output))


def _explain_scheduler(written: ModelConfig, final: ModelConfig) -> str:
    choice = final.WhichOneof("scheduling_choice")
    if choice == "dynamic_batching":
        return _explain_dynamic_batching(written, final)
    if choice is not None:
        return f"{choice}: as configured"
    if final.max_batch_size <= 1:
        return f"dynamic batching off: max_batch_size is {final.max_batch_size}"
    return (
        "dynamic batching off: the configuration lists its tensors and has no dynamic_batching; add "
        "'dynamic_batching { }' to let requests share executions"
    )


def _explain_dynamic_batching(written: ModelConfig, final: ModelConfig) -> str:
    batching = final.dynamic_batching
    source = "as configured" if written.HasField("dynamic_batching") else "max_batch_size is above 1"
    delay = batching.max_queue_delay_microseconds
    patience = f"waiting up to {delay} microseconds for them" if delay else "without waiting for them"
    sizes = ", ".join(map(str, batching.preferred_batch_size)) or "any"
    return f"dynamic batching on: {source}; preferred batch sizes {sizes}, {patience}"


def _explain_tensors(written: ModelConfig, final: ModelConfig) -> list[str]:
    sentences = []
    for kind in ("input", "output"):
        tensors = getattr(final, kind)
        if tensors and not getattr(written, kind):
            listed = ", ".join(
                f"{tensor.name} {config_name(tensor.data_type)} {shape_text(tensor.dims)}" for tensor in tensors
            )
            sentences.append(f"{kind} {listed}: read from the model")
    return sentences


def _explain_group(written: ModelConfig, final: ModelConfig, index: int) -> str:
    group = final.instance_group[index]
    asked = written.instance_group[index] if index < len(written.instance_group) else None
    if group.kind == _GPU:
        where = (
            f"on each of GPU {', '.join(map(str, group.gpus))}" if len(group.gpus) > 1 else f"on GPU {group.gpus[0]}"
        )
    else:
        where = "on CPU"
    instances = "1 instance" if group.count == 1 else f"{group.count} instances"
    return f"{instances} {where} ({group.name}): {_group_reason(asked, group)}"


def _group_reason(asked: Message | None, group: Message) -> str:
    if asked is None:
        return "no instance_group is configured" + ("" if group.kind == _GPU else " and no GPU is usable")
    reasons = []
    if asked.kind != group.kind:
        reasons.append("a GPU is usable" if group.kind == _GPU else "no GPU is usable")
    if asked.count != group.count:
        reasons.append("the default count")
    return "; ".join(reasons) or "as configured"
