#!/bin/sh
# Publishes the layer and attaches it to a function, whose other layers and variables stay.
#
#   ./deploy.sh FUNCTION https://collector.example.com [SECRET]
#
# SECRET holds one text as OTEL_EXPORTER_OTLP_HEADERS has it, such as api-key=…
set -eu

usage='usage: deploy.sh FUNCTION https://collector.example.com [SECRET]'
function=${1:?$usage}
endpoint=${2:?$usage}
secret=${3:-}
zip=$(dirname "$0")/../../build/tailrace-layer.zip
[ -e "$zip" ] || { echo "There is no $zip. First: make layer" >&2; exit 1; }

layer=$(aws lambda publish-layer-version --layer-name tailrace --zip-file "fileb://$zip" \
    --compatible-runtimes python3.10 python3.11 python3.12 python3.13 python3.14 \
    --compatible-architectures x86_64 arm64 --license-info Apache-2.0 \
    --query LayerVersionArn --output text)

headers=
if [ -n "$secret" ]; then
    headers=$(aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text)
fi

# update-function-configuration replaces the lists it is given: what is there is read and put back. The secret goes
# by way of standard input and a file that only we can read, never through an argument that others could see.
umask 077
request=$(mktemp)
trap 'rm -f "$request"' EXIT
aws lambda get-function-configuration --function-name "$function" --output json |
    LAYER=$layer ENDPOINT=$endpoint HEADERS=$headers python3 -c '
import json, os, sys
now = json.load(sys.stdin)
layers = [layer["Arn"] for layer in now.get("Layers", []) if ":layer:tailrace:" not in layer["Arn"]]
variables = now.get("Environment", {}).get("Variables", {})
variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = os.environ["ENDPOINT"]
if os.environ["HEADERS"]:
    variables["OTEL_EXPORTER_OTLP_HEADERS"] = os.environ["HEADERS"]
json.dump({"Layers": [*layers, os.environ["LAYER"]], "Environment": {"Variables": variables}}, sys.stdout)
' >"$request"
aws lambda update-function-configuration --function-name "$function" --cli-input-json "file://$request" \
    --query 'Layers[].Arn' --output text
