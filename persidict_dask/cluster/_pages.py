"""The page and its JSON on the scheduler's dashboard."""

from __future__ import annotations

import json
from typing import Any

from persidict_dask.cluster._compat import http_prefix
from persidict_dask.cluster._names import NAME
from persidict_dask.cluster._table import page_of


def add_pages(scheduler: Any) -> None:
    """Add both once; they are there for as long as the plugin that is asked wants them.

    Tornado has no way to take a page away. So the pages look for the plugin each time.
    """
    application = getattr(scheduler, "http_application", None)
    if application is None or NAME in application.settings:
        return
    application.settings[NAME] = True
    base = http_prefix(application) + NAME
    served = {"dask_server": scheduler}
    page, figures = _handlers()
    routes = [(base, page, served), (f"{base}/stats.json", figures, served)]
    application.add_handlers(r".*", routes)


def _handlers() -> tuple[Any, Any]:
    from distributed.http.utils import RequestHandler
    from tornado.web import HTTPError

    class Figures(RequestHandler):
        """The figures as JSON."""

        kind = "application/json"

        def get(self) -> None:
            plugin = self.server.plugins.get(NAME)
            if plugin is None or not plugin.dashboard:
                raise HTTPError(404)
            self.set_header("Content-Type", f"{self.kind}; charset=utf-8")
            self.set_header("Cache-Control", "no-store")
            self.write(self.body(plugin.ears.stats()))

        def body(self, stats: Any) -> str:
            return json.dumps(stats.to_dict())

    class Page(Figures):
        """The figures for people."""

        kind = "text/html"

        def body(self, stats: Any) -> str:
            return page_of(stats)

    return Page, Figures
