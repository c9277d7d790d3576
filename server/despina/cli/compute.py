"""`despina compute`: clusters that services can be deployed to."""

import os
from pathlib import Path
from typing import Any

import click

from despina.cli.cloud import cloud_options
from despina.cli.records import output_option, progress, reported, show, show_all
from despina.deploy.home import find_home
from despina.deploy.kubernetes.target import ComputeTarget, ComputeTargets, Exposure, ScalingMetric

COLUMNS = ("name", "context", "namespace", "image", "expose")


def open_targets(*, create: bool = False) -> ComputeTargets:
    """The compute targets of `$DESPINA_HOME`, or of the nearest `.despina/`."""
    return ComputeTargets(find_home(os.environ, Path(), create=create))


@click.group()
def compute() -> None:
    """Attach clusters, look at them, detach them."""


@compute.command()
@click.argument("name")
@click.option(
    "--image", required=True, help="Image that Dockerfile or Dockerfile.gpu made, where the cluster can pull it."
)
@click.option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), help="Else kubectl's own choice.")
@click.option("--context", help="Else the kubeconfig's current one.")
@click.option("--namespace", default="default", show_default=True)
@click.option("--model-claim", metavar="CLAIM", help="Volume claim with a copy of the home directory's blobs/.")
@click.option(
    "--model-url", metavar="URL", help="Address below which a copy of the home directory's blobs/ is published."
)
@click.option(
    "--expose", type=click.Choice([one.value for one in Exposure]), default=Exposure.INGRESS.value, show_default=True
)
@click.option("--ingress-class", help="Else the cluster's default.")
@click.option("--ingress-host", help="Else every host name.")
@click.option("--tls-secret", help="Secret with the certificate for the ingress host.")
@click.option("--pull-secret", help="Secret for a private registry of images.")
@click.option(
    "--scaling-metric",
    type=click.Choice([one.value for one in ScalingMetric]),
    default=ScalingMetric.AUTO.value,
    show_default=True,
    help="What autoscalers look at; auto: requests in flight where the cluster serves them, else CPU.",
)
@click.option("--overwrite", is_flag=True, help="Replace a target of this name.")
@output_option
@cloud_options()
def attach(
    kubeconfig: Path | None, expose: str, scaling_metric: str, overwrite: bool, output: str, **fields: Any
) -> None:
    """Give a place in a Kubernetes cluster the NAME that `--compute-target` uses. Nothing is sent to the cluster."""
    target = ComputeTarget(
        kubeconfig=None if kubeconfig is None else kubeconfig.absolute(),
        expose=Exposure(expose),
        scaling_metric=ScalingMetric(scaling_metric),
        **fields,
    )
    with reported():
        open_targets(create=True).attach(target, overwrite=overwrite)
    progress(f"attached {target.name}")
    show(target.to_json(), output, COLUMNS)


@compute.command("list")
@output_option
@cloud_options()
def list_targets(output: str) -> None:
    """List attached compute targets."""
    with reported():
        targets = open_targets().all()
    show_all([target.to_json() for target in targets], output, COLUMNS)


@compute.command("show")
@click.argument("name")
@output_option
@cloud_options()
def show_target(name: str, output: str) -> None:
    """Show one compute target."""
    with reported():
        target = open_targets().get(name)
    show(target.to_json(), output, COLUMNS)


@compute.command()
@click.argument("name")
@output_option
@cloud_options()
def detach(name: str, output: str) -> None:
    """Forget a compute target. What runs there goes on."""
    with reported():
        target = open_targets().detach(name)
    progress(f"detached {name}")
    show(target.to_json(), output, COLUMNS)
