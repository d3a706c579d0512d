"""A function whose logs Tailrace ships: cdk deploy -c endpoint=https://collector.example.com."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs

HERE = Path(__file__).parent
ZIP = HERE.parents[1] / "build" / "tailrace-layer.zip"


class Hello(cdk.Stack):
    """Layer, function, log group and role."""

    def __init__(self, scope: cdk.App, name: str) -> None:
        super().__init__(scope, name)
        endpoint = self.node.try_get_context("endpoint") or "https://collector.example.com"
        secret = self.node.try_get_context("secret") or "tailrace/api-key"
        tailrace = lambda_.LayerVersion(
            self,
            "Tailrace",
            code=lambda_.Code.from_asset(str(ZIP)),
            compatible_architectures=[lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64],
            license="Apache-2.0",
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.ONE_WEEK, removal_policy=cdk.RemovalPolicy.DESTROY
        )
        # What the function's own logging needs, and the extension to read the key.
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        secret_arn = self.format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=f"{secret}-??????",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        role.add_to_policy(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[secret_arn]))
        lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_asset(str(HERE.parent / "function")),
            handler="app.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=256,
            timeout=cdk.Duration.seconds(10),
            role=role,
            layers=[tailrace],
            log_group=log_group,
            environment={
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                # A reference, which the extension resolves: the key is in no template and no configuration.
                "OTEL_EXPORTER_OTLP_HEADERS": f"api-key=@{{secretsmanager:{secret}}}",
                "OTEL_SERVICE_NAME": "hello",
                "AWS_LAMBDA_EXEC_WRAPPER": "/opt/tailrace/wrap",
            },
        )


app = cdk.App()
Hello(app, "Hello")
app.synth()
