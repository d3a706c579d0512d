"""A shop's checkout: logs as text and as JSON, traces itself, raises and hangs as it is told to."""

import logging
import time
from typing import Any

logger = logging.getLogger("checkout")

# Longer than any timeout the demo gives the function.
SILENCE_S = 60.0


class CardDeclinedError(Exception):
    """The bank says no."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Checks out `event["order"]`; the other members say how it logs and how it ends.

    Raises:
        CardDeclinedError: `event["card"]` is `declined`.
    """
    order = event["order"]
    if "text" in event["logs"]:
        print(f"[INFO] order {order}: 3 items, 59.70 EUR")
        print(f"order {order}: charging the card that ends in 4242")
        print("[WARNING] stock of A-7 is low: 2 left")
    if "json" in event["logs"]:
        logger.info("order received", extra={"order": order, "items": 3, "total": 59.7})
        logger.warning("stock is low", extra={"sku": "A-7", "left": 2})
    if event.get("is_traced"):
        import tracing  # type: ignore[import-not-found]  # it lies beside this in the function

        tracing.check_out(order, context)
    if event.get("card") == "declined":
        raise CardDeclinedError(f"order {order}: the card was declined")
    if event.get("bank") == "silent":
        print(f"order {order}: waiting for the bank")
        time.sleep(SILENCE_S)
    return {"order": order, "status": "paid"}
