"""Names of OpenTelemetry's semantic conventions, as far as they are used here.

Each constant is called what the conventions' own package for Python calls it; what is Lambda's own, beyond the
conventions, stands where it is written.
"""

# Resources: "Service", "Telemetry", "Cloud", "FaaS resource attributes".
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
SERVICE_INSTANCE_ID = "service.instance.id"
TELEMETRY_DISTRO_NAME = "telemetry.distro.name"
TELEMETRY_DISTRO_VERSION = "telemetry.distro.version"
CLOUD_PROVIDER = "cloud.provider"
CLOUD_PLATFORM = "cloud.platform"
CLOUD_REGION = "cloud.region"
CLOUD_ACCOUNT_ID = "cloud.account.id"
CLOUD_RESOURCE_ID = "cloud.resource_id"
FAAS_NAME = "faas.name"
FAAS_VERSION = "faas.version"
FAAS_INSTANCE = "faas.instance"
FAAS_MAX_MEMORY = "faas.max_memory"

# Log records and spans: "FaaS spans", "AWS Lambda", "Events and logs", "Exceptions", "Recording errors".
FAAS_INVOCATION_ID = "faas.invocation_id"
FAAS_COLDSTART = "faas.coldstart"
FAAS_TRIGGER = "faas.trigger"
AWS_LAMBDA_INVOKED_ARN = "aws.lambda.invoked_arn"
LOG_RECORD_UID = "log.record.uid"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
ERROR_TYPE = "error.type"

# Metrics: "FaaS metrics".
FAAS_INVOCATIONS = "faas.invocations"
FAAS_ERRORS = "faas.errors"
FAAS_TIMEOUTS = "faas.timeouts"
FAAS_COLDSTARTS = "faas.coldstarts"
FAAS_INVOKE_DURATION = "faas.invoke_duration"
FAAS_INIT_DURATION = "faas.init_duration"
FAAS_MEM_USAGE = "faas.mem_usage"
