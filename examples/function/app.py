"""A function that says something."""

import json


def handler(event, context):
    print(json.dumps({"level": "INFO", "message": "hello", "requestId": context.aws_request_id}))
    return {"hello": event.get("name", "world")}
