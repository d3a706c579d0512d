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
        secret = self.node.try_get_context("secret") or "tailrace/otlp-headers"
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
        # Tailrace itself asks AWS for nothing: this is what the function's own logging needs.
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
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
                # A reference that CloudFormation resolves: the value is not in the template.
                "OTEL_EXPORTER_OTLP_HEADERS": cdk.SecretValue.secrets_manager(secret).unsafe_unwrap(),
                "OTEL_SERVICE_NAME": "hello",
                "AWS_LAMBDA_EXEC_WRAPPER": "/opt/tailrace/wrap",
            },
        )


app = cdk.App()
Hello(app, "Hello")
app.synth()
