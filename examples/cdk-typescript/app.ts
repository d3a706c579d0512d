// A function whose logs Tailrace ships: cdk deploy -c endpoint=https://collector.example.com
import * as path from "node:path";
import * as cdk from "aws-cdk-lib";
import * as iam from "aws-cdk-lib/aws-iam";
import * as lambda from "aws-cdk-lib/aws-lambda";
import * as logs from "aws-cdk-lib/aws-logs";

const EXAMPLES = path.resolve(process.cwd(), "..");
const ZIP = path.join(EXAMPLES, "..", "build", "tailrace-layer.zip");

/** Layer, function, log group and role. */
class Hello extends cdk.Stack {
  constructor(scope: cdk.App, name: string) {
    super(scope, name);
    const endpoint: string = this.node.tryGetContext("endpoint") ?? "https://collector.example.com";
    const secret: string = this.node.tryGetContext("secret") ?? "tailrace/otlp-headers";
    const tailrace = new lambda.LayerVersion(this, "Tailrace", {
      code: lambda.Code.fromAsset(ZIP),
      compatibleArchitectures: [lambda.Architecture.X86_64, lambda.Architecture.ARM_64],
      license: "Apache-2.0",
      removalPolicy: cdk.RemovalPolicy.RETAIN,
    });
    const logGroup = new logs.LogGroup(this, "Logs", {
      retention: logs.RetentionDays.ONE_WEEK,
      removalPolicy: cdk.RemovalPolicy.DESTROY,
    });
    // Tailrace itself asks AWS for nothing: this is what the function's own logging needs.
    const role = new iam.Role(this, "Role", { assumedBy: new iam.ServicePrincipal("lambda.amazonaws.com") });
    logGroup.grantWrite(role);
    new lambda.Function(this, "Function", {
      code: lambda.Code.fromAsset(path.join(EXAMPLES, "function")),
      handler: "app.handler",
      runtime: lambda.Runtime.PYTHON_3_13,
      architecture: lambda.Architecture.ARM_64,
      memorySize: 256,
      timeout: cdk.Duration.seconds(10),
      role,
      layers: [tailrace],
      logGroup,
      environment: {
        OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
        // A reference that CloudFormation resolves: the value is not in the template.
        OTEL_EXPORTER_OTLP_HEADERS: cdk.SecretValue.secretsManager(secret).unsafeUnwrap(),
        OTEL_SERVICE_NAME: "hello",
        AWS_LAMBDA_EXEC_WRAPPER: "/opt/tailrace/wrap",
      },
    });
  }
}

const app = new cdk.App();
new Hello(app, "Hello");
app.synth();
