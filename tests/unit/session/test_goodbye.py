from __future__ import annotations

from ecsnet.session.goodbye import Goodbye, Reason, code_of, reason_of, sentence


def test_what_a_newer_peer_says_for_a_reason_reads_as_an_error() -> None:
    reasons = [reason_of(code) for code in range(256)]
    assert reasons[: len(Reason)] == list(Reason)
    assert set(reasons[len(Reason) :]) == {Reason.ERROR}
    assert all(Goodbye(code_of(reason)).reason is reason for reason in Reason)


def test_a_sentence_has_the_text_where_there_is_one() -> None:
    assert sentence(Reason.KICKED, "no cheating") == "kicked: no cheating"
    assert sentence(Reason.KICKED, "") == "kicked"
