"""Web configurations, good and bad, each with the one error that it makes; beside them lie server.pem, server.key and ca.pem."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.certificates import Authority

__all__ = ["HASH", "PASSWORD", "SAMPLES", "TLS", "Sample", "lay_out"]

PASSWORD = "correct horse"  # noqa: S105
HASH = "$2b$04$dlYvX8bdjwAOmMSjk0nikuVaBIBSoXBv/YyRPH3xgkPWsYwm6TVHu"
"""Of that password, at the least cost."""

TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
CLIENTS = TLS + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
HTTP = "http_server_config:\n"
HTPASSWD = "write what `htpasswd -nBC 10 NAME` prints after the colon, in quotes"
BEYOND = "is refused here: "


class Sample(NamedTuple):
    """A file, and the end of its error after ``web.yml:``, empty for none. ``refused`` says why promtool takes what is refused here."""

    name: str
    text: str
    error: str = ""
    refused: str = ""


SAMPLES = [
    Sample("empty", ""),
    Sample("empty mapping", "{}\n"),
    Sample("empty sections", "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n"),
    Sample("empty section of TLS", "tls_server_config: {}\n"),
    Sample("TLS", TLS),
    Sample("clients", CLIENTS),
    Sample("clients if given", TLS + "  client_ca_file: ca.pem\n  client_auth_type: VerifyClientCertIfGiven\n"),
    Sample("no clients", TLS + "  client_auth_type: NoClientCert\n"),
    Sample("names of clients", CLIENTS + '  client_allowed_sans: [a.example, "10.0.0.1"]\n'),
    Sample("versions", TLS + "  min_version: TLS13\n  max_version: TLS13\n"),
    Sample("suites", TLS + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  prefer_server_cipher_suites: false\n"),
    Sample("suites of TLS 1.3", TLS + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"),
    Sample("curve", TLS + "  curve_preferences: [CurveP384]\n"),
    Sample("HTTP/2 off", TLS + HTTP + "  http2: false\n"),
    Sample(
        "headers",
        HTTP + "  headers:\n    Content-Security-Policy: \"default-src 'none'\"\n    Strict-Transport-Security: max-age=60\n"
        '    X-Content-Type-Options: nosniff\n    X-Frame-Options: sameorigin\n    X-XSS-Protection: ""\n',
    ),
    Sample("number as a header", HTTP + "  headers: {X-XSS-Protection: 0}\n"),
    Sample(
        "boolean as a header",
        HTTP + "  headers: {X-XSS-Protection: true}\n",
        "2: http_server_config.headers.X-XSS-Protection: expected text, found the boolean 'true'; write the header's value in quotes",
        "headers that are no text",
    ),
    Sample("users", f"basic_auth_users:\n  a: {HASH}\n  b: {HASH.replace('$2b', '$2y')}\n  'c d': {HASH.replace('$2b', '$2a')}\n"),
    Sample("rate", "rate_limit:\n  interval: 1m1.5s\n  burst: 20\n"),
    Sample("nothing at all", "rate_limit: {interval: 0, burst: 0}\n"),
    Sample("rate off", "rate_limit:\n  interval: 0\n  burst: 20\n"),
    Sample(
        "unknown section",
        "tls_config: {}\n",
        "1: unknown key 'tls_config'; did you mean tls_server_config?",
    ),
    Sample(
        "unknown key of TLS",
        TLS + "  cerf_file: x\n",
        "4: tls_server_config: unknown key 'cerf_file'; did you mean cert_file?",
    ),
    Sample("not keys", "- a\n", "1: expected keys, found a list; write KEY: VALUE, one a line"),
    Sample(
        "not YAML",
        "a: [\n",
        "2: not YAML in column 1: expected the node content, but found '<stream end>'; "
        "write key: value, indent with spaces, and quote what begins with another sign",
    ),
    Sample(
        "given twice",
        TLS + "  key_file: server.key\n",
        "4: tls_server_config.key_file: is given twice, first in line 3; leave one out",
    ),
    Sample(
        "no key",
        "tls_server_config:\n  cert_file: server.pem\n",
        "2: tls_server_config: has neither key nor key_file; add key_file, or leave tls_server_config out for plain HTTP",
    ),
    Sample(
        "no certificate",
        "tls_server_config:\n  key_file: server.key\n",
        "2: tls_server_config: has neither cert nor cert_file; add cert_file, or leave tls_server_config out for plain HTTP",
    ),
    Sample(
        "no such file",
        TLS.replace("server.key", "nothing.key"),
        "3: tls_server_config.key_file: 'nothing.key' there is no such file; create it",
    ),
    Sample(
        "no certificate in the file",
        TLS.replace("server.pem", "server.key"),
        "2: tls_server_config.cert_file: holds no certificate in PEM; "
        "write the server's certificate, and after it those that lead to its authority",
    ),
    Sample(
        "no key in the file",
        TLS.replace("server.key", "server.pem"),
        "3: tls_server_config.key_file: holds no private key in PEM; write the key of the certificate",
    ),
    Sample(
        "another's key",
        TLS.replace("server.key", "other.key"),
        "3: tls_server_config.key_file: is not the key of the certificate; write the key that the certificate was made with",
    ),
    Sample(
        "encrypted key",
        TLS.replace("server.key", "encrypted.key"),
        "3: tls_server_config.key_file: is encrypted; write the key without a passphrase: openssl pkey -in KEY -out PLAIN",
    ),
    Sample(
        "authority without a check",
        TLS + "  client_ca_file: ca.pem\n",
        "4: tls_server_config.client_ca_file: is of no use without a client_auth_type; add client_auth_type: RequireAndVerifyClientCert",
    ),
    Sample(
        "unknown check",
        CLIENTS.replace("RequireAndVerifyClientCert", "RequireAndVerify"),
        "5: tls_server_config.client_auth_type: unknown value 'RequireAndVerify'; did you mean RequireAndVerifyClientCert?",
    ),
    Sample(
        "no version",
        TLS + "  min_version: TLS14\n",
        "4: tls_server_config.min_version: unknown value 'TLS14'; did you mean TLS13?",
    ),
    Sample(
        "invented suite",
        TLS + "  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n",
        "4: tls_server_config.cipher_suites: unknown or insecure suite 'TLS_RSA_WITH_AES_128_CBC_SHA'; "
        "did you mean TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA?",
    ),
    Sample(
        "invented curve",
        TLS + "  curve_preferences: [CurveP257]\n",
        "4: tls_server_config.curve_preferences: unknown curve 'CurveP257'; did you mean CurveP256?",
    ),
    Sample(
        "suites are a text",
        TLS + "  cipher_suites: {}\n",
        "4: tls_server_config.cipher_suites: expected a list, found an empty mapping; "
        "write names such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ),
    Sample(
        "no boolean",
        TLS + "  prefer_server_cipher_suites: 1\n",
        "4: tls_server_config.prefer_server_cipher_suites: expected true or false, found the number '1'; write true or false",
    ),
    Sample(
        "another header",
        HTTP + "  headers: {X-Frame-Option: deny}\n",
        "2: http_server_config.headers: the header 'X-Frame-Option' cannot be set; did you mean X-Frame-Options?",
    ),
    Sample(
        "another value of a header",
        HTTP + "  headers: {X-Frame-Options: DENY}\n",
        "2: http_server_config.headers.X-Frame-Options: unknown value 'DENY'; did you mean deny?",
    ),
    Sample("no hash", "basic_auth_users:\n  a: secret\n", f"2: basic_auth_users.a: is no bcrypt hash; {HTPASSWD}"),
    Sample(
        "another kind of hash",
        "basic_auth_users:\n  a: $apr1$ab$abcdefghijklmnopqrstuv\n",
        f"2: basic_auth_users.a: is no bcrypt hash; {HTPASSWD}",
    ),
    Sample(
        "no cost",
        f"basic_auth_users:\n  a: {HASH.replace('$04', '$03')}\n",
        "2: basic_auth_users.a: a cost of 03 takes too short to check; hash the password anew with a cost from 4 to 16, such as 10",
    ),
    Sample(
        "no duration",
        "rate_limit: {interval: 1d, burst: 1}\n",
        "1: rate_limit.interval: '1d' is no such duration; write a duration from 0s to 24h, such as 100ms",
    ),
    Sample(
        "no number",
        "rate_limit: {interval: 1s, burst: many}\n",
        "1: rate_limit.burst: expected a number, found the text 'many'; write a whole number from 1 to 999999999",
    ),
    # What promtool takes, and what is refused here, by name: docs/web-config.md lists these.
    *(
        Sample(
            kind,
            CLIENTS.replace("RequireAndVerifyClientCert", kind),
            f"5: tls_server_config.client_auth_type: {kind} asks for a certificate and does not check it, "
            "which Python's ssl cannot do; write RequireAndVerifyClientCert or VerifyClientCertIfGiven",
            "unverified client certificates",
        )
        for kind in ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
    ),
    Sample(
        "old version",
        TLS + "  min_version: TLS10\n",
        "4: tls_server_config.min_version: TLS10 is not offered: it is broken (RFC 8996); write TLS12 or TLS13",
        "TLS 1.0 and 1.1",
    ),
    Sample(
        "versions the wrong way round",
        TLS + "  min_version: TLS13\n  max_version: TLS12\n",
        "4: tls_server_config.min_version: TLS13 is above max_version TLS12; let max_version be the newer one",
        "no version at all",
    ),
    Sample(
        "no suite left",
        TLS + "  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
        "5: tls_server_config.cipher_suites: has no suite of TLS 1.2; add one, such as TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "no suite at all",
    ),
    *(
        Sample(
            f"curves {curves}",
            TLS + f"  curve_preferences: [{curves}]\n",
            "4: tls_server_config.curve_preferences: Python's ssl takes a single curve, and not X25519; "
            "write one of CurveP256, CurveP384 or CurveP521, or leave it out: X25519 is preferred then",
            "X25519, and several curves",
        )
        for curves in ("X25519", "CurveP256, CurveP384")
    ),
    Sample(
        "no authority",
        TLS + "  client_auth_type: RequireAndVerifyClientCert\n",
        "4: tls_server_config.client_auth_type: has no authority to check by; add client_ca_file, or client_ca",
        "clients without an authority",
    ),
    Sample(
        "no certificates in the authority",
        CLIENTS.replace("ca.pem", "server.key"),
        "4: tls_server_config.client_ca_file: holds no certificate in PEM; write the certificates of the authorities that clients have",
        "an authority that is none",
    ),
    Sample(
        "names without a check",
        TLS + "  client_allowed_sans: [a]\n",
        "4: tls_server_config.client_allowed_sans: is of no use without a client_auth_type; "
        "add client_auth_type: RequireAndVerifyClientCert",
        "names that nobody looks at",
    ),
    Sample(
        "certificate twice",
        TLS + "  cert: x\n",
        "2: tls_server_config.cert_file: is given beside cert; leave one of both out",
        "a text and a file",
    ),
    Sample(
        "TLS without a certificate",
        "tls_server_config:\n  min_version: TLS13\n  key_file: server.key\n  cert_file: ''\n",
        "4: tls_server_config.cert_file: expected text, found the text ''; write the path of a file",
    ),
    Sample(
        "yes",
        HTTP + "  http2: yes\n",
        "2: http_server_config.http2: expected true or false, found the boolean 'yes'; write true or false",
        "yes and on",
    ),
    *(
        Sample(
            name,
            f"basic_auth_users:\n  a: {text}\n",
            f"2: basic_auth_users.a: is no bcrypt hash; {HTPASSWD}",
            "hashes that are not whole",
        )
        for name, text in (("hash cut short", HASH[:-1]), ("hash too long", HASH + "x"))
    ),
    Sample(
        "cost of hours",
        f"basic_auth_users:\n  a: {HASH.replace('$04', '$31')}\n",
        "2: basic_auth_users.a: a cost of 31 takes too long to check; hash the password anew with a cost from 4 to 16, such as 10",
        "costs above 16",
    ),
    Sample(
        "colon in a name",
        f'basic_auth_users:\n  "a:b": {HASH}\n',
        "2: basic_auth_users: 'a:b' cannot be the name of a user; write a name without a colon",
        "names that cannot be sent",
    ),
    Sample(
        "header of two lines",
        HTTP + '  headers: {X-XSS-Protection: "0\\r\\nX: y"}\n',
        "2: http_server_config.headers.X-XSS-Protection: '0\\r\\nX: y' cannot be the value of a header; write it on one line, in ASCII",
        "headers of several lines",
    ),
    Sample("no burst", "rate_limit: {interval: 1s}\n", "1: rate_limit: has no burst; add burst, or leave rate_limit out", "half a limit"),
    Sample(
        "nothing may pass",
        "rate_limit: {interval: 1s, burst: 0}\n",
        "1: rate_limit.burst: expected a number, found the number '0'; write a whole number from 1 to 999999999",
        "a burst of 0",
    ),
    Sample(
        "no unit",
        "rate_limit: {interval: 1, burst: 1}\n",
        "1: rate_limit.interval: expected text, found the number '1'; write a duration from 0s to 24h, such as 100ms",
        "durations without a unit",
    ),
    Sample(
        "anchor",
        "rate_limit: &a {interval: 1s, burst: 1}\n",
        "1: the anchor &a is not allowed; write the value out where it is used",
        "anchors",
    ),
]


def lay_out(folder: Path) -> Authority:
    """Make what the samples name: a certificate with its key, another key, an encrypted one, and the authority of both."""
    authority = Authority(folder, "ca")
    server, other = authority.issue("server"), authority.issue("other")
    secret = ("pkey", "-aes256", "-passout", "pass:secret", "-in", server.key, "-out", folder / "encrypted.key")
    authority.openssl(*secret)
    assert other.key.exists()
    return authority
