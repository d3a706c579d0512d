# terraform init && terraform apply -var endpoint=https://collector.example.com

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.82"
    }
  }
}

variable "endpoint" {
  description = "Where telemetry goes; /v1/logs is appended"
  type        = string
  default     = "https://collector.example.com"
}

variable "api_key_secret" {
  description = "Name of the secret that holds the key, and nothing else"
  type        = string
  default     = "tailrace/api-key"
}

data "aws_caller_identity" "me" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

variable "package" {
  description = "The function's zip: (cd ../function && zip function.zip app.py)"
  type        = string
  default     = "../function/function.zip"
}

locals {
  name = "hello"
  zip  = "${path.module}/../../build/tailrace-layer.zip"
}

resource "aws_lambda_layer_version" "tailrace" {
  layer_name               = "tailrace"
  filename                 = local.zip
  source_code_hash         = fileexists(local.zip) ? filebase64sha256(local.zip) : null
  compatible_runtimes      = ["python3.10", "python3.11", "python3.12", "python3.13"]
  compatible_architectures = ["x86_64", "arm64"]
  license_info             = "Apache-2.0"
  skip_destroy             = true
}

resource "aws_lambda_function" "hello" {
  function_name    = local.name
  filename         = var.package
  source_code_hash = fileexists(var.package) ? filebase64sha256(var.package) : null
  handler          = "app.handler"
  runtime          = "python3.13"
  architectures    = ["arm64"]
  memory_size      = 256
  timeout          = 10
  role             = aws_iam_role.hello.arn
  layers           = [aws_lambda_layer_version.tailrace.arn]

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.hello.name
  }

  environment {
    variables = {
      OTEL_EXPORTER_OTLP_ENDPOINT = var.endpoint
      # A reference, which the extension resolves: the key is neither here nor in the state.
      OTEL_EXPORTER_OTLP_HEADERS = "api-key=@{secretsmanager:${var.api_key_secret}}"
      OTEL_SERVICE_NAME          = local.name
      AWS_LAMBDA_EXEC_WRAPPER    = "/opt/tailrace/wrap"
    }
  }
}

resource "aws_cloudwatch_log_group" "hello" {
  name              = "/aws/lambda/${local.name}"
  retention_in_days = 7
}

# What the function's own logging needs, for this group alone, and the extension to read the key.
data "aws_iam_policy_document" "logs" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.hello.arn}:*"]
  }
  statement {
    actions = ["secretsmanager:GetSecretValue"]
    resources = [join(":", [
      "arn", data.aws_partition.this.partition, "secretsmanager", data.aws_region.this.name,
      data.aws_caller_identity.me.account_id, "secret", "${var.api_key_secret}-??????",
    ])]
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "hello" {
  name               = local.name
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "logs" {
  name   = "logs"
  role   = aws_iam_role.hello.id
  policy = data.aws_iam_policy_document.logs.json
}

output "layer_arn" {
  value = aws_lambda_layer_version.tailrace.arn
}
