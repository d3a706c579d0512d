"""In words: where time was lost, what was held and why, what was late, what was lost."""

from collections import Counter
from collections.abc import Iterator

from tools.timeline.life import Life
from tools.timeline.lines import MS_PER_S

# A batch that took longer than this to arrive is called late.
LATE_MS = 1000.0


def answers(life: Life) -> dict[str, list[str]]:
    """Sentences by question."""
    return {
        "Where was time lost?": [*_time(life)],
        "What was held, and why?": [*_held(life)],
        "What was late?": [*_late(life)],
        "What was lost?": [*_lost(life)],
    }


def _time(life: Life) -> Iterator[str]:
    held = life.of("held")
    if held:
        longest = max(held, key=lambda span: span.ms)
        total_ms = sum(span.ms for span in held)
        invocations = len(life.of("invocation"))
        yield f"Functions were held for {_ms(total_ms)} in all, in {len(held)} of {invocations} invocations."
        whose = longest.facts["request_id"] or "no invocation"
        yield f"The longest hold was {_ms(longest.ms)}, of {whose}; it ended so: {_words(longest.label)}."
    elif life.is_detailed:
        yield "No function was held."
    elif life.ledger:
        yield f"Functions were held for {_ms(life.ledger.get('held_ms', 0))} in all."
    for moment in life.moments:
        if moment.label == "breaker.opened":
            vain = _ms(moment.facts.get("held_in_vain_ms", 0))
            reason = moment.facts.get("reason", "no delivery")
            yield f"{vain} were held for nothing before the breaker opened: {reason}."
    slow = [span for kind in ("answered", "refused", "failed") for span in life.of(kind)]
    if slow:
        slowest = max(slow, key=lambda span: span.ms)
        yield f"The backend's slowest answer took {_ms(slowest.ms)} ({slowest.label})."
    for shutdown in life.of("shutdown"):
        yield f"Shutdown took {_ms(shutdown.ms)}."


def _held(life: Life) -> Iterator[str]:
    reasons = Counter(span.label for span in life.of("held"))
    for reason, count in reasons.most_common():
        total_ms = sum(span.ms for span in life.of("held") if span.label == reason)
        yield f"{count} × {_ms(total_ms / count)} on average, which ended so: {_words(reason)}."
    if not reasons:
        yield "Nothing." if life.is_detailed else "That is told at TAILRACE_LOG_LEVEL=debug."


def _late(life: Life) -> Iterator[str]:
    ages = sorted(span.ms for span in life.of("batch"))
    if ages:
        late = sum(age > LATE_MS for age in ages)
        yield (
            f"Of {len(ages)} batches half arrived within {_ms(ages[len(ages) // 2])} of being stored, the last after "
            f"{_ms(ages[-1])}; {late} took longer than {_ms(LATE_MS)}."
        )
    for moment in life.moments:
        if moment.label == "shipper.delivery_failing":
            where, reason = moment.facts.get("destination", "the destination"), moment.facts.get("reason", "")
            yield f"{where} was failing: {reason} {moment.facts.get('detail', '')}".rstrip() + "."
        if moment.label == "shipper.answers_late":
            where, took_ms = moment.facts.get("destination", "The destination"), moment.facts.get("took_ms", 0)
            yield f"{where} answered when shipments had ended: one answer took {_ms(took_ms)}."
        if moment.label == "shipper.delivery_recovered":
            yield f"It took something again after {_ms(moment.facts.get('failing_ms', 0))}."
    if not ages and not life.is_detailed:
        yield "When each batch arrived is told at TAILRACE_LOG_LEVEL=debug."


def _lost(life: Life) -> Iterator[str]:
    ledger = life.ledger
    if not ledger:
        yield "The log has no last line, lifecycle.ended: what came of the records is not known from it."
        return
    routes = ledger.get("routes") or {"": ledger}
    for route, own in routes.items():
        whose = f"Route {route}: of" if route else "Of"
        yield f"{whose} {ledger.get('accepted', 0)} records accepted, {own.get('shipped', 0)} were shipped."
        for name, words in (("left", "were still waiting at the end"), ("dropped", "were dropped")):
            for reason, count in own.get(name, {}).items():
                yield f"{count} {words}: {_words(reason)}."
    for reason, count in ledger.get("refused", {}).items():
        yield f"{count} requests of the platform's were refused: {_words(reason)}."
    if ledger.get("lost_by_platform"):
        yield f"{ledger['lost_by_platform']} were given up by the platform before they reached the extension."
    is_whole = not any(own.get("waiting") or own.get("dropped") for own in routes.values())
    if is_whole and not ledger.get("lost_by_platform"):
        yield "Nothing was lost."


def _words(name: str) -> str:
    return name.replace("_", " ")


def _ms(value: float) -> str:
    return f"{value / MS_PER_S:.2f} s" if value >= MS_PER_S else f"{value:.0f} ms"
