"""Ranking metrics, one per file: pure functions of recommended lists and what users chose.

Lists are int32 [n, k], best first, catalogue index, -1 where a list is shorter. Targets are
`Ragged` rows of distinct items. Accuracy metrics return float64 [n], one value per query.
"""
