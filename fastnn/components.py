"""What layers, initializers and regularizers have in common: a kind, and settings to write down.

A component's ``__init__`` only stores its arguments, under their own names; so the arguments can be
read back, printed, written into a model file, and turned into an equal component again.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

T = TypeVar("T", bound="Component")


def setting_names(cls: type["Component"]) -> tuple[str, ...]:
    """The arguments of a class."""
    code = cls.__init__.__code__
    return code.co_varnames[1 : code.co_argcount]


def _plain(value: Any) -> Any:
    if isinstance(value, Component):
        return value.config()
    # NumPy's scalars come out of searches and ranges of settings.
    return value.item() if isinstance(value, np.generic) else value


class Component:
    """Base of everything that a model is described by.

    Attributes
    ----------
    kind : str
        The component's name in model files; one word, unique within its registry. A class that says
        none is called by its own name, in small letters.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        # Not the bases themselves, such as Layer: all that come from them would be of one kind.
        if Component not in cls.__bases__ and not hasattr(cls, "kind"):
            cls.kind = cls.__name__.lower()

    def __init__(self) -> None:
        """Store the arguments, each under its own name."""

    def settings(self) -> dict[str, Any]:
        """The arguments this component was made with."""
        return {name: getattr(self, name) for name in setting_names(type(self))}

    def config(self) -> dict[str, Any]:
        """The component as JSON-able data: its kind and its settings."""
        return {"kind": self.kind} | {
            name: _plain(value) for name, value in self.settings().items()
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """An equal component, made from `config` less its kind."""
        return cls(**settings)

    def __repr__(self) -> str:
        defaults = (type(self).__init__.__defaults__ or ())[::-1]
        settings = list(self.settings().items())
        shown = [
            f"{name}={value!r}"
            for place, (name, value) in enumerate(reversed(settings))
            if place >= len(defaults) or value != defaults[place]
        ]
        return f"{type(self).__name__}({', '.join(reversed(shown))})"


def check_optional(name: str, value: Any, cls: type[Component], example: str) -> None:
    """Refuse what is neither None nor a component of this class.

    Raises
    ------
    TypeError
        The message names the argument, the class and an example of it.
    """
    if value is not None and not isinstance(value, cls):
        raise TypeError(
            f"{name} must be a {cls.__name__}, such as {example}, or None; got {value!r}"
        )


def is_known(component: Component, registry: Mapping[str, type[Component]]) -> bool:
    """Whether a component's class is the registry's own, so that `from_config` makes it again."""
    return registry.get(component.kind) is type(component)


def from_config(config: object, registry: Mapping[str, type[T]], what: str) -> T:
    """Make the component a `Component.config` describes, out of a closed registry.

    Raises
    ------
    ValueError
        The description has an unknown kind, unknown settings or values its class refuses.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("kind"), str):
        raise ValueError(f"a {what} is described by a kind and its settings; got {config!r}")
    settings = {name: value for name, value in config.items() if name != "kind"}
    cls = registry.get(config["kind"])
    if cls is None:
        raise ValueError(f"unknown {what} {config['kind']!r}; known are {', '.join(registry)}")
    unknown = settings.keys() - set(setting_names(cls))
    if unknown:
        raise ValueError(f"{what} {config['kind']!r} has no setting {sorted(unknown)[0]!r}")
    return cls.from_settings(settings)
