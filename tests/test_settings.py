"""Settings: where they come from, what they may be, and what is said of wrong ones."""

from __future__ import annotations

import itertools
import string
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from otaflux.errors import BadSetting
from otaflux.model.names import Device
from otaflux.settings import SETTINGS, Address, BrokerUrl, Setting, Settings, envfile, origins, read


def complaints(environment: dict[str, str], **flags: str) -> tuple[str, ...]:
    """What is said of settings that are wrong; nothing where they are right."""
    try:
        read(flags, environment)
    except BadSetting as error:
        return error.complaints
    return ()


def test_nothing_set_gives_the_defaults() -> None:
    """An empty environment gives the documented defaults."""
    settings = read({}, {"PATH": "/bin", "OTAFLUX_UNKNOWN": "x"})
    assert settings == Settings()
    assert settings.listen_addr == Address("0.0.0.0", 8080)
    assert settings.max_firmware_size == 256 * 1024 * 1024
    assert (settings.registry_url, settings.webhook_secret) == (None, None)
    assert str(settings.data_dir) == "otaflux-data"


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """Flag, environment, env-file, default: the first that says something counts."""
    env_file = tmp_path / "env"
    for flag, environment, line in itertools.product(("", "1"), ("", "2"), ("", "3")):
        env_file.write_text(f"KEEP_VERSIONS={line}\n")
        settings = read({"keep_versions": flag}, {"KEEP_VERSIONS": environment}, env_file=env_file)
        expected = int(flag or environment or line or 3)
        assert settings.keep_versions == expected


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_an_empty_value_is_none(setting: Setting) -> None:
    """An empty or blank text leaves each setting, built or not, as if it were not set."""
    names = [setting.name, f"{setting.name}_FILE"]
    assert read({setting.field: ""}, dict.fromkeys(names, " ")) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("REGISTRY_URL", "registry.example", "https://registry.example"),
        ("REGISTRY_URL", "registry.example:5000/", "https://registry.example:5000"),
        ("REGISTRY_URL", "https:5000", "https://https:5000"),
        ("REGISTRY_URL", "https.example", "https://https.example"),
        ("REGISTRY_URL", "https://proxy.example/registry", "https://proxy.example/registry"),
        ("REGISTRY_URL", "https://index.docker.io/v1/", "https://index.docker.io/v1"),
        ("REGISTRY_URL", "http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("REGISTRY_URL", "https://[::1]:5000", "https://[::1]:5000"),
        ("REGISTRY_URL", " HTTPS://registry.example ", "https://registry.example"),
        ("REPOSITORY_PREFIX", "/acme/firmware/", "/acme/firmware/"),
        ("REPOSITORY_PREFIX", "/", "/"),
        ("REGISTRY_CONCURRENCY", "1", 1),
        ("REGISTRY_RATE", "0.5", 0.5),
        ("LISTEN_ADDR", "[::]:8080", Address("::", 8080)),
        ("LISTEN_ADDR", "localhost:0", Address("localhost", 0)),
        ("PUBLIC_URL", "https://ota.example/base/", "https://ota.example/base"),
        (
            "DEVICES",
            "lamp, acme/door\n  valve",
            frozenset(map(Device, ["lamp", "acme/door", "valve"])),
        ),
        ("CHANNELS", "beta,rc beta", ("beta", "rc")),
        ("RECHECK_INTERVAL", "2.5", 2.5),
        ("RECHECK_INTERVAL", "300s", 300.0),
        ("KEEP_VERSIONS", "0", 0),
        ("MAX_FIRMWARE_SIZE", "64MiB", 64 << 20),
        ("MAX_FIRMWARE_SIZE", "1GB", 1_000_000_000),
        ("MAX_FIRMWARE_SIZE", "1.5 kib", 1536),
        ("MAX_FIRMWARE_SIZE", "1000000", 1_000_000),
        ("MAX_FIRMWARE_SIZE", "17B", 17),
        ("SHUTDOWN_TIMEOUT", "0", 0.0),
        ("LOG_LEVEL", "TRACE", "debug"),
        ("LOG_LEVEL", "warn", "warning"),
        ("LOG_FORMAT", "console", "console"),
        ("REGISTRY_INSECURE", "Yes", True),
        ("MQTT_URL", "mqtt://broker.example", BrokerUrl("broker.example", 1883, secure=False)),
        ("MQTT_URL", "mqtts://broker.example/", BrokerUrl("broker.example", 8883, secure=True)),
        ("MQTT_URL", "MQTT://[::1]:1884", BrokerUrl("::1", 1884, secure=False)),
    ],
)
def test_what_people_write_is_understood(name: str, text: str, expected: object) -> None:
    """Each kind of value is read in the forms that people write it in."""
    assert getattr(read({}, {name: text}), name.lower()) == expected


def test_an_insecure_registry_without_a_scheme_is_http() -> None:
    """REGISTRY_INSECURE decides where no scheme is written, and only there."""
    insecure = {"REGISTRY_INSECURE": "true"}
    bare = read({}, {"REGISTRY_URL": "localhost:5000", **insecure})
    assert bare.registry_url == "http://localhost:5000"
    written = read({}, {"REGISTRY_URL": "https://localhost:5000", **insecure})
    assert written.registry_url == "https://localhost:5000"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("REGISTRY_URL", "ftp://registry.example"),
        ("REGISTRY_URL", "https:/registry.example"),
        ("REGISTRY_URL", "https:registry.example"),
        ("REGISTRY_URL", "https//registry.example"),
        ("REGISTRY_URL", "https://ghcr.io/acme"),
        ("REGISTRY_URL", "ghcr.io/acme"),
        ("REGISTRY_URL", "docker.io/acme"),
        ("REGISTRY_URL", "https://1.dkr.ecr.eu-west-1.amazonaws.com/acme/fw"),
        ("REGISTRY_URL", "https://user:hunter2@registry.example"),
        ("REGISTRY_URL", "user:hunter2@registry.example"),
        ("REGISTRY_URL", "https://"),
        ("REGISTRY_URL", "https://host:99999"),
        ("REGISTRY_URL", "https://[::1"),
        ("REGISTRY_URL", "https://host?x=1"),
        ("REPOSITORY_PREFIX", "Acme"),
        ("REPOSITORY_PREFIX", "acme//firmware"),
        ("REGISTRY_CONCURRENCY", "0"),
        ("REGISTRY_CONCURRENCY", "eight"),
        ("REGISTRY_CONCURRENCY", "٣"),
        ("REGISTRY_RATE", "0"),
        ("REGISTRY_RATE", "nan"),
        ("LISTEN_ADDR", "8080"),
        ("LISTEN_ADDR", "::1:8080"),
        ("LISTEN_ADDR", "[localhost]:8080"),
        ("LISTEN_ADDR", "0.0.0.0:65536"),
        ("LISTEN_ADDR", "http://0.0.0.0:8080"),
        ("PUBLIC_URL", "ota.example"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("DEVICES", "lamp RequestCache"),
        ("CHANNELS", "beta stable"),
        ("CHANNELS", "be.ta"),
        ("DEFAULT_CHANNEL", "beta"),
        ("DEFAULT_CHANNEL", "be.ta"),
        ("DEFAULT_CHANNEL", "Stable"),
        ("RECHECK_INTERVAL", "0"),
        ("RECHECK_INTERVAL", "5m"),
        ("RECHECK_INTERVAL", "1e3"),
        ("KEEP_VERSIONS", "-1"),
        ("MAX_FIRMWARE_SIZE", "0"),
        ("MAX_FIRMWARE_SIZE", "64M"),
        ("MAX_FIRMWARE_SIZE", "9" * 40),
        ("MAX_DOWNLOADS", "0"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("REGISTRY_INSECURE", "maybe"),
        ("REGISTRY_CA_CERT_PATH", "/nowhere/ca.pem"),
        ("TLS_CERT_PATH", "/nowhere/cert.pem"),
        ("REGISTRY_PASSWORD_FILE", "/nowhere/password"),
        ("DATA_DIR", __file__),
        ("MQTT_URL", "broker.example:1883"),
        ("MQTT_URL", "http://broker.example"),
        ("MQTT_URL", "mqtt://user:hunter2@broker.example"),
        ("MQTT_URL", "mqtt://broker.example/topic"),
        ("MQTT_URL", "mqtt://broker.example:0"),
        ("MQTT_URL", "mqtt://"),
        ("MQTT_TOPIC", "home/#"),
        ("MQTT_TOPIC", "+/ota"),
        ("MQTT_TOPIC", "$SYS/ota"),
        ("MQTT_TOPIC", "home/$ota"),
        ("MQTT_TOPIC", "/"),
        ("MQTT_TOPIC", "a\x01b"),
        ("MQTT_TOPIC", "t" * 201),
        ("MQTT_CA_CERT_PATH", __file__),
        ("MQTT_CLIENT_CERT_PATH", "/nowhere/cert.pem"),
    ],
)
def test_a_wrong_value_is_one_line(name: str, text: str) -> None:
    """A wrong value is one complaint: the setting, what was found, what is expected."""
    (complaint,) = complaints({name: text})
    assert complaint.startswith(f"{name}: found ")
    assert "expected" in complaint
    assert "\n" not in complaint
    assert "hunter2" not in complaint


def test_the_default_channel_is_one_that_is_served() -> None:
    """Stable, or one of CHANNELS; the complaint names those that there are."""
    assert read({}, {}).default_channel == "stable"
    both = {"CHANNELS": "rc beta", "DEFAULT_CHANNEL": "beta"}
    assert read({}, both).default_channel == "beta"
    (complaint,) = complaints({"CHANNELS": "rc beta", "DEFAULT_CHANNEL": "alpha"})
    assert complaint.endswith("expected stable or one of CHANNELS: stable, rc, beta")


def test_all_complaints_come_at_once() -> None:
    """Whoever has five mistakes hears of five, with the places where they stand."""
    found = complaints(
        {"LISTEN_ADDR": "x", "DEVICES": "A", "REGISTRY_USERNAME": "me", "TLS_KEY_PATH": __file__},
        keep_versions="many",
    )
    assert [line.partition(":")[0] for line in found] == [
        "LISTEN_ADDR",
        "DEVICES",
        "KEEP_VERSIONS",
        "REGISTRY_PASSWORD",
        "TLS_CERT_PATH",
    ]
    assert "(environment)" in found[0]
    assert "(--keep-versions)" in found[2]


def test_a_command_reads_only_what_it_uses() -> None:
    """A wrong setting that a command has no use for does not stop it."""
    settings = read({}, {"LISTEN_ADDR": "x", "KEEP_VERSIONS": "1"}, only={"keep_versions"})
    assert settings.keep_versions == 1
    with pytest.raises(BadSetting):
        read({}, {"LISTEN_ADDR": "x"}, only={"listen_addr"})


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """The _FILE form names a file; the secret follows it while the program runs."""
    path = tmp_path / "secret"
    path.write_text("one two\n")
    secret = read({}, {"WEBHOOK_SECRET_FILE": str(path)}).webhook_secret
    assert secret is not None
    assert secret.current().reveal() == "one two"
    path.write_text("three")
    assert secret.current().reveal() == "three"


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.secret], ids=lambda s: s.name)
def test_a_secret_is_named_once(tmp_path: Path, setting: Setting) -> None:
    """A secret and its file at once are refused, wherever each stands, and neither is shown."""
    path = tmp_path / "secret"
    path.write_text("hunter2")
    (complaint,) = complaints({setting.name: "hunter3"}, **{f"{setting.field}_file": str(path)})
    assert complaint.startswith(f"{setting.name}: found it (environment)")
    assert f"--{setting.field}-file".replace("_", "-") in complaint
    assert "hunter" not in complaint


def test_settings_do_not_show_secrets(tmp_path: Path) -> None:
    """Neither the settings themselves nor a complaint about others has a secret in it."""
    environment = {
        "WEBHOOK_SECRET": "hunter2",
        "REGISTRY_PASSWORD": "hunter3",
        "REGISTRY_USERNAME": "u",
    }
    assert "hunter" not in repr(read({}, environment))
    assert "hunter" not in str(complaints({**environment, "KEEP_VERSIONS": "x"}))


def test_certificate_and_key_belong_together(tmp_path: Path) -> None:
    """A certificate with its key is taken; a key that is another's is refused at the start."""
    authority = trustme.CA()
    for name in ("one", "two"):
        pair = authority.issue_cert("ota.example")
        pair.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        pair.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    cert = {"TLS_CERT_PATH": str(tmp_path / "one.crt")}
    settings = read({}, {**cert, "TLS_KEY_PATH": str(tmp_path / "one.key")})
    assert settings.tls_key_path == tmp_path / "one.key"
    (complaint,) = complaints({**cert, "TLS_KEY_PATH": str(tmp_path / "two.key")})
    assert complaint.startswith("TLS_CERT_PATH: found")
    assert read({}, {"REGISTRY_CA_CERT_PATH": str(tmp_path / "ca.pem")}).registry_ca_cert_path
    assert complaints({"REGISTRY_CA_CERT_PATH": str(tmp_path / "one.key")})


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"MQTT_TOPIC": "home"}, "MQTT_URL: found none, expected one, for MQTT_TOPIC is set"),
        ({"MQTT_PASSWORD": "p"}, "MQTT_URL: found none, expected one, for MQTT_PASSWORD is set"),
        (
            {"MQTT_URL": "mqtt://b", "MQTT_PASSWORD": "p"},
            "MQTT_USERNAME: found none, expected one, for MQTT_PASSWORD is set",
        ),
        (
            {"MQTT_URL": "mqtt://b", "MQTT_CLIENT_KEY_PATH": __file__},
            "MQTT_URL: found mqtt://, expected mqtts://, for MQTT_CLIENT_KEY_PATH is set",
        ),
        (
            {"MQTT_URL": "mqtts://b", "MQTT_CLIENT_KEY_PATH": __file__},
            "MQTT_CLIENT_CERT_PATH: found none, expected one, for MQTT_CLIENT_KEY_PATH is set",
        ),
        (
            {
                "MQTT_URL": "mqtts://b",
                "MQTT_CLIENT_KEY_PATH": __file__,
                "MQTT_CLIENT_CERT_PATH": __file__,
            },
            "MQTT_CLIENT_CERT_PATH: found",
        ),
        ({"MQTT_URL": "mqtt://b", "MQTT_TOPIC": "home/ota/", "MQTT_USERNAME": "u"}, ""),
    ],
)
def test_settings_of_the_broker_belong_together(
    environment: dict[str, str], complaint: str
) -> None:
    """What would be ignored is refused: a topic with no broker, certificates without TLS."""
    found = complaints(environment)
    assert found[0].startswith(complaint) if complaint else found == ()
    assert len(found) <= 1


def test_an_unspecified_address_is_reached_by_loopback() -> None:
    """A client on the same machine reaches a server that listens everywhere."""
    assert str(Address.parse("0.0.0.0:80").reachable) == "127.0.0.1:80"
    assert str(Address.parse("[::]:80").reachable) == "[::1]:80"
    assert str(Address.parse("ota.example:80").reachable) == "ota.example:80"


@given(st.sampled_from(SETTINGS), st.text(string.printable, max_size=40))
def test_no_text_raises_anything_else(setting: Setting, text: str) -> None:
    """Whatever stands in a setting, it is taken or refused in this project's own words."""
    for complaint in complaints({setting.name: text}):
        assert complaint.startswith(("REGISTRY_", setting.name, "TLS_", "MQTT_", "COSIGN_"))
        assert "\n" not in complaint


@given(st.integers(0, 65535), st.ip_addresses())
def test_addresses_come_back_as_they_were(port: int, ip: object) -> None:
    """What an address prints as is read as the same address."""
    address = Address(str(ip), port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("  A = b c ", "b c"),
        ("A=b # said", "b"),
        ("A=b#c", "b#c"),
        ("A=#c", "#c"),
        ("A=", ""),
        ("A= # nothing", ""),
        ("A='b # \"c' # said", 'b # "c'),
        (r'A="b \"c\"\n\\d"', 'b "c"\n\\d'),
        ("A=b\r", "b"),
        ("A=b=c", "b=c"),
        ("A=don't", "don't"),
    ],
)
def test_an_env_file_is_read_as_shells_read_it(line: str, value: str) -> None:
    """Quotes, comments and spaces in an env file mean what they mean elsewhere."""
    assert envfile.parse(f"# head\n\nB=first\n{line}\n", "env") == {"B": "first", "A": value}


def test_an_env_file_that_cannot_be_read_is_a_complaint(tmp_path: Path) -> None:
    """A missing file, bytes that are no text and lines that set nothing are told, not skipped."""
    for content, words in ((None, "No such file"), (b"\xff", "not UTF-8"), (b"A", "line 1")):
        path = tmp_path / "env"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadSetting, match=words):
            read({}, {}, env_file=path)


@given(st.text())
def test_no_env_file_raises_anything_else(content: str) -> None:
    """Any text is an env file or is refused in this project's own words."""
    with suppress(BadSetting):
        assert all(name.isidentifier() for name in envfile.parse(content, "env"))


@pytest.mark.parametrize(
    ("text", "level"),
    [("off", "critical"), ("0", "critical"), ("2", "warning"), ("5", "debug"), ("OFF", "critical")],
)
def test_levels_of_the_rust_program_are_taken_with_a_note(text: str, level: str) -> None:
    """`off` and digits stop no start, and the note says what they are taken as."""
    flags, environment = {"log_level": text}, {"CACHE_SIZE": "100", "REGISTRY_URLS": "x"}
    assert read(flags, environment).log_level == level
    found = origins(flags, environment, only=["log_level"])
    assert [note.partition(" ")[0] for note in found.notes] == ["CACHE_SIZE", "LOG_LEVEL"]
    assert found.notes[1].endswith(f"{text} is taken as {level}")
    assert [(each.name, each.meant) for each in found.misspelt] == [
        ("REGISTRY_URLS", "REGISTRY_URL")
    ]
    assert origins({}, {"LOG_LEVEL": "info"}, only=["log_level"]).notes == ()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("field", ["registry_password", "webhook_secret"])
def test_a_line_end_is_no_part_of_a_secret_in_either_form(
    tmp_path: Path, field: str, end: str
) -> None:
    """Spaces are; a file or a shell adds line ends."""
    (tmp_path / "secret").write_bytes(f" two words {end}".encode())
    name = field.upper()
    login = {"REGISTRY_USERNAME": "user"} if field == "registry_password" else {}
    for form in ({name: f" two words {end}"}, {f"{name}_FILE": str(tmp_path / "secret")}):
        secret = getattr(read({}, {**login, **form}), field)
        assert secret.current().reveal() == " two words "


@pytest.mark.parametrize(
    ("devices", "operators", "is_wrong"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "[::]:80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("0.0.0.0:80", "0.0.0.0:81", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_both_ports_on_one_address_are_refused(
    devices: str, operators: str, is_wrong: bool
) -> None:
    """With one line that names both; a port of 0 is another each time."""
    found = complaints({"LISTEN_ADDR": devices, "METRICS_LISTEN_ADDR": operators})
    assert [line.partition(":")[0] for line in found] == ["METRICS_LISTEN_ADDR"] * is_wrong
