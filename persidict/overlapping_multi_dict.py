"""OverlappingMultiDict: dictionaries of several formats in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from persidict import shown
from persidict.persi_dict import PersiDict


class OverlappingMultiDict:
    """One dictionary per format over the same storage, each an attribute named after its format.

    Args:
        dict_type: the class of the dictionaries.
        shared_subdicts_params: constructor arguments for all of them.
        individual_subdicts_params: for each format, named by the keyword, further arguments, which
            override the shared ones.
    """

    def __init__(
        self,
        *,
        dict_type: type[PersiDict[Any]],
        shared_subdicts_params: dict[str, Any],
        **individual_subdicts_params: dict[str, Any],
    ) -> None:
        if not (isinstance(dict_type, type) and issubclass(dict_type, PersiDict)):
            raise TypeError(f"dict_type must be a subclass of PersiDict, not {dict_type!r}")
        _check_params("shared_subdicts_params", shared_subdicts_params)
        for name, params in individual_subdicts_params.items():
            _check_params(name, params)
        self.dict_type = dict_type
        self.shared_subdicts_params = shared_subdicts_params
        self.individual_subdicts_params = individual_subdicts_params
        self.subdicts_names = list(individual_subdicts_params)
        for name, params in individual_subdicts_params.items():
            everything = shared_subdicts_params | params | {"serialization_format": name}
            setattr(self, name, dict_type(**everything))

    if TYPE_CHECKING:  # the dictionaries of the formats

        def __getattr__(self, name: str) -> PersiDict[Any]: ...

    def __getitem__(self, key: Any) -> NoReturn:
        raise self._misuse()

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise self._misuse()

    def __delitem__(self, key: Any) -> NoReturn:
        raise self._misuse()

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled")

    def __setstate__(self, state: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be unpickled")

    def __repr__(self) -> str:
        shared = {
            "dict_type": self.dict_type,
            "shared_subdicts_params": self.shared_subdicts_params,
        }
        return shown.call(type(self).__name__, shared | self.individual_subdicts_params)

    def _misuse(self) -> TypeError:
        names = ", ".join(f".{name}" for name in self.subdicts_names)
        return TypeError(f"items are in the dictionaries of the formats: {names}")


def _check_params(name: str, params: Any) -> None:
    if not isinstance(params, dict):
        raise TypeError(f"{name} must be a dict of arguments, not {type(params).__name__}")
