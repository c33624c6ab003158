"""The web application: routes, sign-in, headers. Pages are made on the server; the one script only adds live rows."""

import asyncio
import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from projections.console import reading, search
from projections.console.access import NO_SIGN_IN, Access, RevealLog
from projections.console.lag import LagMeter
from projections.console.words import REASONS, reason_change, reason_name
from projections.ledger.database import (
    SQLITE,
    Database,
    LedgerError,
    LedgerUnavailableError,
    open_for_reading,
    sqlite_path,
)
from projections.ledger.patients import patient_facts
from streams.adjudication.days import day_from_iso, iso
from streams.adjudication.decisions import OUTCOMES
from streams.adjudication.policy import Policy
from streams.display import dollars, masked
from streams.events import decision_to_json
from streams.next_billable import BadQuestion, UnknownPatient, ask, to_json
from streams.runtime.dead_letters import Reason
from streams.topics import BILLING_DECISIONS

REVEAL_SECONDS = 15 * 60
SESSION_SECONDS = 8 * 3600
FEED_SECONDS = 1.0
SLOW_SECONDS = 2.0
MOST_NEWS = 100
LARGEST_FORM_BYTES = 16 * 1024
_HIDDEN_FIELDS = frozenset(("patient_id", "patient_control_number", "diagnosis_codes"))
_A_DATE = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b")
_WORTH_COMING_BACK = ("/decisions/", "/events/", "/search")
_OPEN_PATHS = ("/healthz", "/sign-in", "/static/")
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer a browser says "null" where our own forms come from
    "x-frame-options": "DENY",  # for browsers that do not know frame-ancestors
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


KEPT = b"private, max-age=31536000, immutable"


class Ledger:
    """The ledger, opened when it is first needed and again after it was away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._file: tuple[int, int] | None = None
        self._silent: tuple[float, str] | None = None  # until when it is not asked again, and what it said

    def read(self) -> Any:
        """One state of it, in a `with` block. Raises LedgerError."""
        with self._lock:
            if self._database is not None and self._file != _file_of(self._database):
                self._database.close()  # the file was deleted and perhaps made again; this one would stay as it was for ever
                self._database = None
            if self._database is None:
                self._database = self._open()
                self._file = _file_of(self._database)
            return self._database.read()

    def _open(self) -> Database:
        """Whoever waited for the lock while a database took long to say nothing is told so, and does not wait as long again."""
        began = time.monotonic()
        if self._silent is not None and began < self._silent[0]:
            raise LedgerUnavailableError(self._silent[1])
        self._silent = None
        try:
            return open_for_reading(self._url)
        except LedgerUnavailableError as error:
            now = time.monotonic()
            if now - began > SLOW_SECONDS:
                self._silent = now + SLOW_SECONDS, str(error)
            raise


def _file_of(database: Database) -> tuple[int, int] | None:
    """Which file an SQLite ledger is now; None for PostgreSQL, and where there is none any more."""
    if database.kind != SQLITE:
        return None
    try:
        found = Path(sqlite_path(database.url)).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Console:
    """The pages over one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        access: Access,
        reveals: RevealLog,
        lag: LagMeter | None = None,
    ) -> None:
        self.ledger, self.policy, self.access, self.reveals, self.lag = ledger, policy, access, reveals, lag
        self.templates = Environment(
            loader=PackageLoader("projections.console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self.templates.filters |= {
            "usd": dollars, "moved": _moved, "day": iso, "told": _told, "masked": masked, "words": reason_name,
        }  # fmt: skip
        self.templates.globals |= {
            "svg": Markup, "outcomes": OUTCOMES, "fields": search.FIELDS, "change_of": reason_change,
            "reason_names": sorted({words.name for code, words in REASONS.items() if code not in Reason.__members__}),
            "style": _fingerprinted("console.css"), "script": _fingerprinted("console.js"), "icon": _fingerprinted("icon.svg"),
        }  # fmt: skip
        self._secret = secrets.token_bytes(32)  # sessions end with the process

    def app(self, https: bool = False) -> "Guarded":
        """The ASGI application."""
        routes = [
            Route("/", self.overview),
            Route("/search", self.search),
            Route("/search", self.look_for, methods=["POST"]),
            Route("/decisions/{decision_id}", self.line),
            Route("/decisions/{decision_id}/reveal", self.reveal, methods=["POST"]),
            Route("/decisions/{decision_id}/hide", self.hide, methods=["POST"]),
            Route("/events/{topic}/{partition:int}/{offset:int}", self.event),
            Route("/patients/{patient_id:path}/next-billable", self.next_billable),
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
        return Guarded(Starlette(routes=routes, middleware=middleware, exception_handlers=handlers), https=https)

    # -- pages

    def overview(self, request: Request) -> Response:
        as_of = _date(request.query_params.get("as_of"))
        with self.ledger.read() as connection:
            figures = reading.overview(connection, as_of, self.policy.profiles[-1].pend_limit_days)
            positions = reading.log_positions(connection)
        lag = (
            self.lag(positions) if self.lag else "Not known: this console was started without a Kafka to compare with."
        )
        return self.page(request, "overview.html", **figures, lag=lag, recorded=sum(positions.values()))

    async def look_for(self, request: Request) -> Response:
        """What was typed, as a form: a single line has its page at once, several an address that names nobody."""
        form = await request.form(max_files=0, max_fields=8)
        text, field, outcome = (str(form.get(name, "")).strip()[:200] for name in ("q", "in", "outcome"))
        return await run_in_threadpool(self._look_for, request, text, field, outcome if outcome in OUTCOMES else "")

    def _look_for(self, request: Request, text: str, field: str, outcome: str) -> Response:
        if not text:
            return RedirectResponse(f"/search{_query(outcome=outcome)}", 303)
        with self.ledger.read() as connection:
            found = search.find(connection, text, field)
            if found is None:
                events = search.events_named(connection, text)
                return self._search_page(
                    request, q=text, field=field, outcome=outcome, title="No line found", events=events
                )
            rows = (
                search.lines(connection, found.condition, outcome).rows
                or search.lines(connection, found.condition).rows
            )
        if len(rows) == 1:
            return RedirectResponse(f"/decisions/{rows[0].decision_id}", 303)
        named = {"q": text} if found.field in search.SAID_OPENLY else {"of": rows[0].decision_id}
        return RedirectResponse(f"/search{_query(by=found.field, **named, outcome=outcome)}", 303)

    def search(self, request: Request) -> Response:
        """The lines at an address that `look_for`, the overview or a link made: nothing in it tells who the patient is."""
        given = request.query_params
        text, field, outcome = given.get("q", "").strip()[:200], given.get("by", ""), given.get("outcome", "")
        outcome = outcome if outcome in OUTCOMES else ""
        with self.ledger.read() as connection:
            condition = None
            if of := given.get("of"):
                condition = search.condition_beside(connection, field, of)
                if condition is None:
                    return self._not_found(request, None)
            elif text and field in search.SAID_OPENLY:
                condition = search.condition_of(field, text)
            elif text or field:
                return self._search_page(request, title="Search", from_address=True)
            found = search.lines(connection, condition, outcome, given.get("after"))
        address = {name: given[name] for name in ("by", "of", "q") if name in given}
        after = found.rows[-1].decision_id if found.more else ""
        return self._search_page(
            request,
            q=text,
            field=field,
            outcome=outcome,
            title=f"{len(found.rows)}{' or more' if found.more else ''} line{'' if len(found.rows) == 1 else 's'}",
            what=_what(field, text, found.rows),
            lines=found.rows,
            more=f"/search{_query(**address, outcome=outcome, after=after)}" if after else "",
            later=bool(given.get("after")),
            ways={it: f"/search{_query(**address, outcome=it)}" for it in ("", *OUTCOMES)},
        )

    def _search_page(self, request: Request, **values: Any) -> Response:
        """The form, and below it what was found: `lines` is None where nothing was looked for or found."""
        nothing: dict[str, Any] = {
            "q": "", "field": "", "outcome": "", "title": "Search", "what": "", "lines": None, "events": [],
            "more": "", "later": False, "ways": {}, "from_address": False,
        }  # fmt: skip
        return self.page(request, "search.html", **(nothing | values))

    def line(self, request: Request) -> Response:
        given = request.query_params
        with self.ledger.read() as connection:
            page = reading.line_page(
                connection, request.path_params["decision_id"], self.policy, whole_time=given.get("time") == "whole"
            )
            if page is None:
                return self._not_found(request, None)
            current = page.current
            behind = self.lag.behind(reading.log_positions(connection)) if self.lag and not page.proof.equal else 0
            code, npi = given.get("code") or "S0354", (given.get("npi") or current.billing_npi).strip()
            # another provider's agreements are not among the patient's facts
            known = patient_facts(connection, current.patient_id, npi) if npi != current.billing_npi else page.facts
        asked_from = given.get("from") or iso(current.service_date)
        answer, problem = None, ""
        try:
            answer = to_json(
                ask(
                    known, self.policy, patient_id=current.patient_id, procedure_code=code, billing_npi=npi,
                    asked_from=day_from_iso(asked_from), plan_id=page.plan_id or None,
                )
            )  # fmt: skip
        except BadQuestion as error:
            problem = f"{error}."
        except ValueError:
            problem = "Give a day as YYYY-MM-DD, such as 2025-03-01."
        shown = self._revealed(request, current.patient_id)
        return self.page(
            request, "line.html", p=page, d=current, next=answer, problem=problem, asked_from=asked_from, code=code, npi=npi,
            revealed=shown, patient=current.patient_id if shown else masked(current.patient_id),
            minutes=REVEAL_SECONDS // 60, behind=behind if isinstance(behind, int) else 0,
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
            return self._message(request, 503, "Not revealed", sentence)
        until = dict(request.session.get("revealed", {}))
        until[self._handle(request, patient_id)] = int(time.time()) + REVEAL_SECONDS
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
            led_to = reading.caused_by(connection, event) if event and topic != BILLING_DECISIONS else []
            line = decision if topic == BILLING_DECISIONS else None
            refused = None if line else reading.refusal_of(connection, topic, partition, offset)
        if event is None:
            return self._not_found(request, None)
        patient_id = event.get("patient_id")
        shown = patient_id is None or self._revealed(request, str(patient_id))
        text = json.dumps(event if shown else _hide(event, str(patient_id)), indent=2, ensure_ascii=False)
        return self.page(
            request,
            "event.html",
            topic=topic,
            partition=partition,
            offset=offset,
            text=text,
            revealed=shown,
            led_to=led_to,
            line=line,
            refused=refused,
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
            return JSONResponse({"error": f"{error}."}, 404 if isinstance(error, UnknownPatient) else 400)
        return JSONResponse(to_json(answer))

    async def live(self, request: Request) -> Response:
        return StreamingResponse(self._feed(request), media_type="text/event-stream")

    async def _feed(self, request: Request) -> AsyncIterator[str]:
        """Decisions as the ledger gets them, the newest hundred where more come at once.

        The event id is where each partition stands: a reader that comes back with it goes on from there.
        """
        behind = _cursor(request.headers.get("last-event-id") or request.query_params.get("seen"))
        row = self.templates.from_string("{% from 'rows.html' import feed_row %}{{ feed_row(d) }}")
        yield "retry: 3000\n\n"
        told, away = None, False
        while not await request.is_disconnected():
            try:
                behind, found = await run_in_threadpool(self._news, behind)
                if away:
                    yield "event: back\ndata: the ledger answers\n\n"
                away = False
            except LedgerError:
                yield "event: away\ndata: the ledger does not answer\n\n"
                found, away = [], True
            for decision in found:
                yield f"event: decision\ndata: {row.render(d=decision).replace(chr(10), ' ')}\n\n"
            if behind is not None and behind != told:  # after the decisions: who is cut off before this gets them again
                yield f"id: {json.dumps(behind, separators=(',', ':'))}\nevent: place\ndata: the ledger moved\n\n"
                told = behind
            else:
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
            return ends, reading.newest_decisions(connection, moved, MOST_NEWS)

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
        wanted = str(request.session.get("wanted", "/"))
        request.session.clear()
        request.session["who"] = name
        return RedirectResponse(wanted, 303)

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
        named = request.headers.getlist(self.access.user_header) if self.access.user_header else []
        if name := self.access.name_by_proxy(peer, named):
            return name
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.access.name_of_token(token)
        name = request.session.get("who")
        return name if any(name == known for known, _ in self.access.tokens) else None

    def _revealed(self, request: Request, patient_id: str) -> bool:
        until = request.session.get("revealed", {}).get(self._handle(request, patient_id), 0)
        return bool(until > time.time())

    def _handle(self, request: Request, patient_id: str) -> str:
        """A patient as revealed to one person: whoever comes after them in the same browser reveals anew, under their own name."""
        told = f"{request.state.who}\0{patient_id}"
        return hashlib.blake2b(told.encode(), key=self._secret, digest_size=12).hexdigest()

    def _patient_of(self, decision_id: str) -> str | None:
        with self.ledger.read() as connection:
            return reading.patient_of(connection, decision_id)

    # -- errors

    def _message(self, request: Request, status: int, title: str, sentence: str) -> Response:
        at_fault_elsewhere = status >= 500 and request.method == "GET"  # then the same page may come the next time
        again = f"{request.url.path}{'?' if request.url.query else ''}{request.url.query}" if at_fault_elsewhere else ""
        return self.page(request, "message.html", status=status, title=title, sentence=sentence, again=again)

    def _no_ledger(self, request: Request, error: Exception) -> Response:
        if request.url.path.endswith("/next-billable"):
            return JSONResponse({"error": str(error)}, 503)
        return self._message(request, 503, "The ledger cannot be read", str(error))

    def _not_found(self, request: Request, _: Exception | None) -> Response:
        sentence = (
            "The ledger has nothing at this address. Search for the claim, or wait until the projector has caught up."
        )
        return self._message(request, 404, "Not found", sentence)

    def _broken(self, request: Request, _: Exception) -> Response:
        sentence = "The page could not be made. The console's log says why; try again, and tell whoever runs it."
        return self._message(request, 500, "Something went wrong", sentence)


class Guarded:
    """Every answer has the headers that keep a page to itself, also those to a broken request or to a wrong host."""

    def __init__(self, app: Starlette, *, https: bool) -> None:
        self._app = app
        self._headers = HEADERS | ({"strict-transport-security": "max-age=31536000"} if https else {})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = {name.encode(): value.encode() for name, value in self._headers.items()}
                if scope["path"].startswith("/static/") and scope["query_string"] and message["status"] == 200:
                    added[b"cache-control"] = KEPT  # its address has the content's hash
                message = {**message, "headers": [*message["headers"], *added.items()]}
            await send(message)

        await self._app(scope, receive, send_guarded)


class _Guard:
    """Every request: who asks, and from which page."""

    def __init__(self, app: Any, console: Console) -> None:
        self._app, self._console = app, console

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refused = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refused or self._app)(scope, receive, send)

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
            if request.method == "GET" and path.startswith(_WORTH_COMING_BACK):
                request.session["wanted"] = f"{path}?{request.url.query}" if request.url.query else path
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


def _told(sentence: str) -> Markup:
    """A sentence whose dates are not broken at the end of a line."""
    return Markup(_A_DATE.sub(r'<span class="day">\g<0></span>', str(escape(sentence))))  # noqa: S704 - escaped before


def _moved(cents: int) -> str:
    """Money that moves, with its sign: +$350.00 or −$350.00."""
    return ("+" if cents > 0 else "\N{MINUS SIGN}") + dollars(abs(cents))


def _query(**values: str) -> str:
    """A query string of what is not empty."""
    kept = {name: value for name, value in values.items() if value}
    return f"?{urlencode(kept)}" if kept else ""


def _what(field: str, text: str, rows: list[Any]) -> str:
    """What the lines of a page have in common, for a person."""
    if field == "reason":
        names = dict.fromkeys(reason_name(row.reason) for row in rows)
        return ", ".join(names) or text
    if field == "provider":
        return f"billed by NPI {text}"
    if not rows or not field:
        return ""
    return {
        "patient": f"of patient {masked(rows[0].patient_id)}",
        "claim": f"of claim {rows[0].claim_id}",
        "order": f"under order {rows[0].order_id}",
    }[field]


def _fingerprinted(name: str) -> str:
    """The address of a static file with its content's hash, so that browsers may keep it for good."""
    content = (resources.files("projections.console") / "static" / name).read_bytes()
    return f"/static/{name}?v={hashlib.blake2b(content, digest_size=6).hexdigest()}"


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
