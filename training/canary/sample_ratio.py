"""Do users arrive in the arms as they were assigned? An always-valid test.

Lindon and Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022): the Bayes
factor of multinomial counts with a Dirichlet prior around the assigned shares against these shares
is a martingale if they are true, so that it ever reaches 1 / alpha with probability alpha. Phases
have other shares and other users; the factors of all phases are multiplied.
"""

import math
from typing import Final

from base.arrays import Float64s

#: Concentration of the prior, as in the authors' examples of small deviations.
CONCENTRATION: Final = 100.0


def log_evidence(arrivals: Float64s, shares: tuple[float, ...]) -> float:
    """Logarithm of the Bayes factor for a mismatch.

    arrivals: float64 [phases, 2], users first seen in control and canary; shares: the canary's
    share by phase.
    """
    total = 0.0
    for (control, canary), share in zip(arrivals.tolist(), shares, strict=True):
        if share >= 1:
            continue
        for count, part in ((control, 1 - share), (canary, share)):
            prior = CONCENTRATION * part
            total += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(part)
        total += math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + control + canary)
    return total
