"""Damaged stores: what is damaged, every path that reads, and how an outcome is judged.

`good` makes whole stores; `kinds` damages copies of them; `corpus` takes the stores of the corpus; `paths` are the
ways to read; `worker` runs them in processes that may crash, hang or eat memory; `judge` says what was right.
"""
