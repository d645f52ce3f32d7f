"""An organization's part of a stack: what exists in its account before the stack does."""

import json
from collections.abc import Mapping

import boto3

from local.emulator import ADMINISTRATOR, REGION
from local.stack import LocalStack

SECRET_REGION = "eu-west-1"
SERVICES = (
    "dynamodb",
    "ec2",
    "events",
    "kms",
    "lambda",
    "logs",
    "s3",
    "secretsmanager",
    "sqs",
    "states",
)
"""What the boundary allows, which docs/organizations.md says it must."""


def clients(endpoint_url: str, region: str = REGION):
    """Give a function that builds clients of the emulator, as its administrator."""

    def client(service: str):
        return boto3.client(
            service,
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=ADMINISTRATOR["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ADMINISTRATOR["AWS_SECRET_ACCESS_KEY"],
        )

    return client


def organization(endpoint_url: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Make a key, a boundary and a secret in another region, and find a network.

    A web ACL is left to tests of the template: the emulator's CloudFormation can't associate one.
    """
    client = clients(endpoint_url)
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    boundary = client("iam").create_policy(
        PolicyName="boundary",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": [f"{service}:*" for service in SERVICES],
                        "Resource": "*",
                    }
                ],
            }
        ),
    )["Policy"]["Arn"]
    secret = clients(endpoint_url, SECRET_REGION)("secretsmanager").create_secret(
        Name="keys/comet", SecretString=parameters["ProviderApiKey"]
    )["ARN"]
    ec2 = client("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    return {
        "ProviderApiKey": "",
        "ProviderApiKeySecretArn": secret,
        "PermissionsBoundaryArn": boundary,
        "KmsKeyArn": key,
        "SubnetIds": ",".join(subnets),
        "SecurityGroupIds": group,
        "AccessLogs": "true",
        "DeletionProtection": "true",
        "ResultsVersioning": "true",
    }


def complete(stack: LocalStack) -> None:
    """Do what AWS's CloudFormation does and the emulator's leaves out.

    Roles get the boundary, buckets the key. The tables' keys are left to tests of the template.
    """
    cloudformation, iam = stack.client("cloudformation"), stack.client("iam")
    parameters = parameters_of(stack)
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": parameters["KmsKeyArn"]}
    rule = {"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": True}
    pages = cloudformation.get_paginator("list_stack_resources").paginate(
        StackName=stack.stack_name
    )
    for found in (one for page in pages for one in page["StackResourceSummaries"]):
        name = found["PhysicalResourceId"]
        match found["ResourceType"]:
            case "AWS::IAM::Role":
                iam.put_role_permissions_boundary(
                    RoleName=name, PermissionsBoundary=parameters["PermissionsBoundaryArn"]
                )
            case "AWS::S3::Bucket":
                stack.client("s3").put_bucket_encryption(
                    Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]}
                )


def parameters_of(stack: LocalStack) -> dict[str, str]:
    """Read the parameters with which a stack was deployed."""
    described = stack.client("cloudformation").describe_stacks(StackName=stack.stack_name)
    given = described["Stacks"][0]["Parameters"]
    return {one["ParameterKey"]: one["ParameterValue"] for one in given}
