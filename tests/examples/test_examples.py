"""What can be checked in a moment: templates by cfn-lint, the rest by reading and by running it."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

from lifecycle.contract.settings import Settings
from tests.examples.support import EXAMPLES, INSTALL, ROOT, SECRET, ZIP, linted, snippets

FILES = sorted(path for path in EXAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts)

# Read by the function's runtime or SDK, not by the layer.
OTHERS = {"AWS_LAMBDA_EXEC_WRAPPER"}


def text_of(name: str) -> str:
    """An example's file."""
    return (EXAMPLES / name).read_text(encoding="utf-8")


def test_there_is_one_for_each_way_to_deploy() -> None:
    """And none that nothing checks."""
    assert {path.relative_to(EXAMPLES).parts[0] for path in FILES} == {
        *("sam", "cdk-python", "cdk-typescript", "terraform", "serverless", "cli", "container", "function")
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_every_setting_named_is_one_that_there_is(path: Path) -> None:
    """A misspelt name would be ignored, with a warning, in production."""
    named = set(re.findall(r"\b(?:TAILRACE|OTEL)_[A-Z_]+[A-Z]\b", path.read_text(encoding="utf-8")))
    assert named <= {setting.variable for setting in Settings.table()}


def test_wrapper_lies_where_the_examples_say() -> None:
    """/opt/tailrace/wrap."""
    with zipfile.ZipFile(ZIP) as packed:
        assert "tailrace/wrap" in packed.namelist()


class TestReadme:
    """The few lines for each tool in README's section on installing. What CDK makes of them is test_synth's."""

    def test_every_example_is_named(self) -> None:
        """And every place that is named is there."""
        linked = {Path(path) for path in re.findall(r"\]\(examples/([^)]+)\)", INSTALL)}
        assert {path.parts[0] for path in linked} == {path.relative_to(EXAMPLES).parts[0] for path in FILES} - {
            *("cli", "function")
        }
        assert all((EXAMPLES / path).exists() for path in linked)
        assert "`examples/cli/deploy.sh`" in INSTALL

    def test_templates_are_yaml_that_attaches_the_layer(self) -> None:
        """SAM's and the Serverless Framework's, which spell it differently."""
        sam, serverless = map(yaml.safe_load, snippets("yaml"))
        assert len(sam["Layers"]) == len(serverless["layers"]) == 1
        assert sam["Environment"]["Variables"] == serverless["environment"]

    def test_terraform_is_hcl_that_attaches_the_layer(self) -> None:
        """Inside a function."""
        (text,) = snippets("hcl")
        ((resource,),) = [hcl2.loads(f'resource "aws_lambda_function" "hello" {{\n{text}}}\n')["resource"]]
        assert {"layers", "environment"} <= set(str(resource).replace('"', "").replace("'", " ").split())

    def test_dockerfile_is_the_examples(self) -> None:
        """Line by line."""
        (text,) = snippets("dockerfile")
        assert set(text.splitlines()) <= set(text_of("container/Dockerfile").splitlines())

    def test_every_make_target_is_one(self) -> None:
        """Here and in docs/deploy.md."""
        text = INSTALL + (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
        targets = set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.MULTILINE))
        assert {"layer", "layer-standalone", "publish"} <= targets
        assert targets <= set(re.findall(r"^([\w-]+):", (ROOT / "layer.mk").read_text(encoding="utf-8"), re.MULTILINE))


class TestSam:
    """sam/template.yaml."""

    def test_it_is_valid(self) -> None:
        """After SAM's transform, by CloudFormation's own schemas. What SAM itself says is test_synth's."""
        assert linted(EXAMPLES / "sam/template.yaml") == ""

    def test_invalid_one_would_be_noticed(self, tmp_path: Path) -> None:
        """cfn-lint looks."""
        shutil.copytree(EXAMPLES / "function", tmp_path / "function")
        broken = text_of("sam/template.yaml").replace("MemorySize: 256", "MemorySize: 1")
        (tmp_path / "sam").mkdir()
        (tmp_path / "sam/template.yaml").write_text(broken, encoding="utf-8")
        assert "E3034" in linted(tmp_path / "sam/template.yaml")

    def test_paths_in_it_lead_to_the_layer_and_the_function(self) -> None:
        """Relative to the template."""
        text = text_of("sam/template.yaml")
        for path in re.findall(r"(?:ContentUri|CodeUri): (\S+)", text):
            assert (EXAMPLES / "sam" / path).exists()
        assert SECRET in text


def test_serverless_is_yaml_and_attaches_the_layer() -> None:
    """What the framework itself makes of it is test_synth's."""
    service = yaml.safe_load(text_of("serverless/serverless.yml"))
    function = service["functions"]["hello"]
    assert function["layers"] == ["${param:layer}"]
    assert function["environment"]["OTEL_EXPORTER_OTLP_HEADERS"].startswith(SECRET)
    assert text_of("serverless/app.py") == text_of("function/app.py")


def test_terraform_is_hcl_and_names_one_log_group() -> None:
    """What Terraform itself makes of it is test_synth's."""
    parsed = hcl2.loads(text_of("terraform/main.tf"))
    kinds = {key.strip('"') for block in parsed["resource"] for key in block}
    assert kinds == {
        *("aws_lambda_layer_version", "aws_lambda_function", "aws_cloudwatch_log_group", "aws_iam_role"),
        "aws_iam_role_policy",
    }
    text = text_of("terraform/main.tf")
    assert 'resources = ["${aws_cloudwatch_log_group.hello.arn}:*"]' in text
    assert '"api-key=@{secretsmanager:${var.api_key_secret}}"' in text
    assert "secret_string" not in text


def test_terraform_module_is_hcl_and_gives_what_a_function_takes() -> None:
    """What Terraform itself makes of it is test_synth's."""
    parsed = hcl2.loads(text_of("terraform/module/main.tf"))
    outputs = {name.strip('"') for block in parsed["output"] for name in block}
    assert outputs == {"layer_arn", "environment"}
    required = {
        name.strip('"') for block in parsed["variable"] for name, variable in block.items() if "default" not in variable
    }
    assert required == {"endpoint"}
    used = set(re.findall(r"module\.tailrace\.(\w+)", text_of("terraform/module/main.tf")))
    assert used == outputs


class TestCli:
    """cli/deploy.sh, with a stand-in for the AWS command line."""

    AWS = """\
#!/bin/sh
echo "$@" >>"$CALLS"
case "$2" in
publish-layer-version) echo arn:aws:lambda:eu-central-1:1:layer:tailrace:8 ;;
get-function-configuration) cat "$NOW" ;;
update-function-configuration)
    for word in "$@"; do case $word in file://*) cp "${word#file://}" "$REQUEST" ;; esac; done ;;
esac
"""

    def deployed(self, tmp_path: Path, now: dict[str, Any], *arguments: str) -> tuple[dict[str, Any], str]:
        """What the function is updated with, and how the command line was called."""
        aws = tmp_path / "bin/aws"
        aws.parent.mkdir()
        aws.write_text(self.AWS, encoding="utf-8")
        aws.chmod(0o755)
        (tmp_path / "now").write_text(json.dumps(now), encoding="utf-8")
        environ = {
            "PATH": f"{aws.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TMPDIR": str(tmp_path),
            **{name: str(tmp_path / name.lower()) for name in ("CALLS", "NOW", "REQUEST")},
        }
        subprocess.run([EXAMPLES / "cli/deploy.sh", "shop", *arguments], env=environ, check=True, capture_output=True)
        request: dict[str, Any] = json.loads((tmp_path / "request").read_text(encoding="utf-8"))
        assert list(tmp_path.glob("tmp.*")) == [], "the file with the secret was left behind"
        return request, (tmp_path / "calls").read_text(encoding="utf-8")

    def test_layer_and_settings_are_added_and_the_rest_stays(self, tmp_path: Path) -> None:
        """An older version of the layer goes; nobody reads the secret, which is named alone."""
        old = {"Arn": "arn:aws:lambda:eu-central-1:1:layer:tailrace:7"}
        other = {"Arn": "arn:aws:lambda:eu-central-1:1:layer:other:1"}
        now = {"Layers": [old, other], "Environment": {"Variables": {"TABLE": "x y"}}}
        request, calls = self.deployed(tmp_path, now, "https://collector.example.com", "tailrace/api-key")
        assert request == {
            "Layers": [other["Arn"], "arn:aws:lambda:eu-central-1:1:layer:tailrace:8"],
            "Environment": {
                "Variables": {
                    "TABLE": "x y",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example.com",
                    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=@{secretsmanager:tailrace/api-key}",
                }
            },
        }
        assert "get-secret-value" not in calls

    def test_function_with_nothing_set_and_no_secret(self, tmp_path: Path) -> None:
        """Nothing is asked of Secrets Manager."""
        request, calls = self.deployed(tmp_path, {}, "https://collector.example.com")
        assert list(request["Environment"]["Variables"]) == ["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert "get-secret-value" not in calls

    @pytest.mark.parametrize("arguments", [[], ["shop"]])
    def test_without_its_arguments_it_says_how_to_use_it(self, arguments: list[str]) -> None:
        """Before anything is published."""
        script = EXAMPLES / "cli/deploy.sh"
        done = subprocess.run([script, *arguments], check=False, capture_output=True, text=True)
        assert done.returncode != 0
        assert "usage: deploy.sh FUNCTION https://collector.example.com [SECRET]" in done.stderr

    def test_without_a_layer_it_says_how_to_build_one(self, tmp_path: Path) -> None:
        """Likewise."""
        script = tmp_path / "examples/cli/deploy.sh"
        script.parent.mkdir(parents=True)
        shutil.copy2(EXAMPLES / "cli/deploy.sh", script)
        done = subprocess.run([script, "shop", "https://x"], check=False, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.endswith("First: make layer\n")

    def test_it_is_posix_shell(self) -> None:
        """No bash is needed."""
        subprocess.run(["sh", "-n", EXAMPLES / "cli/deploy.sh"], check=True)

    def test_policy_names_what_it_is_for(self) -> None:
        """No action on everything."""
        both = [json.loads(text_of(f"cli/{name}.json"))["Statement"] for name in ("policy", "function-policy")]
        for statement in (*both[0], *both[1]):
            assert "*" not in str(statement["Action"])
            resources = statement["Resource"]
            assert all(":123456789012:" in arn for arn in ([resources] if isinstance(resources, str) else resources))


class TestContainer:
    """container/Dockerfile: read, and its one program run. Built it is in test_container, where there is a buildah."""

    def test_what_is_copied_is_there(self) -> None:
        """Relative to the checkout."""
        for source in re.findall(r"^COPY (?!--)(\S+) ", text_of("container/Dockerfile"), re.MULTILINE):
            assert (EXAMPLES.parent / source).exists()

    def test_its_program_unpacks_with_permissions(self, tmp_path: Path) -> None:
        """Without them Lambda would start no extension, and say nothing."""
        (program,) = re.findall(r"^RUN python -c '(.*)'$", text_of("container/Dockerfile"), re.MULTILINE)
        moved = program.replace('"/tailrace-layer.zip"', repr(str(ZIP))).replace('"/layer"', repr(str(tmp_path)))
        assert moved.count(str(tmp_path)) == 1
        subprocess.run([sys.executable, "-c", moved], check=True)
        assert os.access(tmp_path / "extensions/tailrace", os.X_OK)
        assert os.access(tmp_path / "tailrace/wrap", os.X_OK)
        assert not (tmp_path / "tailrace/LICENSES").stat().st_mode & 0o111

    def test_no_setting_is_baked_into_the_image(self) -> None:
        """What is in an image can be read by all who can pull it."""
        assert "ENV" not in text_of("container/Dockerfile")
