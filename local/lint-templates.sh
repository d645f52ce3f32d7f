#!/bin/sh
# Expands each SAM template that is named, and lints what comes of it.
set -e
mkdir -p .aws-sam
for template; do
    python -m local.expand "$template" >.aws-sam/expanded-other.json
    cfn-lint --regions us-east-1 -- .aws-sam/expanded-other.json
done
