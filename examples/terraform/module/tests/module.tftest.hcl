# terraform test: without an account, on a stand-in for the provider.

mock_provider "aws" {
  mock_resource "aws_lambda_layer_version" {
    defaults = {
      arn = "arn:aws:lambda:eu-central-1:123456789012:layer:tailrace:7"
    }
  }
}

variables {
  endpoint = "https://collector.example.com"
}

run "zip_becomes_a_version" {
  variables {
    zip     = "tailrace-layer.zip"
    headers = "api-key=x"
  }

  assert {
    condition     = output.layer_arn == "arn:aws:lambda:eu-central-1:123456789012:layer:tailrace:7"
    error_message = "The ARN is not that of the version."
  }
  assert {
    condition     = aws_lambda_layer_version.tailrace[0].filename == "tailrace-layer.zip"
    error_message = "The version is not of the zip."
  }
  assert {
    condition = output.environment == tomap({
      OTEL_EXPORTER_OTLP_ENDPOINT = "https://collector.example.com"
      OTEL_EXPORTER_OTLP_HEADERS  = "api-key=x"
    })
    error_message = "The variables are not those that were asked for."
  }
}

run "published_version_is_taken_as_it_is" {
  variables {
    layer_arn = "arn:aws:lambda:eu-central-1:1:layer:tailrace:3"
  }

  assert {
    condition     = output.layer_arn == "arn:aws:lambda:eu-central-1:1:layer:tailrace:3"
    error_message = "It is not."
  }
  assert {
    condition     = length(aws_lambda_layer_version.tailrace) == 0
    error_message = "A version is published beside it."
  }
}

run "settings_win_and_the_wrapper_is_set_for_an_sdk" {
  variables {
    layer_arn = "arn:aws:lambda:eu-central-1:1:layer:tailrace:3"
    has_sdk   = true
    settings  = { TAILRACE_FLUSH = "end", OTEL_EXPORTER_OTLP_ENDPOINT = "http://other" }
  }

  assert {
    condition = output.environment == tomap({
      OTEL_EXPORTER_OTLP_ENDPOINT = "http://other"
      AWS_LAMBDA_EXEC_WRAPPER     = "/opt/tailrace/wrap"
      TAILRACE_FLUSH              = "end"
    })
    error_message = "The variables are not those that were asked for."
  }
}

run "neither_is_refused" {
  command = plan

  expect_failures = [aws_lambda_layer_version.tailrace]
}

run "both_are_refused" {
  command = plan

  variables {
    zip       = "tailrace-layer.zip"
    layer_arn = "arn:aws:lambda:eu-central-1:1:layer:tailrace:3"
  }

  expect_failures = [output.layer_arn]
}

run "path_of_a_signal_is_refused" {
  command = plan

  variables {
    zip      = "tailrace-layer.zip"
    endpoint = "https://collector.example.com/v1/logs"
  }

  expect_failures = [var.endpoint]
}
