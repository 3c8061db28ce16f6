"""Facts about git addresses and names of revisions as hostile input."""

from __future__ import annotations

import pytest

from dg.core.deployments.remotes import address, check_ref, check_url, without_userinfo
from dg.core.errors import Invalid


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/web.git",
        "https://acme@dev.azure.com/acme/web",
        "https://git.example.com:8443/web.git",
        "https://[::1]:8443/web.git",
        "ssh://git@github.com/acme/web.git",
        "ssh://git@[::1]:2222/web.git",
        "git@github.com:acme/web.git",
        "github.com:acme/web.git",
        "git@host:~/web.git",
        "file:///srv/git/web.git",
        "/srv/git/web.git",
    ],
)
def test_ordinary_addresses_are_taken(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ext::sh",
        "ext::sh -c touch% x",
        "fd::17/foo",
        "http://github.com/acme/web.git",
        "git://github.com/acme/web.git",
        "ssh://-oProxyCommand=x/y",
        "ssh://-oProxyCommand=x@host/y",
        "-oProxyCommand=x@host:y",
        "git@-oProxyCommand=x:y",
        "host::y",
        "https://",
        "https:///x",
        "https://[::1/x",
        "https://ho st/x",
        "https://host/x\n",
        "https://host/\x1b[2J",
        "file://host/x",
        "file://",
        "relative/path",
        "../x",
        "https://host/" + "a" * 3000,
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(Invalid):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter22@host/x",
        "https://:hunter22@host/x",
        "ftp://user:hunter22@host/x",
        "ssh://git:hunter22@host/x",
        "https://a@b:hunter22@host/x",
    ],
)
def test_a_password_is_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_url(url)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    "ref",
    ["main", "release/1.2", "v1.0.0", "refs/heads/main", "feature-x", "fix#12", "größe", "deadbee", "a@b"],
)
def test_names_git_allows_are_taken(ref: str) -> None:
    assert check_ref(ref) == ref


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-x",
        "--upload-pack=touch x",
        "--output=/tmp/x",
        "a..b",
        "main@{1}",
        "@",
        "main^",
        "main~1",
        "^main",
        "main:dg.toml",
        ":/fix",
        "a b",
        "a\tb",
        "a\nb",
        "a\x00b",
        "a\x1bb",
        "a\u202eb",
        "refs/heads/*",
        "a?",
        "a[b",
        "a\\b",
        "/main",
        "main/",
        "main.",
        "a//b",
        ".hidden",
        "a/.hidden",
        "main.lock",
        "a.lock/b",
        "x" * 256,
        "\ud800",
    ],
)
def test_names_that_could_mean_more_are_refused(ref: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_ref(ref)
    caught.value.message.encode("utf-8")
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("fatal: https://u:p@host/x not found", "fatal: https://host/x not found"),
        ("https://tok@host and ssh://git@h2/x", "https://host and ssh://h2/x"),
        ("https://a@b:p@host/x", "https://host/x"),
        ("mail me@example.com", "mail me@example.com"),
    ],
)
def test_userinfo_is_taken_out_of_any_text(text: str, clean: str) -> None:
    assert without_userinfo(text) == clean


@pytest.mark.parametrize(
    ("beginning", "url"),
    [
        ("git@github.com:acme/", "git@github.com:acme/web.git"),
        ("git@github.com:acme", "ssh://git@GitHub.com/acme/web.git"),
        ("git@github.com:acme/web", "git@github.com:acme/web.git"),
        ("git@github.com:acme/web.git", "git@github.com:acme/web.git"),
        ("git@github.com:", "ssh://git@github.com:22/acme/web"),
        ("ssh://github.com/", "git@github.com:acme/web"),
        ("https://github.com", "https://github.com:443/acme/web"),
        ("https://github.com/", "https://somebody@github.com/acme/web"),
        ("https://h/My%20Project/", "https://h/My%20Project/_git/web"),
    ],
)
def test_an_address_falls_under_its_beginning(beginning: str, url: str) -> None:
    start, whole = address(beginning), address(url)
    assert start is not None
    assert whole is not None
    assert start.begins(whole)


@pytest.mark.parametrize(
    ("beginning", "url"),
    [
        ("git@github.com:acme", "git@github.com:acme-labs/web.git"),
        ("git@github.com:acme/web", "git@github.com:acme/web2.git"),
        ("git@github.com:acme/web", "git@github.com:acme/web.git/other"),
        ("git@github.com:acme/web", "git@github.com:acme"),
        ("git@github.com:acme/", "git@github.com.evil.example:acme/web"),
        ("git@github.com:acme/", "bob@github.com:acme/web"),
        ("git@github.com:acme/", "ssh://git@github.com:2222/acme/web"),
        ("git@github.com:acme/", "https://github.com/acme/web"),
        ("https://github.com", "https://github.com.evil.example/acme/web"),
        ("https://github.com", "https://github.com@evil.example/acme/web"),
        ("https://github.com", "https://github.com:8443/acme/web"),
        ("https://github.com/acme", "https://github.com/other/web"),
    ],
)
def test_an_address_elsewhere_does_not(beginning: str, url: str) -> None:
    start, whole = address(beginning), address(url)
    assert start is not None
    assert whole is not None
    assert not start.begins(whole)


@pytest.mark.parametrize(
    "url",
    [
        "https://h/acme/../other/web",
        "https://h/acme/%2e%2e/other/web",
        "https://h/acme/%2E/web",
        "https://h/acme%2F..%2Fother",
        "https://h/acme%5Cother",
        "git@h:acme/../other",
        "/srv/git/web",
        "file:///srv/git/web",
    ],
)
def test_an_address_that_a_server_could_read_in_another_way_falls_under_nothing(url: str) -> None:
    assert address(url) is None
