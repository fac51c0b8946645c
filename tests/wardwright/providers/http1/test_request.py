import pytest

from wardwright.providers.http1.request import Origin, parse_endpoint, render_request


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://api.test/v1", Origin("api.test", 80, is_secure=False), "api.test"),
        ("https://api.test/v1", Origin("api.test", 443, is_secure=True), "api.test"),
        ("https://API.test:443/v1", Origin("api.test", 443, is_secure=True), "api.test"),
        ("http://api.test:8080/v1", Origin("api.test", 8080, is_secure=False), "api.test:8080"),
        ("https://api.test:80/v1", Origin("api.test", 80, is_secure=True), "api.test:80"),
        ("http://[::1]/v1", Origin("::1", 80, is_secure=False), "[::1]"),
        ("http://[::1]:8080/v1", Origin("::1", 8080, is_secure=False), "[::1]:8080"),
        ("http://m\u00fcnchen.test/v1", Origin("xn--mnchen-3ya.test", 80, is_secure=False), "xn--mnchen-3ya.test"),
    ],
)
def test_a_url_names_its_origin_and_the_host_header(url: str, origin: Origin, authority: str) -> None:
    endpoint = parse_endpoint(url)

    assert endpoint.origin == origin
    assert f"\r\nhost: {authority}\r\n" in endpoint.opening


@pytest.mark.parametrize(
    ("rest", "target"),
    [
        ("", "/"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1?api-version=2024-06-01&x=%20", "/v1?api-version=2024-06-01&x=%20"),
        ("/two words/\u00e4#part", "/two%20words/%C3%A4"),
        ("/a\r\nx-evil: 1", "/ax-evil:%201"),
    ],
)
def test_the_target_is_sent_as_it_is_but_for_what_a_request_line_cannot_hold(rest: str, target: str) -> None:
    assert parse_endpoint(f"http://api.test{rest}").opening.startswith(f" {target} HTTP/1.1\r\n")


def test_user_info_in_a_url_goes_nowhere() -> None:
    assert "secret" not in repr(parse_endpoint("http://name:secret@api.test/v1"))


@pytest.mark.parametrize("url", ["ftp://api.test/", "api.test/v1", "http:///v1", "http://api.test:x/", "http://a..b/"])
def test_a_url_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_endpoint(url)


def test_a_request_is_one_piece_of_head_and_body() -> None:
    endpoint = parse_endpoint("http://api.test/v1")

    request = render_request("POST", endpoint, {"content-type": "application/json"}, b"{}")

    assert request == (
        b"POST /v1 HTTP/1.1\r\nhost: api.test\r\naccept-encoding: identity\r\n"
        b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    )


def test_only_a_get_request_without_a_body_tells_no_length() -> None:
    endpoint = parse_endpoint("http://api.test/")

    assert b"content-length" not in render_request("GET", endpoint, {}, b"")
    assert b"content-length: 0\r\n" in render_request("POST", endpoint, {}, b"")


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\x00b", "a\x7fb", "\u00e4", "\u2028"])
def test_a_header_value_that_could_end_its_line_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        render_request("GET", parse_endpoint("http://api.test/"), {"x-request-id": value}, b"")
