"""Where the examples lie, and how CloudFormation templates are checked."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ZIP = ROOT / "build" / "tailrace-layer.zip"

# README's section on installing.
INSTALL = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Put it on a function")[2].partition("\n## ")[0]

# A reference that the extension resolves, and no tool does: no secret stands in a template or in a configuration.
SECRET = "api-key=@{secretsmanager:"  # noqa: S105 - a reference, not a secret

# What the function may do beside writing to its own log group: read that one secret.
READS = "secretsmanager:GetSecretValue"


def snippets(language: str) -> list[str]:
    """The blocks of a language in README's section on installing."""
    return [textwrap.dedent(text) for text in re.findall(rf"```{language}\n(.*?)```", INSTALL, re.DOTALL)]


def linted(template: Path) -> str:
    """What cfn-lint has to say of a template; "" if nothing."""
    # W3005: CDK itself writes dependencies that are there already.
    command: list[str | Path] = [Path(sys.executable).with_name("cfn-lint"), "--ignore-checks", "W3005", "--", template]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def check_resources(resources: dict[str, dict[str, Any]]) -> None:
    """Holds a template's resources against what an example is to show."""
    (function,) = [row["Properties"] for row in resources.values() if row["Type"] == "AWS::Lambda::Function"]
    variables = function["Environment"]["Variables"]
    assert len(function["Layers"]) == 1
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/tailrace/wrap"
    assert SECRET in str(variables["OTEL_EXPORTER_OTLP_HEADERS"])
    check_policies(list(policies(resources)))


def policies(resources: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The statements of all roles' own policies."""
    statements: list[dict[str, Any]] = []
    for row in resources.values():
        properties = row.get("Properties", {})
        if row["Type"] == "AWS::IAM::Role":
            assert "ManagedPolicyArns" not in properties
            for policy in properties.get("Policies", []):
                statements += policy["PolicyDocument"]["Statement"]
        elif row["Type"] == "AWS::IAM::Policy":
            statements += properties["PolicyDocument"]["Statement"]
    return statements


def check_policies(statements: list[dict[str, Any]]) -> None:
    """Least privilege: writing to logs, to a group that is named, reading one secret, and nothing else."""
    assert statements
    read = []
    for statement in statements:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert statement["Resource"] != "*"
        if actions == [READS]:
            read.append(str(statement["Resource"]))
            continue
        assert set(actions) <= {"logs:CreateLogStream", "logs:PutLogEvents", "logs:CreateLogGroup", "logs:TagResource"}
    (secret,) = read
    assert "secret:" in secret
    assert "-??????" in secret
