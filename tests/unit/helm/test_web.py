"""TLS, logins and the token of the API: what is mounted, what the kubelet and Prometheus ask."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.helm.objects import agent_args, chart

TLS = {"tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"}}
LOGIN = {"basic_auth_users": {"prometheus": "$2y$10$hash"}}


def web(**config: object) -> dict[str, Any]:
    return {"web": {"config": config}}


def test_without_web_configuration_there_is_no_flag() -> None:
    """By default no Secret is made, mounted or named."""
    objects = chart()

    assert objects.names("Secret") == set()
    assert agent_args(objects) == ["--config.file=/etc/perflens/config/perflens.yaml", "--web.listen-address=:9435"]


def test_existing_web_secret() -> None:
    """A Secret that exists is mounted for the agent's user alone, and the file in it is named."""
    objects = chart(web(existingSecret="theirs", key="config.yml"))
    volume = objects.mounts()["/etc/perflens/web"]["projected"]

    assert "--web.config.file=/etc/perflens/web/config.yml" in agent_args(objects)
    assert volume == {"defaultMode": 0o400, "sources": [{"secret": {"name": "theirs"}}]}
    assert objects.names("Secret") == set()


def test_web_configuration_of_the_values() -> None:
    """The content becomes a Secret, with the certificate beside it."""
    objects = chart(web(content=TLS | LOGIN, tlsSecret="certificate"))
    sources = objects.mounts()["/etc/perflens/web"]["projected"]["sources"]

    assert yaml.safe_load(objects.of("Secret", "perflens-web")["stringData"]["web.yaml"]) == TLS | LOGIN
    assert sources == [{"secret": {"name": "perflens-web"}}, {"secret": {"name": "certificate"}}]


HEALTH: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {"httpGet": {"path": "/-/healthy", "port": "http"}}),
    "TLS": ({"content": TLS}, {"httpGet": {"path": "/-/healthy", "port": "http", "scheme": "HTTPS"}}),
    "TLS in a Secret": ({"existingSecret": "a", "tls": True}, {"httpGet": {"path": "/-/healthy", "port": "http", "scheme": "HTTPS"}}),
    "login": ({"content": LOGIN}, {"tcpSocket": {"port": "http"}}),
    "client certificates": (
        {"content": {"tls_server_config": {"client_auth_type": "RequireAndVerifyClientCert"}}},
        {"tcpSocket": {"port": "http"}},
    ),
    "certificates of who has one": (
        {"content": {"tls_server_config": {"client_auth_type": "VerifyClientCertIfGiven"}}},
        {"httpGet": {"path": "/-/healthy", "port": "http", "scheme": "HTTPS"}},
    ),
    "as asked, tcp": ({"existingSecret": "a", "healthCheck": "tcp"}, {"tcpSocket": {"port": "http"}}),
    "as asked, http": ({"content": LOGIN, "healthCheck": "http"}, {"httpGet": {"path": "/-/healthy", "port": "http"}}),
}


@pytest.mark.parametrize("case", HEALTH)
def test_health_checks_fit_the_web_configuration(case: str) -> None:
    """The kubelet asks by HTTPS where there is TLS, and only whether the port is open where it would be refused."""
    config, asked = HEALTH[case]

    probe = chart(web(**config)).container()["livenessProbe"]

    assert {key: probe[key] for key in ("httpGet", "tcpSocket") if key in probe} == asked


def test_token_of_an_existing_secret() -> None:
    """The token is mounted for the agent's user alone, which the agent insists on."""
    objects = chart({"web": {"apiToken": {"existingSecret": "theirs", "key": "bearer"}}})

    assert "--web.api-token-file=/etc/perflens/api-token/bearer" in agent_args(objects)
    assert objects.mounts()["/etc/perflens/api-token"]["secret"] == {"secretName": "theirs", "defaultMode": 0o400}
    assert objects.names("Secret") == set()


def test_token_of_the_values() -> None:
    """A token in the values becomes a Secret."""
    objects = chart({"web": {"apiToken": {"value": "word"}}})

    assert objects.of("Secret", "perflens-api-token")["stringData"]["token"].strip() == "word"
    assert objects.mounts()["/etc/perflens/api-token"]["secret"]["secretName"] == "perflens-api-token"
