"""Credentials that are renewed where a client has found them: looked for again once refused."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any, Self

from botocore.exceptions import ClientError, CredentialRetrievalError

from persidict._s3_errors import code_of, status_of

_log = logging.getLogger("persidict")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", "400")

_CHEAP = ("env", "shared-credentials-file", "config-file")
_AGAIN_AFTER = 60.0  # seconds until a source is asked again that asks elsewhere itself

_looking = threading.RLock()


def _free_lock() -> None:
    global _looking  # noqa: PLW0603 - the only way to give the child another lock
    _looking = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_lock)


def is_refused(error: Exception) -> bool:
    """True if the server does not accept who asks (a HEAD can only say 400)."""
    if isinstance(error, ClientError):
        return status_of(error) in (401, 403) or code_of(error) in _EXPIRED
    return isinstance(error, CredentialRetrievalError)


class Source:
    """Where the credentials of a client come from: a part of the chain of a boto3 session.

    boto3 reads the environment and the files of profiles once in a session. Here they are read
    again when a server has refused what was read; other sources renew themselves, and are asked
    again all the same, because they may be built on those. Credentials that were given as such
    have no source.
    """

    def __init__(self, signer: Any, variables: dict[str, Any]) -> None:
        self._signer = signer
        self._variables = variables
        self._not_before = 0.0
        self._providers: list[Any] | None = None

    @classmethod
    def of(cls, client: Any, session: Any) -> Self | None:
        """Return the source for a client that was made by this session of boto3."""
        try:  # names of boto3 that are not for others
            maker = session._session
            # the environment may name another profile later
            variables = {"profile": maker.profile, **maker.instance_variables()}
            return cls(client._request_signer, variables)
        except AttributeError as error:
            _log.info("credentials that are renewed elsewhere will not be seen: %s", error)
            return None

    @property
    def current(self) -> Any:
        """The credentials that the client signs with."""
        return self._signer._credentials

    def has_other_than(self, refused: Any) -> bool:
        """True if the client now signs with other credentials than those that were refused."""
        with _looking:
            if self.current is not refused:
                return True
            try:
                found = self._found(refused.method)
                if found is None or _same(found, refused):
                    return False
            except Exception as error:
                _log.info("credentials were refused, and looking for new ones failed: %s", error)
                return False
            self._signer._credentials = found
        _log.info("credentials were refused; there are new ones (%s)", found.method)
        return True

    def _found(self, method: str) -> Any:
        """Ask the same provider, and no other: others may stand for another identity."""
        if method not in _CHEAP:
            if time.monotonic() < self._not_before:
                return None
            self._not_before = time.monotonic() + _AGAIN_AFTER
            self._providers = None  # these keep what they have read of the files
        if self._providers is None:
            self._providers = self._new_providers(method)
        return next((each.load() for each in self._providers if method == each.METHOD), None)

    def _new_providers(self, method: str) -> list[Any]:
        from botocore.session import Session

        session = Session()
        for name, value in self._variables.items():
            if name != "profile" or (value and method != "env"):  # it would leave variables out
                session.set_config_variable(name, value)
        providers: list[Any] = session.get_component("credential_provider").providers
        return providers


def _same(one: Any, other: Any) -> bool:
    return bool(one.get_frozen_credentials() == other.get_frozen_credentials())
