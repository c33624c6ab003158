"""How the rules make the frozen values of which every decision consists."""

from typing import Any, Final, Protocol, TypeVar, cast

_Value = TypeVar("_Value")


class _New(Protocol):
    def __call__(self, kind: type[_Value], fields: tuple[Any, ...], /) -> _Value: ...


new: Final = cast(_New, tuple.__new__)
"""`new(Ruling, (...))` is the value that `Ruling(...)` is, its fields in their order, in a tenth of the time: a NamedTuple's own
constructor is a Python function, also where the rules run compiled. It stands in a module of its own, which is compiled with
the rules: so they know where it is and need not look it up by its name each time."""
