"""The web application: routes, sign-in, headers. Pages are made on the server; the one script only adds live rows."""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from projections.console import reading
from projections.console.access import NO_SIGN_IN, Access, RevealLog
from projections.ledger.database import Database, LedgerError, open_for_reading
from projections.ledger.patients import patient_facts
from streams.adjudication.days import day_from_iso, iso
from streams.adjudication.decisions import OUTCOMES
from streams.adjudication.policy import Policy
from streams.console import dollars, masked
from streams.events import decision_to_json
from streams.next_billable import BadQuestion, ask, to_json
from streams.topics import BILLING_DECISIONS

REVEAL_SECONDS = 15 * 60
SESSION_SECONDS = 8 * 3600
FEED_SECONDS = 1.0
LARGEST_FORM_BYTES = 16 * 1024
_HIDDEN_FIELDS = frozenset(("patient_id", "patient_control_number", "diagnosis_codes"))
_OPEN_PATHS = ("/healthz", "/sign-in", "/static/")
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer a browser says "null" where our own forms come from
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Ledger:
    """The ledger, opened when it is first needed and again after it was away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._database: Database | None = None

    def read(self) -> Any:
        """One state of it, in a `with` block. Raises LedgerError."""
        if self._database is None:
            self._database = open_for_reading(self._url)
        return self._database.read()


class Console:
    """The pages over one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        access: Access,
        reveals: RevealLog,
        lag: Callable[[Mapping[tuple[str, int], int]], str] | None = None,
    ) -> None:
        self.ledger, self.policy, self.access, self.reveals, self.lag = ledger, policy, access, reveals, lag
        self.templates = Environment(
            loader=PackageLoader("projections.console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self.templates.filters |= {"usd": dollars, "day": iso, "masked": masked, "words": _words}
        self.templates.globals |= {"svg": Markup, "outcomes": OUTCOMES}
        self._secret = secrets.token_bytes(32)  # sessions end with the process

    def app(self, https: bool = False) -> Starlette:
        routes = [
            Route("/", self.overview),
            Route("/search", self.search),
            Route("/decisions/{decision_id}", self.line),
            Route("/decisions/{decision_id}/reveal", self.reveal, methods=["POST"]),
            Route("/decisions/{decision_id}/hide", self.hide, methods=["POST"]),
            Route("/events/{topic}/{partition:int}/{offset:int}", self.event),
            Route("/patients/{patient_id}/next-billable", self.next_billable),
            Route("/live", self.live),
            Route("/sign-in", self.sign_in, methods=["GET", "POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route("/healthz", self.health),
            Mount("/static", StaticFiles(packages=[("projections.console", "static")])),
        ]
        middleware = [
            Middleware(
                SessionMiddleware,
                secret_key=self._secret.hex(),
                session_cookie="pathway-billing",
                max_age=SESSION_SECONDS,
                same_site="strict",
                https_only=https,
            ),
            Middleware(_Guard, console=self),
        ]
        if not self.access.required:
            # a page elsewhere whose name is made to point to this machine must not read what needs no sign-in
            hosts = ["127.0.0.1", "localhost", "[::1]", "::1", "[", "testserver"]
            middleware.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False))
        handlers: dict[Any, Any] = {LedgerError: self._no_ledger, 404: self._not_found, 500: self._broken}
        return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)

    # -- pages

    def overview(self, request: Request) -> Response:
        as_of = _date(request.query_params.get("as_of"))
        with self.ledger.read() as connection:
            figures = reading.overview(connection, as_of)
            positions = reading.log_positions(connection)
        lag = (
            self.lag(positions)
            if self.lag
            else "Not known: start the console with --bootstrap-servers to compare with Kafka."
        )
        return self.page(request, "overview.html", **figures, lag=lag, recorded=sum(positions.values()))

    def search(self, request: Request) -> Response:
        given = request.query_params
        text, field, outcome = given.get("q", "").strip()[:200], given.get("in", "all"), given.get("outcome", "")
        page = int(number) if (number := given.get("page", "1")).isdigit() and len(number) < 6 and int(number) else 1
        with self.ledger.read() as connection:
            found = reading.search(connection, text, field, outcome if outcome in OUTCOMES else "", page)
            events = reading.events_named(connection, text) if text and not found else []
        more, found = len(found) > reading.PAGE_LINES, found[: reading.PAGE_LINES]
        return self.page(
            request, "search.html", q=text, field=field, outcome=outcome, lines=found, more=more, page=page, events=events,
            fields=reading.FIELDS,
        )  # fmt: skip

    def line(self, request: Request) -> Response:
        with self.ledger.read() as connection:
            page = reading.line_page(connection, request.path_params["decision_id"], self.policy)
        if page is None:
            return self._not_found(request, None)
        current = page.current
        asked_from = request.query_params.get("from") or iso(current.service_date)
        try:
            answer = to_json(
                ask(
                    page.facts, self.policy, patient_id=current.patient_id, procedure_code="S0354",
                    billing_npi=current.billing_npi, asked_from=day_from_iso(asked_from), plan_id=page.plan_id or None,
                )
            )  # fmt: skip
            problem = ""
        except (BadQuestion, ValueError):
            answer, problem = None, "Give a day as YYYY-MM-DD, such as 2025-03-01."
        shown = self._revealed(request, current.patient_id)
        return self.page(
            request, "line.html", p=page, d=current, next=answer, problem=problem, asked_from=asked_from, revealed=shown,
            patient=current.patient_id if shown else masked(current.patient_id), minutes=REVEAL_SECONDS // 60,
        )  # fmt: skip

    async def reveal(self, request: Request) -> Response:
        decision_id = request.path_params["decision_id"]
        patient_id = await run_in_threadpool(self._patient_of, decision_id)
        if patient_id is None:
            return self._not_found(request, None)
        try:
            await run_in_threadpool(self.reveals.write, request.state.who, decision_id, "line")
        except OSError:
            sentence = (
                "The log of reveals cannot be written, so nothing is shown. Make room for it, or correct its place."
            )
            return self.page(request, "message.html", status=503, title="Not revealed", sentence=sentence)
        until = dict(request.session.get("revealed", {}))
        until[self._handle(patient_id)] = int(time.time()) + REVEAL_SECONDS
        request.session["revealed"] = dict(sorted(until.items(), key=lambda entry: entry[1])[-20:])
        return RedirectResponse(f"/decisions/{decision_id}", 303)

    async def hide(self, request: Request) -> Response:
        request.session["revealed"] = {}
        return RedirectResponse(f"/decisions/{request.path_params['decision_id']}", 303)

    def event(self, request: Request) -> Response:
        topic, partition, offset = (request.path_params[name] for name in ("topic", "partition", "offset"))
        if max(partition, offset) >= 1 << 63:
            return self._not_found(request, None)
        with self.ledger.read() as connection:
            if topic == BILLING_DECISIONS:
                decision = reading.decision_at(connection, partition, offset)
                event = decision_to_json(decision) if decision else None
            else:
                row = reading.event_at(connection, topic, partition, offset)
                event = row.event if row else None
        if event is None:
            return self._not_found(request, None)
        patient_id = event.get("patient_id")
        shown = patient_id is None or self._revealed(request, str(patient_id))
        text = json.dumps(event if shown else _hide(event, str(patient_id)), indent=2, ensure_ascii=False)
        return self.page(
            request, "event.html", topic=topic, partition=partition, offset=offset, text=text, revealed=shown
        )

    def next_billable(self, request: Request) -> Response:
        given, patient_id = request.query_params, request.path_params["patient_id"]
        if missing := [name for name in ("code", "npi", "from") if not given.get(name)]:
            return JSONResponse({"error": f"{', '.join(missing)} missing: ?code=S0354&npi=...&from=YYYY-MM-DD"}, 400)
        try:
            asked = day_from_iso(given["from"])
        except ValueError:
            return JSONResponse({"error": "from is not a day of the form YYYY-MM-DD"}, 400)
        if given["code"] not in ("S0353", "S0354"):
            return JSONResponse({"error": "code is S0353 or S0354"}, 400)
        with self.ledger.read() as connection:
            facts = patient_facts(connection, patient_id, given["npi"])
        try:
            answer = ask(
                facts, self.policy, patient_id=patient_id, procedure_code=given["code"], billing_npi=given["npi"],
                asked_from=asked, plan_id=given.get("plan"),
            )  # fmt: skip
        except BadQuestion as error:
            return JSONResponse({"error": f"{error}."}, 400)
        return JSONResponse(to_json(answer))

    async def live(self, request: Request) -> Response:
        return StreamingResponse(self._feed(request), media_type="text/event-stream")

    async def _feed(self, request: Request) -> AsyncIterator[str]:
        """Decisions as the ledger gets them. The event id is where each partition stands: a reader that comes back misses none."""
        behind = _cursor(request.headers.get("last-event-id"))
        row = self.templates.from_string("{% from 'rows.html' import feed_row %}{{ feed_row(d) }}")
        yield "retry: 3000\n\n"
        while not await request.is_disconnected():
            try:
                behind, found = await run_in_threadpool(self._news, behind)
            except LedgerError:
                yield "event: away\ndata: the ledger does not answer\n\n"
                found = []
            for number, decision in enumerate(found):
                text = row.render(d=decision).replace("\n", " ")
                last = number == len(found) - 1
                mark = f"id: {json.dumps(behind, separators=(',', ':'))}\n" if last else ""
                yield f"{mark}event: decision\ndata: {text}\n\n"
            if not found:
                yield ": waiting\n\n"
            await asyncio.sleep(FEED_SECONDS)

    def _news(self, behind: dict[int, int] | None) -> tuple[dict[int, int], list[Any]]:
        with self.ledger.read() as connection:
            there = reading.log_positions(connection)
            ends = {partition: end for (topic, partition), end in there.items() if topic == BILLING_DECISIONS}
            if behind is None or all(end <= behind.get(partition, 0) for partition, end in ends.items()):
                return ends, []
            moved = {
                partition: behind.get(partition, 0) for partition, end in ends.items() if end > behind.get(partition, 0)
            }
            return ends, reading.newest_decisions(connection, moved, 100)

    async def sign_in(self, request: Request) -> Response:
        if not self.access.tokens:
            return RedirectResponse("/", 303)
        if request.method == "GET":
            return self.page(request, "sign_in.html", wrong=False)
        form = await request.form(max_files=0, max_fields=4)
        name = self.access.name_of_token(str(form.get("token", "")))
        if name is None:
            await asyncio.sleep(0.5)  # makes guessing slow; a token has 16 characters at least
            return self.page(request, "sign_in.html", status=401, wrong=True)
        request.session.clear()
        request.session["who"] = name
        return RedirectResponse("/", 303)

    async def sign_out(self, request: Request) -> Response:
        request.session.clear()
        return RedirectResponse("/sign-in" if self.access.tokens else "/", 303)

    def health(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's signature
        try:
            with self.ledger.read() as connection:
                reading.log_positions(connection)
        except LedgerError:
            return JSONResponse({"ok": False, "ledger": "does not answer"}, 503)
        return JSONResponse({"ok": True})

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        who = getattr(request.state, "who", None)
        out = self.templates.get_template(template).render(who=who, signs_in=bool(self.access.tokens), **values)
        return HTMLResponse(out, status)

    # -- what is shown to whom

    def who(self, request: Request) -> str | None:
        """The name of whoever asks; None: nobody that is known."""
        if not self.access.required:
            return NO_SIGN_IN
        peer = request.client.host if request.client else None
        header = request.headers.get(self.access.user_header) if self.access.user_header else None
        if name := self.access.name_by_proxy(peer, header):
            return name
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.access.name_of_token(token)
        name = request.session.get("who")
        return name if any(name == known for known, _ in self.access.tokens) else None

    def _revealed(self, request: Request, patient_id: str) -> bool:
        until = request.session.get("revealed", {}).get(self._handle(patient_id), 0)
        return bool(until > time.time())

    def _handle(self, patient_id: str) -> str:
        return hashlib.blake2b(patient_id.encode(), key=self._secret, digest_size=12).hexdigest()

    def _patient_of(self, decision_id: str) -> str | None:
        with self.ledger.read() as connection:
            page = reading.line_page(connection, decision_id, self.policy)
        return page.current.patient_id if page else None

    # -- errors

    def _no_ledger(self, request: Request, error: Exception) -> Response:
        if request.url.path.endswith("/next-billable"):
            return JSONResponse({"error": str(error)}, 503)
        return self.page(request, "message.html", status=503, title="The ledger cannot be read", sentence=str(error))

    def _not_found(self, request: Request, _: Exception | None) -> Response:
        sentence = (
            "The ledger has nothing at this address. Search for the claim, or wait until the projector has caught up."
        )
        return self.page(request, "message.html", status=404, title="Not found", sentence=sentence)

    def _broken(self, request: Request, _: Exception) -> Response:
        sentence = "The page could not be made. The console's log says why; try again, and tell whoever runs it."
        return self.page(request, "message.html", status=500, title="Something went wrong", sentence=sentence)


class _Guard:
    """Every request: who asks, from which page, and the headers of every answer."""

    def __init__(self, app: Any, console: Console) -> None:
        self._app, self._console = app, console

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                kept = {name.lower() for name, _ in message["headers"]}
                added = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in kept]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        request = Request(scope)
        refused = self._refusal(request)
        await (refused or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        path = request.url.path
        if request.method == "POST":
            origin = request.headers.get("origin")
            from_elsewhere = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
            length = request.headers.get("content-length", "")
            if from_elsewhere or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return Response("this form was sent from another site", 403)
            if not length.isdigit() or int(length) > LARGEST_FORM_BYTES:
                return Response("a form of the console is small and says how long it is", 413)
        if path.startswith(_OPEN_PATHS):
            return None
        who = self._console.who(request)
        request.state.who = who
        if who is not None:
            return None
        if self._console.access.tokens and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/sign-in", 303)
        how = (
            "a token in the header Authorization: Bearer ..."
            if self._console.access.tokens
            else "the proxy in front of it"
        )
        return JSONResponse({"error": f"the console lets nobody in who is not known: sign in by {how}"}, 401)


def _hide(value: Any, patient_id: str) -> Any:
    """An event without what tells who the patient is."""
    if isinstance(value, dict):
        return {k: "(hidden)" if k in _HIDDEN_FIELDS and v else _hide(v, patient_id) for k, v in value.items()}
    if isinstance(value, list):
        return [_hide(entry, patient_id) for entry in value]
    return value.replace(patient_id, masked(patient_id)) if isinstance(value, str) else value


def _words(code: str) -> str:
    """WITHIN_30_OF_S0353 as a person reads it."""
    return " ".join(word if any(c.isdigit() for c in word) else word.lower() for word in code.split("_")).capitalize() \
        .replace("s035", "S035")  # fmt: skip


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _cursor(text: str | None) -> dict[int, int] | None:
    """What a reader that comes back says it has seen; None for a new one, or for nonsense."""
    try:
        return {int(partition): int(offset) for partition, offset in json.loads(text or "null").items()}
    except (AttributeError, TypeError, ValueError):
        return None


def default_reveal_log(data_dir: Path) -> Path:
    return data_dir / "console" / "reveals.jsonl"
