"""One record of each signal to each backend that is known, and the lines that its page has one paste."""

import re
from pathlib import Path

import pytest

from lifecycle.contract.schemes import PRESETS
from lifecycle.contract.settings import Settings
from shipper.check import send
from tests.lifecycle.contract.test_schemes import BACKENDS
from tests.shipper.destinations.otlp.backend_server import REQUESTS, BackendServer
from tests.shipper.support import settings_of

PAGES = sorted((Path(__file__).parents[4] / "docs/destinations").glob("*.md"))


@pytest.mark.parametrize(("host", "keys", "path"), BACKENDS)
def test_a_backend_has_one_of_each_signal(host: str, keys: str, path: str) -> None:
    """At its path, with its headers, in protobuf; without a header it has none, and nothing is given up."""
    wanted = {key.lower(): f"{number}-k3y" for number, key in enumerate(keys.split(","))}
    with BackendServer(path, wanted) as server:
        headers = ",".join(f"{name}={value}" for name, value in wanted.items())
        address = f"otlp+http://127.0.0.1:{server.port}{path}"
        found = list(send(settings_of(TAILRACE_DESTINATION=address, TAILRACE_HEADERS=headers, OTEL_SERVICE_NAME=host)))
        assert {(one.signal, one.is_well) for one in found} == {(signal, True) for signal in REQUESTS}
        assert set(server.exports) == set(REQUESTS)
        for export in server.exports.values():
            (resource,) = export.ListFields()[0][1]
            assert any(
                one.key == "service.name" and one.value.string_value == host for one in resource.resource.attributes
            )
        (refused, *_) = send(settings_of(TAILRACE_DESTINATION=address))
        assert (refused.is_well, "answered 401" in refused.said) == (False, True)


def test_every_backend_that_is_known_is_tried() -> None:
    """By a host of each."""
    tried = {preset.name for host, _, _ in BACKENDS for preset in PRESETS if host.endswith(preset.end)}
    assert tried == {preset.name for preset in PRESETS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_lines_that_a_page_has_one_paste_are_settings(page: Path) -> None:
    """All that there is to say, so that there is no warning; of what may be left out they are right without it."""
    blocks = re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL)
    pasted = [block for block in blocks if "TAILRACE_DESTINATION=" in block or "OTEL_EXPORTER_OTLP_" in block]
    assert pasted
    for block in pasted:
        assert len(block.splitlines()) <= 8
        for text in (block, re.sub(r"\[[^\]]*\]", "", block)):
            environ = dict(line.split("=", 1) for line in text.splitlines())
            problems = [problem.explained() for problem in Settings(environ).problems]
            assert not problems or "[" in text, problems
