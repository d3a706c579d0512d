"""Stands in for typing_extensions on Python 3.10, where structlog takes one name from it.

msgspec asks for more, does not find it here, and falls back to the standard library as it does where the real
package is missing; that spares every start the import of the real one.
"""

from typing import Any as Self

__all__ = ["Self"]
