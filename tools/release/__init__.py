"""Makes the files of a release: a template that deploys without a build, and what goes with it."""
