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
    const secret: string = this.node.tryGetContext("secret") ?? "tailrace/api-key";
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
    // What the function's own logging needs, and the extension to read the key.
    const role = new iam.Role(this, "Role", { assumedBy: new iam.ServicePrincipal("lambda.amazonaws.com") });
    logGroup.grantWrite(role);
    const secretArn = this.formatArn({
      service: "secretsmanager",
      resource: "secret",
      resourceName: `${secret}-??????`,
      arnFormat: cdk.ArnFormat.COLON_RESOURCE_NAME,
    });
    role.addToPolicy(new iam.PolicyStatement({ actions: ["secretsmanager:GetSecretValue"], resources: [secretArn] }));
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
        // A reference, which the extension resolves: the key is neither in the template nor in the configuration.
        OTEL_EXPORTER_OTLP_HEADERS: `api-key=@{secretsmanager:${secret}}`,
        OTEL_SERVICE_NAME: "hello",
        AWS_LAMBDA_EXEC_WRAPPER: "/opt/tailrace/wrap",
      },
    });
  }
}

const app = new cdk.App();
new Hello(app, "Hello");
app.synth();
