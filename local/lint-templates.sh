#!/bin/sh
# Expands each template that is named, as SAM does, and lints what comes of it.
set -e
folder=.aws-sam/linted
rm -rf "$folder"
mkdir -p "$folder"
for template; do
    python -m local.expand "$template" >"$folder/$(echo "$template" | tr / -).json"
done
cfn-lint --regions us-east-1 -- "$folder"/*.json
