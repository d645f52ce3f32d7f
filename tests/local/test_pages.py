"""The pages of the description: what `sam build` makes of docs/, and how they are served."""

import importlib
import importlib.util
import json
import re
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from act_one.settings import Settings
from local.emulator import ROOT
from tests.unit.fakes import settings
from tools.openapi.problems import entries

CONTEXT = SimpleNamespace(
    function_name="docs",
    memory_limit_in_mb="256",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:docs",
    aws_request_id="request",
)
_spec = importlib.util.spec_from_file_location("pages", ROOT / "layers/docs/pages.py")
pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pages)


class Page(HTMLParser):
    """The elements of a page, and what they refer to."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.inline = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        loads = [given[name] for name in ("src", "href") if name in given and tag != "a"]
        self.links += loads
        if tag == "style" or "style" in given or (tag == "script" and not loads):
            self.inline.append(self.get_starttag_text())


# ── What is built ─────────────────────────────────────────────────────────────────────────────


def test_every_problem_has_an_anchor_on_its_page():
    page = Page(pages.page((ROOT / "docs/problems.md").read_text()))

    assert set(entries()) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("name", ["problems", "docs"])
def test_a_page_loads_its_own_files_only_and_has_nothing_inline(name):
    text = {
        "problems": pages.page((ROOT / "docs/problems.md").read_text()),
        "docs": (ROOT / "layers/docs/docs.html").read_text(),
    }[name]

    page = Page(text)

    assert page.links
    assert [link for link in page.links if re.match(r"https?:|//|/", link)] == []
    assert page.inline == []


def test_text_is_rendered_and_escaped():
    text = '# A <b>\n\nSee `x < y` & **this**, [there](https://a.example/?a="b), [api](api.md#b).\n'

    page = pages.page(text)

    assert '<h1 id="a-b"><a href="#a-b">A &lt;b&gt;</a></h1>' in page
    assert "<code>x &lt; y</code> &amp; <strong>this</strong>" in page
    assert '<a href="https://a.example/?a=&quot;b">there</a>, api.</p>' in page


def test_code_keeps_its_empty_lines():
    assert "<pre><code>a\n\n&lt;b&gt;</code></pre>" in pages.page("```json\na\n\n<b>\n```\n")


@pytest.mark.parametrize(
    "line", ["- a list", "| a | table |", "> a quote", "1. one", "<i>HTML</i>"]
)
def test_what_cannot_be_rendered_is_refused(line):
    with pytest.raises(pages.UnknownMarkdownError, match=re.escape(line)):
        pages.page(f"# A page\n\n{line}\n")


# ── How it is served ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def app(monkeypatch, tmp_path, request):
    """The handler's module, newly imported, over a build of the layer."""
    pages.main(tmp_path / "api_description")
    given = settings(**getattr(request, "param", {}))
    for name in Settings.__slots__:
        monkeypatch.setenv(name.upper(), str(getattr(given, name)))
    monkeypatch.syspath_prepend(str(ROOT / "functions"))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("docs.app", "api_description"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("docs.app")
    sys.modules.pop("api_description", None)


def get(app, path):
    page = path.removeprefix("/docs/")
    event = {
        "httpMethod": "GET",
        "resource": path if page == path else "/docs/{name}",
        "path": path,
        "pathParameters": None if page == path else {"name": page},
        "headers": {},
        "requestContext": {"requestId": "request-1"},
    }
    answer = app.handler(event, CONTEXT)
    return answer["statusCode"], answer["headers"], answer["body"]


@pytest.mark.parametrize(
    ("path", "media_type", "begins"),
    [
        ("/openapi.json", "application/json", '{\n "openapi": "3.1.0"'),
        ("/docs", "text/html; charset=utf-8", "<!doctype html>"),
        ("/docs/problems", "text/html; charset=utf-8", "<!doctype html>"),
        ("/docs/pages.css", "text/css; charset=utf-8", ":root"),
        ("/docs/start.js", "text/javascript; charset=utf-8", "// "),
        ("/docs/swagger-ui.css", "text/css; charset=utf-8", ".swagger-ui"),
        ("/docs/swagger-ui.js", "text/javascript; charset=utf-8", "/*! "),
    ],
)
def test_each_file_is_served_with_its_media_type_and_a_strict_policy(app, path, media_type, begins):
    status, headers, body = get(app, path)

    assert (status, headers["Content-Type"]) == (200, media_type)
    assert body.startswith(begins)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Request-Id"] == "request-1"
    assert headers["Cache-Control"] == "public, max-age=3600"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/docs/nothing", "/docs/../app.py", "/docs/\x82", "/docs/app.py"])
def test_other_names_are_no_routes(app, path):
    status, headers, body = get(app, path)

    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert json.loads(body)["code"] == "no-such-route"


@pytest.mark.parametrize("app", [{"api_docs": False}], indirect=True)
@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/problems"])
def test_a_stack_may_keep_its_description_to_itself(app, path):
    status, _, body = get(app, path)

    assert status == 404
    assert json.loads(body)["code"] == "no-such-route"
