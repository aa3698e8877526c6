"""A real S3 server for tests: moto's, an HTTP process of its own on a free port."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from base.processes import answers, free_port


@dataclass(frozen=True)
class S3:
    """The server and the account that may use it."""

    endpoint: str
    key: str = "AKIAIOSFODNN7EXAMPLE"
    secret: str = "wJalrXUtnFEMI-not-a-real-one"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables for using the server, as for any AWS tool."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "s3") -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )

    def bucket(self, name: str) -> str:
        """A new bucket; its URL."""
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def keys(self, bucket: str) -> list[str]:
        """The names of all objects in a bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    @contextmanager
    def guarded(self) -> Iterator["S3"]:
        """During the block, only the yielded account may read or write."""
        iam = self.client("iam")
        user = f"rondo-{uuid4().hex}"
        iam.create_user(UserName=user)
        allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=policy)
        made = iam.create_access_key(UserName=user)["AccessKey"]
        try:
            self._check_after("0")
            yield S3(self.endpoint, made["AccessKeyId"], made["SecretAccessKey"])
        finally:
            self._check_after("inf")

    def _check_after(self, actions: str) -> None:
        """Allow this many more actions without checking the account."""
        url = f"{self.endpoint}/moto-api/reset-auth"
        plain = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(url, actions.encode(), plain)).close()


@contextmanager
def s3_server() -> Iterator[S3]:
    """A running server until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = S3(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 60
        while not answers(f"{server.endpoint}/moto-api/"):
            assert process.poll() is None, "moto's server ended"
            assert time.monotonic() < deadline, "moto's server does not answer"
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(10)
