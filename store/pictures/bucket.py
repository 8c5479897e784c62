"""A bucket of an object store that speaks S3: AWS, MinIO, Ceph, R2, Garage and others.

boto3 is its client because AWS maintains it in step with the protocol and every store is tested against it. What other
stores may not know yet (checksums in trailers) is left out.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# boto3 makes its classes while it runs, so that it has no types.

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from store.pictures.base import PicturesUnavailable

CONNECT_SECONDS, READ_SECONDS = 2, 5
ATTEMPTS = 2  # a connection may have died long ago. With the timeouts that is 14 s at most, and a lease lasts 15
AT_ONCE = 1000  # keys that one request can delete or list


class Stored(NamedTuple):
    """An object of a listing."""

    key: str
    modified: datetime


class Bucket:
    """Threads may use it at once."""

    def __init__(
        self,
        name: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        path_style: bool | None = None,
        public_endpoint: str | None = None,
        connections: int = 32,
    ) -> None:
        """Without ``endpoint`` it is AWS; without keys those of the environment, a profile, or the machine's role.

        Args:
            path_style: whether addresses are ENDPOINT/BUCKET instead of BUCKET.ENDPOINT; None: as the endpoint needs.
            public_endpoint: the endpoint in the addresses that `url` makes.
        """
        self.name = name
        if path_style is None:
            path_style = endpoint is not None
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            max_pool_connections=connections,
            s3={"addressing_style": "path" if path_style else "virtual"},
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        session = Session()  # the module's own is not for threads
        options: dict[str, Any] = {
            "region_name": region or session.region_name or "us-east-1",
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
            "config": config,
        }
        self._client: Any = session.client("s3", endpoint_url=endpoint, **options)
        other = public_endpoint is not None and public_endpoint != endpoint
        self._public: Any = session.client("s3", endpoint_url=public_endpoint, **options) if other else self._client

    def put(self, key: str, data: bytes, *, only_new: bool = False) -> bool:
        """Store an object. With ``only_new`` one that is there stays, and the result is False.

        Raises:
            PicturesUnavailable: it may or may not be stored.
        """
        condition = {"IfNoneMatch": "*"} if only_new else {}
        try:
            self._client.put_object(Bucket=self.name, Key=key, Body=data, **condition)
        except ClientError as error:
            if only_new and _status(error) in (409, 412):
                return False
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error
        return True

    def get(self, key: str) -> bytes | None:
        """The bytes of an object; None if there is none.

        Raises:
            PicturesUnavailable: it may be there.
        """
        try:
            return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return None
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, as far as they are there.

        Raises:
            PicturesUnavailable: some may be left.
        """
        try:
            for first in range(0, len(keys), AT_ONCE):
                wanted = {"Objects": [{"Key": key} for key in keys[first : first + AT_ONCE]], "Quiet": True}
                errors = self._client.delete_objects(Bucket=self.name, Delete=wanted).get("Errors")
                if errors:
                    raise PicturesUnavailable(f"{errors[0].get('Code')}: {errors[0].get('Message')}")
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(error) from error

    def page(self, prefix: str, after: str = "") -> tuple[list[Stored], bool]:
        """The next objects whose keys begin so and come after ``after``, by key: at most `AT_ONCE`; and whether there
        are more.

        Raises:
            PicturesUnavailable: see there.
        """
        try:
            found = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix, StartAfter=after)
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(error) from error
        objects = [Stored(each["Key"], each["LastModified"]) for each in found.get("Contents", ())]
        return objects, bool(objects) and bool(found.get("IsTruncated"))

    def url(self, key: str, seconds: int, media_type: str) -> str:
        """An address at which everybody can get an object for so long. Nothing is sent to the bucket.

        Raises:
            PicturesUnavailable: there are no credentials to sign it with.
        """
        wanted = {"Bucket": self.name, "Key": key, "ResponseContentType": media_type}
        try:
            return self._public.generate_presigned_url("get_object", Params=wanted, ExpiresIn=seconds)
        except BotoCoreError as error:
            raise _unavailable(error) from error

    def check(self) -> None:
        """Ask whether the bucket is there and may be used.

        Raises:
            PicturesUnavailable: it cannot be.
        """
        try:
            self._client.head_bucket(Bucket=self.name)
        except ClientError as error:
            if (status := _status(error)) == 404:
                raise PicturesUnavailable(f"there is no bucket {self.name}") from error
            if status in (400, 403):  # answers to HEAD have no text
                raise PicturesUnavailable(f"the keys may not use the bucket {self.name}") from error
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """End its connections."""
        self._client.close()
        self._public.close()


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _unavailable(error: Exception) -> PicturesUnavailable:
    return PicturesUnavailable(str(error))
