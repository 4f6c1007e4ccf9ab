"""Why so many replicas, in a sentence a step. The figures are in the steps; here are only the words."""

from inference.policy.autoscaling.load import Decision, Rule, Step

# The first line of a rule whose fact the step carries holds; "" is carried by all.
WORDS: dict[Rule, dict[str, str]] = {
    Rule.FIXED: {"": "the policy names a fixed number"},
    Rule.SIGNAL: {
        "met": "{level} requests are here on average, all but a few meet {met} at most, which at {service_s} s "
        "each takes {slots} slots",
        "concurrency": "{concurrency} requests are here, {slots} slots a replica are to be used to {target}",
        "": "{signal} is at {value}, its target is {target}",
    },
    Rule.BURST: {"": "{waiting} wait too long already, and what comes now fills {slots} slots"},
    Rule.WAKE: {"": "{waiting} wait, and no replica is there"},
    Rule.IDLE: {"": "nobody came for {silent_s} s"},
    Rule.SPARE: {"": "the policy keeps spare ones"},
    Rule.BOUNDS: {"": "the policy allows {min} to {max}"},
    Rule.STEADY: {
        "most": "so many were needed within the last {window_s} s",
        "raised_s_ago": "the last ones were asked for {raised_s_ago} s ago, less than a cold start",
        "watched_s": "it was watched for {watched_s} s of {window_s} s only",
        "": "the number turned {turned_s_ago} s ago, less than a cold start",
    },
    Rule.UNKNOWN: {"": "there is no reading to go by, so all stays as it is"},
}


def explain(decision: Decision) -> list[str]:
    """One sentence for each rule that spoke, in order, the last one with the number that holds."""
    return [say(step) for step in decision.steps]


def say(step: Step) -> str:
    words = next(text for fact, text in WORDS[step.rule].items() if not fact or fact in step.facts)
    facts = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in step.facts.items()}
    return f"{step.replicas} replica{'' if step.replicas == 1 else 's'}: {words.format_map(facts)}."
