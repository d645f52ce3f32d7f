"""Which limit comes first at how many tasks a second, and what a backlog does.

    make scale     writes docs/scale.md

`limits` has each limit and what a task takes of it, `queues` the simulations, `document` the page.
Constants come from the template, the code and the counts of docs/costs.md; what AWS documents and
what is assumed is written in `limits`. Everything is deterministic, and a test compares the page.
"""
