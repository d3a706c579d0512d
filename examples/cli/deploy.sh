#!/bin/sh
# Publishes the layer and attaches it to a function, whose other layers and variables stay.
#
#   ./deploy.sh FUNCTION https://collector.example.com [SECRET]
#
# SECRET is the name of the secret that holds the key. The function gets a reference to it, which the extension resolves:
# its role has to be allowed to read it (function-policy.json).
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
    headers="api-key=@{secretsmanager:$secret}"
fi

# update-function-configuration replaces the lists it is given: what is there is read and put back, by way of standard
# input and a file that only we can read, since a function's other variables may be secrets.
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
