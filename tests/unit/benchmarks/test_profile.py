"""Which stage a sample of the worker counts for."""

import pytest

from benchmarks.profile import REST, Share, shares, stage_of

MAIN = "main (streams/cli.py:96);run_worker (streams/runtime/worker.py:68)"
PROCESS = "Lane._decide (streams/runtime/lane.py:290);CPyDef_adjudicator___Adjudicator___process (0a__mypyc.so)"


@pytest.mark.parametrize(
    ("inner", "stage"),
    [
        ("Fetcher._proc_fetch_request (aiokafka/consumer/fetcher.py:747);send (aiokafka/conn.py:1)", "requests and answers"),
        ("_unpack_records (aiokafka/consumer/fetcher.py:203);__next__ (default_records.c:7499)", "consume"),
        ("Lane._run_batch (streams/runtime/lane.py:250);CPyDef_inbox___Inbox___take (0a__mypyc.so)", "consume"),
        (f"{PROCESS};CPyDef_agents___intake___accept (0a__mypyc.so);decode_utf8 (libpython3.so)", "decode and check"),
        (f"{PROCESS};CPyDef_fold___settle (0a__mypyc.so);CPyDef_edits___decide (0a__mypyc.so)", "fold"),
        (f"{PROCESS};CPyPy_fold____settle_claim (0a__mypyc.so);PyTuple_New (libpython3.so)", "fold"),
        (f"{PROCESS};CPyDef_fold___issue (0a__mypyc.so);CPyDef_identity___id_of (0a__mypyc.so);sha (libc.so)", "fold"),
        (f"{PROCESS};fold (streams/adjudication/fold.py:90)", "fold"),
        (f"{PROCESS};CPyDef_adjudicator____publish (0a__mypyc.so);writer (schemas/wire.py:213)", "encode"),
        (f"{PROCESS};CPyDef_patient_state___StoredPatient___store (0a__mypyc.so);encode (msgspec/_core.so)", "patient state"),
        (PROCESS, "around the fold"),
        ("Writer._run (streams/runtime/transactions.py:160);Writer._packed (streams/runtime/transactions.py:195)", "produce"),
        ("Writer._transaction (s/transactions.py:8);TransactionalProducer._produce (streams/runtime/producer.py:8)", "produce"),
        ("Writer._transaction (s/transactions.py:8);TransactionalProducer._ask (streams/runtime/producer.py:9)", "commit"),
        ("Lane._commit (streams/runtime/lane.py:332);Writer.commit (streams/runtime/transactions.py:99)", "commit"),
        ("loop_cb_idle_callback (loop.c:92362);epoll_pwait (libc.so.6)", REST),
    ],
)  # fmt: skip
def test_the_innermost_frame_that_has_a_stage_decides(inner: str, stage: str) -> None:
    assert stage_of(f"{MAIN};{inner}".split(";")) == stage


def test_shares_are_of_the_main_threads_samples() -> None:
    found = shares(
        [
            f"{MAIN};{PROCESS};CPyDef_fold___issue (0a__mypyc.so);CPyDef_fold____new_versions.constprop.0.cold (0a__mypyc.so) 3",
            f"{MAIN};epoll_pwait (libc.so.6) 1",
            "Thread.run (threading.py:982);wait (threading.py:1) 400",
        ]
    )
    assert found == [
        Share("fold", 0.75, [("fold._new_versions", 0.75)]),
        Share(REST, 0.25, [("epoll_pwait (libc.so.6)", 0.25)]),
    ]
