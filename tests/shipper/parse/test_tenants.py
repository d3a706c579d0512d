"""Functions that keep their tenants apart: whose an invocation is, in its lines as in its span."""

from typing import Any

import pytest

from tests.shipper.following import MANAGED, attributes, followed, only
from tests.shipper.story import R1, R2, done, line, report, start

TENANT = "aws.lambda.tenant_id"


@pytest.mark.parametrize(
    ("record", "beside"),
    [
        ("paid\n", {}),
        ('{"msg":"paid","n":1}\n', {"n": 1}),
        ({"level": "INFO", "message": "paid", "requestId": R1, "tenantId": "blue"}, {}),
        # A member of that name that says something else is the function's own.
        ({"level": "INFO", "message": "paid", "tenantId": "green"}, {"tenantId": "green"}),
    ],
)
def test_a_line_says_whose_it_is_by_the_name_that_the_span_has(record: Any, beside: dict[str, Any]) -> None:
    """Whether it does so itself, as in Lambda's JSON format, or not."""
    seen = followed([start(0, tenantId="blue"), line(5, record), done(10), report(12)])
    (log,) = seen.logs
    found = attributes(log)
    assert {name: found[name] for name in found if name not in ("log.record.uid", "faas.invocation_id")} == {
        TENANT: "blue",
        **beside,
    }
    assert attributes(only(seen))[TENANT] == "blue"


def test_a_line_of_another_invocation_is_nobodys() -> None:
    """Where invocations interleave, each line is its own invocation's."""
    lines = [line(5, {"message": "paid", "requestId": one}) for one in (R1, R2)]
    seen = followed([start(0, tenantId="blue"), start(1, R2), *lines], more=MANAGED)
    assert [attributes(log).get(TENANT) for log in seen.logs] == ["blue", None]


def test_without_a_tenant_a_member_of_that_name_is_the_functions_own() -> None:
    seen = followed([start(0), line(5, {"message": "paid", "tenantId": "blue"})])
    assert (attributes(seen.logs[0])["tenantId"], TENANT in attributes(seen.logs[0])) == ("blue", False)


def test_a_tenant_that_is_redacted_is_so_everywhere() -> None:
    seen = followed(
        [
            start(0, tenantId="blue"),
            line(5, "hi\n"),
            line(6, {"message": "x", "tenantId": "blue"}),
            done(10),
            report(12),
        ],
        TAILRACE_REDACT="blue",
    )
    assert "blue" not in str((seen.logs, seen.spans))
    assert [attributes(log)[TENANT] for log in seen.logs] == ["***", "***"]
