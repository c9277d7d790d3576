"""A change of what is only said about a service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from despina.deploy.service import ServiceSpec
from despina.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class LabelChange:
    """Tags come and go; properties are set once. A description of None stays as it is."""

    description: str | None = None
    add_tags: Mapping[str, str] = field(default_factory=dict)
    remove_tags: Sequence[str] = ()
    add_properties: Mapping[str, str] = field(default_factory=dict)

    def applied(self, spec: ServiceSpec) -> ServiceSpec:
        """The service with the change. Raises InvalidArgument: a property that is set already."""
        if repeated := sorted(spec.properties.keys() & self.add_properties.keys()):
            raise InvalidArgument(
                f"service {spec.name}: property {', '.join(repeated)} is set already and is immutable"
            )
        tags = {**spec.tags, **self.add_tags}
        return replace(
            spec,
            description=spec.description if self.description is None else self.description,
            tags={key: value for key, value in tags.items() if key not in self.remove_tags},
            properties={**spec.properties, **self.add_properties},
        )
