"""Admin and receipt endpoints are for this machine, or for whoever holds the token."""

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.support.upstream import Upstream

PROTECTED = ["/v1/receipts", "/admin/runtime", "/admin/providers", "/admin/storage", "/admin/readiness", "/metrics"]
OPEN = ["/livez", "/readyz", "/v1/models"]


def test_without_a_token_only_requests_that_name_this_machine_are_answered(
    upstream: Upstream, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok"))

    with daemon.client() as client:
        for path in PROTECTED:
            assert client.get(path).status_code == 200
            for headers in (
                {"host": "gateway.example.com"},
                {"origin": "https://evil.example.com"},
                {"origin": "null"},
                {"host": "localhost.example.com"},
            ):
                refused = client.get(path, headers=headers)
                assert refused.status_code == 403, (path, headers)
                assert refused.json()["error"]["code"] == "protected_endpoint"
            assert client.get(path, headers={"origin": daemon.url, "host": "localhost:1"}).status_code == 200
        for path in OPEN:
            assert client.get(path, headers={"host": "gateway.example.com"}).status_code == 200


def test_with_a_token_it_is_required_from_this_machine_too(upstream: Upstream, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok"), environment={"WARDWRIGHT_ADMIN_TOKEN": "let-me-in"})

    with daemon.client() as client:
        for path in PROTECTED:
            assert client.get(path).status_code == 403
            assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 403
            assert client.get(path, headers={"authorization": "Bearer let-me-in"}).status_code == 200
            assert client.get(path, headers={"x-wardwright-admin-token": "let-me-in"}).status_code == 200
        assert client.get("/admin/events").status_code == 403
        with client.stream("GET", "/admin/events", headers={"authorization": "Bearer let-me-in"}) as watching:
            assert watching.status_code == 200
            assert next(watching.iter_lines()) == "retry: 2000"
        for path in OPEN:
            assert client.get(path).status_code == 200
    assert "let-me-in" not in "".join(daemon.raw_log)


@pytest.mark.parametrize("path", ["wardwright/nobody", "../etc/passwd", "%00"])
def test_an_actor_that_does_not_exist_is_not_found(upstream: Upstream, start_daemon: StartDaemon, path: str) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok"))

    with daemon.client() as client:
        assert client.get(f"/admin/runtime/actors/{path}").status_code == 404
        assert client.post(f"/admin/runtime/actors/{path}/kill").status_code == 404
