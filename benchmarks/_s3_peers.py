"""The others on S3, each as few calls on one bucket: get, put, names, many, remove."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THREADS = 16


class Boto3:
    """What one writes by hand, in one thread."""

    name = "boto3"

    def __init__(self, server: Any, bucket: str) -> None:
        self.client = server.client(max_pool_connections=2 * THREADS)
        self.bucket = bucket

    def get(self, key: str) -> bytes:
        answer = self.client.get_object(Bucket=self.bucket, Key=key)
        return answer["Body"].read()  # type: ignore[no-any-return]

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def insert(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data, IfNoneMatch="*")

    def names(self, prefix: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
            yield from (one["Key"] for one in page.get("Contents", []))

    def get_many(self, keys: list[str]) -> list[bytes]:
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(self.get, keys))

    def remove(self, keys: list[str]) -> None:
        for key in keys:
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def remove_in_batches(self, keys: list[str]) -> None:
        for start in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[start : start + 1000]]
            self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects})

    def upload(self, key: str, data: bytes) -> None:
        self.client.upload_fileobj(io.BytesIO(data), self.bucket, key)

    def download(self, key: str) -> bytes:
        buffer = io.BytesIO()
        self.client.download_fileobj(self.bucket, key, buffer)
        return buffer.getvalue()


class S3fs:
    """`s3fs.S3FileSystem`, without its cache of listings."""

    name = "s3fs"

    def __init__(self, server: Any, bucket: str) -> None:
        import s3fs

        self.fs = s3fs.S3FileSystem(
            endpoint_url=server.url,
            key=server.access_key,
            secret=server.secret_key,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self.bucket = bucket

    def get(self, key: str) -> bytes:
        return self.fs.cat_file(f"{self.bucket}/{key}")  # type: ignore[no-any-return]

    def put(self, key: str, data: bytes) -> None:
        self.fs.pipe_file(f"{self.bucket}/{key}", data)

    def names(self, prefix: str) -> list[str]:
        return self.fs.find(f"{self.bucket}/{prefix}")  # type: ignore[no-any-return]

    def get_many(self, keys: list[str]) -> dict[str, bytes]:
        return self.fs.cat([f"{self.bucket}/{key}" for key in keys])  # type: ignore[no-any-return]

    def remove_in_batches(self, keys: list[str]) -> None:
        self.fs.rm([f"{self.bucket}/{key}" for key in keys])


class Obstore:
    """`obstore`, whose work is done in Rust."""

    name = "obstore"

    def __init__(self, server: Any, bucket: str) -> None:
        from obstore.store import S3Store

        self.store = S3Store(
            bucket,
            endpoint=server.url,
            region="us-east-1",
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
            client_options={"allow_http": True},
        )

    def get(self, key: str) -> bytes:
        import obstore

        return bytes(obstore.get(self.store, key).bytes())

    def put(self, key: str, data: bytes) -> None:
        import obstore

        obstore.put(self.store, key, data)

    def names(self, prefix: str) -> list[str]:
        import obstore

        return [one["path"] for page in obstore.list(self.store, prefix) for one in page]

    def get_many(self, keys: list[str]) -> list[bytes]:
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(self.get, keys))

    def remove_in_batches(self, keys: list[str]) -> None:
        import obstore

        obstore.delete(self.store, keys)
