"""What metrics and proofs count: margins, tolerances, leads, ablations, moments of flips."""
