"""Redaction of decoded requests: what a reader would see, and nothing that is no text."""

from __future__ import annotations

from typing import Any

from shipper.rules.exports import ExportRedaction


def redacted(message: dict[str, Any], kept: str = "") -> dict[str, Any]:
    """A message of which the word is blanked."""

    def blanked(text: str) -> str:
        return text.replace("secret", "***").replace("42", "#")

    ExportRedaction(blanked, lambda names: [blanked(name) for name in names], lambda name, _: name == kept).redact(
        message
    )
    return message


def test_texts_are_redacted_wherever_they_stand() -> None:
    """Values, names, lists, mappings, members that nobody knows."""
    value = {"arrayValue": {"values": [{"stringValue": "a secret"}, {"kvlistValue": {"values": [pair("secret")]}}]}}
    message = {"name": "secret", "attributes": [{"key": "my secret", "value": value}], "newer": {"than": ["secret"]}}
    value = {"arrayValue": {"values": [{"stringValue": "a ***"}, {"kvlistValue": {"values": [pair("***")]}}]}}
    assert redacted(message) == {
        "name": "***",
        "attributes": [{"key": "my ***", "value": value}],
        "newer": {"than": ["***"]},
    }


def test_a_number_in_which_something_is_found_becomes_a_text() -> None:
    """Another stays the number that it is."""
    assert redacted({"value": {"intValue": "1421"}}) == {"value": {"stringValue": "1#1"}}
    assert redacted({"value": {"doubleValue": 1.5}}) == {"value": {"doubleValue": 1.5}}


def test_ids_times_and_measurements_stay() -> None:
    """They are no text, also where JSON has them as such."""
    message = {
        "traceId": "42" * 16,
        "timeUnixNano": "42",
        "asInt": "42",
        "bucketCounts": ["42"],
        "count": 42,
        "body": {"bytesValue": "c2VjcmV0"},
    }
    assert redacted(dict(message)) == message


def test_what_the_platform_gave_stays() -> None:
    """Under its name alone."""
    assert redacted({"attributes": [pair("secret", "id"), pair("secret")]}, kept="id") == {
        "attributes": [pair("secret", "id"), pair("***")]
    }


def pair(text: str, key: str = "a") -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": text}}
