"""Every form of a secret, and nothing else, proves the sender of a hook."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hook_files import payload
from hypothesis import given
from hypothesis import strategies as st

from otaflux.errors import HooksClosed, Unproven
from otaflux.web.hooks.proof import ClaimedMacs, check_body, check_head, check_open

NEW, OLD = "new-s3cret", "öld-sécret"
SECRETS = check_open([NEW, OLD])
BODY = b'{"repository": "firmware/lamp"}'


def basic(user: str, password: str) -> str:
    """Basic credentials."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def mac(secret: str, body: bytes = BODY) -> str:
    """The HMAC of a body, in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


FORMS = [
    lambda secret: [("authorization", secret)],
    lambda secret: [("authorization", f"  {secret} ")],
    lambda secret: [("authorization", f"Bearer {secret}")],
    lambda secret: [("authorization", f"bearer   {secret}")],
    lambda secret: [("authorization", basic("hook", secret))],
    lambda secret: [("authorization", basic("", secret))],
    lambda secret: [("authorization", basic("hook", secret).replace("Basic", "BASIC"))],
    lambda secret: [("x-webhook-secret", secret)],
]


@pytest.mark.parametrize("secret", [NEW, OLD])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_each_secret_is_a_proof(form: object, secret: str) -> None:
    """While a secret is rotated both count, in every form that registries can send."""
    assert check_head(form(secret), [], SECRETS) is None


@pytest.mark.parametrize(
    "secret", ["", " ", "wrong", "new-s3cre", "new-s3crett", "NEW-S3CRET", "é"]
)
@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_anything_else_is_none(form: object, secret: str) -> None:
    """An empty secret, part of one and more than one prove nothing."""
    with pytest.raises(Unproven):
        check_head(form(secret), [], SECRETS)


def test_a_user_name_is_no_proof() -> None:
    """In Basic credentials the password is the secret, and the user anybody."""
    with pytest.raises(Unproven):
        check_head([("authorization", basic(NEW, "x"))], [], SECRETS)


def test_a_password_may_hold_colons() -> None:
    """The user's name ends at the first colon (RFC 7617)."""
    secrets = check_open(["a:b:c"])
    assert check_head([("authorization", basic("hook", "a:b:c"))], [], secrets) is None


@pytest.mark.parametrize("value", ["Basic", "Basic ", "Basic %%%", "Basic bm9jb2xvbg", "Bearer"])
def test_broken_credentials_are_no_proof(value: str) -> None:
    """What is no base64, or has no password, proves nothing and is no crash."""
    with pytest.raises(Unproven):
        check_head([("authorization", value)], [], SECRETS)


def test_one_proof_that_holds_is_enough() -> None:
    """What else is sent, and in which order, does not matter."""
    wrong = ("authorization", "wrong")
    right = ("authorization", f"Bearer {NEW}")
    for headers in ([wrong, right], [right, wrong], [wrong, ("x-webhook-secret", NEW)]):
        assert check_head(headers, ["wrong", ""], SECRETS) is None
    assert check_head([wrong], ["wrong", NEW], SECRETS) is None


def test_a_secret_of_the_query_may_hold_plus_signs() -> None:
    """Decoding a query makes them spaces, and base64 is full of them."""
    secrets = check_open(["ab+c/d=="])
    assert check_head([], ["ab c/d=="], secrets) is None
    assert check_head([], ["ab+c/d=="], secrets) is None


def test_without_a_secret_hooks_are_closed() -> None:
    """No secret, or only an empty one, closes hooks, for an empty proof would hold."""
    for secrets in ([], [""]):
        with pytest.raises(HooksClosed):
            check_open(secrets)


def test_missing_and_wrong_are_told_apart() -> None:
    """Who sets a hook up sees whether the secret arrived at all."""
    with pytest.raises(Unproven, match="missing"):
        check_head([("user-agent", "x")], [], SECRETS)
    with pytest.raises(Unproven, match="wrong"):
        check_head([("x-webhook-secret", "x")], [], SECRETS)


@pytest.mark.parametrize("secret", [NEW, OLD])
@pytest.mark.parametrize(
    ("name", "prefix"), [("x-hub-signature-256", "sha256="), ("x-gitea-signature", "")]
)
def test_an_hmac_is_judged_over_the_body(name: str, prefix: str, secret: str) -> None:
    """GitHub's and Gitea's signatures hold for the bytes that were signed, and no others."""
    for value in (mac(secret), mac(secret).upper()):
        claims = check_head([(name, prefix + value)], [], SECRETS)
        assert isinstance(claims, ClaimedMacs)
        check_body(claims, [BODY], SECRETS)
        with pytest.raises(Unproven):
            check_body(claims, [BODY + b" "], SECRETS)
    claims = check_head([(name, prefix + mac("other"))], [], SECRETS)
    assert isinstance(claims, ClaimedMacs)
    with pytest.raises(Unproven):
        check_body(claims, [BODY], SECRETS)


def test_a_secret_that_is_no_text_is_its_bytes() -> None:
    """The environment may hold any bytes, and an HMAC is over bytes."""
    raw = b"s\xff\xfecret"
    secrets = check_open([raw.decode("utf-8", "surrogateescape")])  # as Python has it
    claims = check_head(
        [("x-gitea-signature", hmac.new(raw, BODY, hashlib.sha256).hexdigest())], [], secrets
    )
    assert claims is not None
    check_body(claims, [BODY], secrets)
    shown = base64.b64encode(b"hook:" + raw).decode()
    assert check_head([("authorization", f"Basic {shown}")], [], secrets) is None
    with pytest.raises(Unproven):
        check_head([("x-webhook-secret", "\ud800")], [], secrets)


@pytest.mark.parametrize(
    "header",
    [
        ("x-hub-signature-256", "sha256="),
        ("x-hub-signature-256", ""),
        ("x-hub-signature-256", mac(NEW)),
        ("x-hub-signature-256", "sha1=" + "0" * 40),
        ("x-gitea-signature", ""),
        ("x-gitea-signature", "sha256=" + mac(NEW)),
        ("x-gitea-signature", "0" * 63),
        ("x-gitea-signature", "g" * 64),
    ],
)
def test_an_empty_hmac_is_no_claim(header: tuple[str, str]) -> None:
    """Gitea without a secret sends empty signatures: no body is read for those."""
    with pytest.raises(Unproven):
        check_head([header], [], SECRETS)


def test_an_empty_body_has_an_hmac_too() -> None:
    """Signing nothing is still signing."""
    claims = ClaimedMacs((mac(NEW, b"").encode(),))
    check_body(claims, [b""], SECRETS)


@pytest.mark.parametrize(
    "file",
    ["ghcr-ping.json", "ghcr-registry_package_published.json", "gitea-package_created.json"],
)
def test_the_signatures_of_real_payloads_hold(file: str) -> None:
    """What GitHub and Gitea compute is what is checked."""
    sent = payload(file)
    secrets = check_open([sent.secret])
    claims = check_head(list(sent.headers.items()), [], secrets)
    assert isinstance(claims, ClaimedMacs)
    check_body(claims, [sent.body], secrets)


headers = st.lists(
    st.tuples(
        st.sampled_from(
            ["authorization", "x-webhook-secret", "x-hub-signature-256", "x-gitea-signature"]
        ),
        st.text()
        | st.binary().map(lambda value: value.decode("utf-8", "surrogateescape"))
        | st.text().map(lambda value: f"Basic {value}"),
    ),
    max_size=4,
)


@given(headers, st.lists(st.text(), max_size=2), st.binary(max_size=20))
def test_arbitrary_proofs_prove_nothing(
    sent: list[tuple[str, str]], query: list[str], body: bytes
) -> None:
    """No header or query, whatever its bytes, is a proof or an error of another kind."""

    def prove() -> None:
        claims = check_head(sent, query, SECRETS)
        if claims is not None:
            check_body(claims, [body], SECRETS)

    with pytest.raises(Unproven):
        prove()
