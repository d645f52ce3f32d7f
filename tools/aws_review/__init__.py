"""A second opinion on the template: deployed into two emulators, what do they make of it?

    make second-opinion     deploys twice and writes the tables of docs/aws-review.md

`emulators` starts each, `deployment` puts as much of the expanded template into it as it takes,
`reading` asks the services what became of each resource, `comparison` compares that with what the
template says, and `document` writes the page.
"""
