"""The function that is memoized; in a module of its own, as users have it."""


def score(customer: int, weight: float, mode: str) -> dict[str, float]:
    """Return something small that depends on all arguments."""
    return {"score": customer * weight, "length": float(len(mode))}
