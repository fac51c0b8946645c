"""Stream rules over HTTP, on both event loops: the examples by which the original's rules are known.

What is released, blocked and rewritten in all, the final status and the offsets of matches are those of the original. How much is
released before a match is not: the original holds a fixed window, this gateway only what may still become part of a match.
"""

import uuid
from collections.abc import Iterator, Sequence

import openai
import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.seen import Seen, seen_of
from tests.support.upstream import Upstream

OLD = "OldClient("

RULES = {
    "block": 'contains = "OldClient("\naction = "block"',
    "block-missing": 'contains = "missing"\naction = "block"',
    "block-regex": "regex = 'OldClient\\('\naction = \"block\"",
    "block-secret": "regex = 'secret-[0-9]+'\nhorizon_bytes = 64\naction = \"block\"",
    "rewrite": 'contains = "OldClient("\naction = "rewrite"\nreplacement = "NewClient("',
    "drop": 'contains = "DROP"\naction = "drop"',
    "retry": 'contains = "OldClient("\naction = "retry_with_reminder"\nreminder = "Use NewClient."\nmax_retries = 1',
    "retry-never": 'contains = "OldClient("\naction = "retry"\nmax_retries = 0',
    "retry-long": f'contains = "OldClient("\naction = "retry_with_reminder"\nreminder = "{"word " * 2000}"',
    "hold": 'contains = "OldClient("\naction = "block"\nmax_hold_ms = 1',
    "hold-open": 'contains = "OldClient("\naction = "block"\nmax_hold_ms = 1\non_hold_exceeded = "open"',
}
CHAIN = """
[[models.stream_rules]]
id = "longer"
contains = "ABC"
action = "rewrite"
replacement = "LONGER-REPLACEMENT"

[[models.stream_rules]]
id = "tail"
contains = "REPLACEMENTTAIL"
action = "block"
"""


def configuration(upstream: Upstream, backend: str) -> str:
    def model(name: str, rules: str, mode: str = "horizon", root: str = "up/small") -> str:
        policy = f'stream_policy = {{ mode = "{mode}" }}'
        return f'[[models]]\nid = "{name}"\nversion = "v1"\nroute_root = "{root}"\n{policy}\n{rules}\n'

    def rule(text: str) -> str:
        return f'[[models.stream_rules]]\nid = "r"\n{text}\n'

    models = [model(name, rule(text)) for name, text in RULES.items()]
    models += [model(f"{name}-whole", rule(text), "full_buffer") for name, text in RULES.items()]
    models.append(model("chain", CHAIN))
    models.append('[[models]]\nid = "bounded"\nroute_root = "up/small"\n[models.stream_policy]\nmode = "full_buffer"\n')
    models.append("max_hold_bytes = 2048\n")
    fitting = '[[models.dispatchers]]\nid = "fit"\nmodels = ["up/small", "up/large"]\n'
    models.append(model("reroute", fitting + rule(RULES["retry-long"]), root="fit"))
    targets = "".join(
        f'[[targets]]\nid = "up/{name}"\nprovider = "up"\nupstream_model = "say"\ncontext_window = {window}\n'
        for name, window in (("small", 1000), ("large", 100_000))
    )
    return f"""
[runtime]
backend = "{backend}"

[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "{upstream.url}"
{targets}
{"".join(models)}"""


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with run_daemon(tmp_path_factory.mktemp("rules"), configuration(shared_upstream, backend)) as running:
        yield running


def ask(daemon: Daemon, model: str, *answers: Sequence[str], stream: bool = True) -> Seen:
    return seen_of(daemon, daemon.chat(model=model, stream=stream, say=answers, say_as=str(uuid.uuid4())))


class TestWhatIsReleased:
    def test_text_without_a_match_leaves_as_it_came(self, daemon: Daemon) -> None:
        seen = ask(daemon, "block", ["alpha ", "beta ", "gamma"])
        assert (seen.status, seen.pieces, seen.is_done) == (200, ["alpha ", "beta ", "gamma"], True)
        assert (seen.policy["generated_bytes"], seen.policy["released_bytes"]) == (16, 16)
        assert (seen.policy["held_bytes"], seen.policy["max_held_bytes"]) == (0, 0)

    def test_no_character_is_cut(self, daemon: Daemon) -> None:
        seen = ask(daemon, "block-missing", ["ééé", "abc"])
        assert (seen.text, seen.policy["released_bytes"]) == ("éééabc", 9)

    def test_a_match_is_replaced(self, daemon: Daemon) -> None:
        seen = ask(daemon, "rewrite", ["abc ", OLD, " done"])
        assert (seen.text, seen.is_done) == ("abc NewClient( done", True)
        assert seen.policy["rewritten_bytes"] == 10
        assert seen.offsets == [(1, "chunk", "literal", 4, 14)]

    def test_a_match_is_replaced_across_pieces(self, daemon: Daemon) -> None:
        seen = ask(daemon, "rewrite", ["call Old", "Client(arg) now"])
        assert seen.text == "call NewClient(arg) now"
        assert (seen.policy["generated_bytes"], seen.policy["released_bytes"]) == (23, 23)
        assert seen.offsets == [(1, "stream_window", "literal", 5, 15)]

    def test_a_match_is_dropped(self, daemon: Daemon) -> None:
        seen = ask(daemon, "drop", ["keep ", "DROP", " done"])
        assert (seen.text, seen.policy["generated_bytes"], seen.policy["released_bytes"]) == ("keep  done", 14, 10)

    def test_a_whole_answer_is_read_by_the_same_rules(self, daemon: Daemon) -> None:
        seen = ask(daemon, "rewrite", ["use OldClient(", "arg) now"], stream=False)
        assert (seen.status, seen.text) == (200, "use NewClient(arg) now")

    def test_a_short_hold_ends_an_answer_that_is_held(self, daemon: Daemon) -> None:
        seen = ask(daemon, "hold", ["Old", "er"])
        assert seen.error is not None
        assert (seen.status, seen.error["code"]) == (422, "stream_policy_hold_exceeded")
        assert seen.policy["events"][0]["type"] == "stream_policy.hold_exceeded"

    def test_a_hold_that_fails_open_lets_go(self, daemon: Daemon) -> None:
        seen = ask(daemon, "hold-open", ["an Old", "er", " one"])
        assert (seen.status, seen.text, seen.is_done) == (200, "an Older one", True)
        blocked = ask(daemon, "hold-open", ["an Old", "Client("])
        assert blocked.error is not None
        assert (blocked.error["code"], OLD in blocked.text) == ("stream_policy_blocked", False)

    def test_no_more_of_a_stream_is_held_than_may_be(self, daemon: Daemon) -> None:
        assert ask(daemon, "bounded", ["a", "b"]).text == "ab"
        seen = ask(daemon, "bounded", ["word "] * 20)
        assert seen.error is not None
        assert (seen.status, seen.text, seen.error["code"]) == (422, "", "stream_policy_hold_exceeded")
        assert seen.policy["events"][0]["observed_hold_bytes"] > 2048


class TestWhatIsBlocked:
    @pytest.mark.parametrize(("model", "kind"), [("block", "literal"), ("block-regex", "regex")])
    def test_a_match_across_pieces_is_found_where_it_is(self, daemon: Daemon, model: str, kind: str) -> None:
        seen = ask(daemon, model, ["abc Old", "Client("])
        assert (seen.status, seen.text, seen.is_done) == (200, "abc ", False)
        assert seen.offsets == [(1, "stream_window", kind, 4, 14)]

    def test_nothing_of_it_leaves_in_another_form(self, daemon: Daemon) -> None:
        body = {"say": [["abc Old", "Client("]], "say_as": str(uuid.uuid4()), "logprobs": True}
        answer = daemon.chat(model="block", stream=True, **body)
        assert "abc " in answer.text
        assert OLD not in answer.text
        listed = daemon.receipts(model="block", stream_policy_action="block")
        assert answer.headers["x-wardwright-receipt-id"] in {summary["receipt_id"] for summary in listed}
        assert daemon.receipts(model="block", stream_policy_action="rewrite") == []

    def test_the_safe_part_has_left_and_the_rest_is_withheld(self, daemon: Daemon) -> None:
        seen = ask(daemon, "block", ["safe prefix that can release ", "Old", "Client(arg)"])
        assert (seen.status, seen.text, seen.is_done) == (200, "safe prefix that can release ", False)
        assert seen.error is not None
        assert seen.error["code"] == "stream_policy_blocked"
        assert seen.offsets == [(2, "stream_window", "literal", 29, 39)]
        # The original has let go of 22 bytes by then, seven less: its window is ten bytes wide whatever is in it.
        assert (seen.policy["released_bytes"], seen.policy["held_bytes"], seen.policy["blocked_bytes"]) == (29, 14, 14)
        assert seen.receipt["final"]["status"] == "stream_policy_blocked"

    def test_replaced_text_is_read_again_with_what_follows_it(self, daemon: Daemon) -> None:
        seen = ask(daemon, "chain", ["ABC", "TAIL"])
        assert (seen.text, seen.is_done) == ("LONGER-", False)
        assert [offsets[3:] for offsets in seen.offsets] == [(0, 3), (7, 22)]

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    def test_an_answer_of_which_nothing_has_left_is_a_refusal(self, daemon: Daemon, stream: bool) -> None:
        seen = ask(daemon, "block-secret-whole", ["safe prefix sec", "ret-123 suffix"], stream=stream)
        assert seen.error is not None
        assert (seen.status, seen.error["code"], seen.error["type"]) == (422, "stream_policy_blocked", "policy_error")
        assert seen.headers["x-should-retry"] == "false"
        assert (seen.policy["trigger_count"], seen.policy["released_bytes"]) == (1, 0)
        # A match ends where it is first complete, at the first digit; the original takes all three.
        assert seen.offsets[0][3:] == (12, 20)
        assert seen.receipt["attempts"][0]["status"] == "stopped"


class TestWhatIsAskedAgain:
    ANSWERS = (["use OldClient(", "arg) now"], ["use NewClient(", "arg) now"])

    def test_a_reminder_brings_a_better_answer(self, daemon: Daemon, shared_upstream: Upstream) -> None:
        shared_upstream.calls.clear()
        seen = ask(daemon, "retry-whole", *self.ANSWERS)
        assert (seen.status, seen.text, seen.is_done) == (200, "use NewClient(arg) now", True)
        assert seen.policy["retry_count"] == 1
        assert [event["type"] for event in seen.policy["events"]] == [
            "stream_policy.triggered",
            "attempt.retry_requested",
        ]
        assert [attempt["status"] for attempt in seen.receipt["attempts"]] == ["stopped", "completed"]
        assert [attempt["released_bytes"] for attempt in seen.receipt["attempts"]] == [0, 22]
        assert all("usage" in attempt for attempt in seen.receipt["attempts"]), "abandoned answers are paid for"
        assert shared_upstream.calls[1].json["messages"][1:] == [
            {"role": "system", "name": "wardwright_stream_policy_reminder", "content": "Use NewClient."}
        ]

    def test_even_in_a_horizon_when_the_match_comes_first(self, daemon: Daemon) -> None:
        assert ask(daemon, "retry", *self.ANSWERS).text == "use NewClient(arg) now"

    def test_a_second_violation_is_one_too_many(self, daemon: Daemon) -> None:
        seen = ask(daemon, "retry-whole", self.ANSWERS[0])
        assert seen.error is not None
        assert (seen.status, seen.error["code"]) == (422, "stream_policy_retries_exhausted")
        assert (seen.policy["retry_count"], seen.policy["released_bytes"]) == (1, 0)
        assert seen.headers["x-should-retry"] == "false"

    def test_a_rule_without_retries_asks_nobody(self, daemon: Daemon) -> None:
        seen = ask(daemon, "retry-never-whole", self.ANSWERS[0])
        assert (seen.status, seen.policy["retry_count"], len(seen.receipt["attempts"])) == (422, 0, 1)

    def test_nothing_is_asked_again_once_text_has_left(self, daemon: Daemon) -> None:
        seen = ask(daemon, "retry", ["use ", OLD], ["never asked for"])
        assert (seen.status, seen.text, seen.is_done) == (200, "use ", False)
        assert seen.policy["events"][-1]["reason"] == "already_released"
        assert len(seen.receipt["attempts"]) == 1

    def test_a_reminder_that_does_not_fit_is_a_refusal(self, daemon: Daemon) -> None:
        seen = ask(daemon, "retry-long", *self.ANSWERS)
        assert seen.status == 422
        assert seen.policy["events"][-1]["reason"] == "nothing_fits"

    def test_a_reminder_that_does_not_fit_is_taken_where_it_does(self, daemon: Daemon) -> None:
        seen = ask(daemon, "reroute", *self.ANSWERS)
        assert seen.text == "use NewClient(arg) now"
        requested = seen.policy["events"][-1]
        assert (requested["from_model"], requested["to_model"]) == ("up/small", "up/large")
        assert seen.headers["x-wardwright-selected-model"] == "up/large"


def test_an_openai_client_takes_no_cut_answer_for_a_whole_one(daemon: Daemon) -> None:
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=2) as client:
        said = {"say": [["use ", OLD]], "say_as": str(uuid.uuid4())}
        stream = client.chat.completions.create(
            model="block", messages=[{"role": "user", "content": "hi"}], stream=True, extra_body=said
        )
        with pytest.raises(openai.APIError, match="breaks the stream rule"):
            list(stream)
        before = len(daemon.receipts())
        with pytest.raises(openai.UnprocessableEntityError):
            client.chat.completions.create(model="block", messages=[{"role": "user", "content": "hi"}], extra_body=said)
        assert len(daemon.receipts()) == before + 1, "it is told not to try again"
