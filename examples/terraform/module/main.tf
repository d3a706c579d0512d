# Tailrace for any number of functions:
#
#   module "tailrace" {
#     source   = "./module"
#     zip      = "tailrace-layer.zip" # of a release; or layer_arn, of a version that is published
#     endpoint = "https://collector.example.com"
#   }
#
#   resource "aws_lambda_function" "hello" {
#     …
#     layers = [module.tailrace.layer_arn]
#     environment {
#       variables = merge(module.tailrace.environment, { TABLE = "orders" })
#     }
#   }

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.82"
    }
  }
}

variable "zip" {
  description = "Path of the layer's zip, which is published as a version; null where layer_arn is given"
  type        = string
  default     = null
}

variable "layer_arn" {
  description = "ARN of a version that is published, such as a release's table has; null where zip is given"
  type        = string
  default     = null
}

variable "layer_name" {
  description = "Name of the layer that the zip becomes a version of"
  type        = string
  default     = "tailrace"
}

variable "compatible_runtimes" {
  description = "What consoles filter by; [] for the standalone zip, which runs beside any"
  type        = list(string)
  default     = ["python3.10", "python3.11", "python3.12", "python3.13"]
}

variable "compatible_architectures" {
  description = "Likewise; one for the standalone zip"
  type        = list(string)
  default     = ["x86_64", "arm64"]
}

variable "endpoint" {
  description = "Where telemetry goes; /v1/logs and so on are appended"
  type        = string

  validation {
    condition     = can(regex("^https?://[^/]+", var.endpoint)) && !can(regex("/v1/(logs|traces|metrics)/?$", var.endpoint))
    error_message = "Expected http:// or https:// and a host, without /v1/logs: that is appended."
  }
}

variable "headers" {
  description = "As OTEL_EXPORTER_OTLP_HEADERS has them, such as api-key=@{secretsmanager:NAME}, which is a reference and no secret"
  type        = string
  default     = ""
  sensitive   = true
}

variable "has_sdk" {
  description = "Whether the functions have an OpenTelemetry SDK of their own, which the layer's wrapper then sets up"
  type        = bool
  default     = false
}

variable "settings" {
  description = "Any other setting by its variable, such as { TAILRACE_FLUSH = \"end\" }; it wins over what is above"
  type        = map(string)
  default     = {}
}

resource "aws_lambda_layer_version" "tailrace" {
  count = var.layer_arn == null ? 1 : 0

  layer_name               = var.layer_name
  filename                 = var.zip
  source_code_hash         = try(filebase64sha256(var.zip), null)
  compatible_runtimes      = var.compatible_runtimes
  compatible_architectures = var.compatible_architectures
  license_info             = "Apache-2.0"
  # Functions, and a rollback, may still name an older version.
  skip_destroy = true

  lifecycle {
    precondition {
      condition     = var.zip != null
      error_message = "Expected zip or layer_arn."
    }
  }
}

locals {
  own = {
    OTEL_EXPORTER_OTLP_ENDPOINT = var.endpoint
    OTEL_EXPORTER_OTLP_HEADERS  = var.headers
    AWS_LAMBDA_EXEC_WRAPPER     = var.has_sdk ? "/opt/tailrace/wrap" : ""
  }
}

output "layer_arn" {
  description = "For the function's layers"
  value       = var.layer_arn == null ? aws_lambda_layer_version.tailrace[0].arn : var.layer_arn

  precondition {
    condition     = var.zip == null || var.layer_arn == null
    error_message = "Expected zip or layer_arn, got both."
  }
}

output "environment" {
  description = "For the function's variables, to be merged with its own"
  value       = tomap(merge({ for name, value in local.own : name => value if value != "" }, var.settings))
  sensitive   = true
}
