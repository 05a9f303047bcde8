"""Uses the sandbox's Cosmos DB with Microsoft's own SDK for Python, as an application would.

    python sandbox_sdk.py ENDPOINT KEY_FILE

Prints OK when everything was as the service would have it, or fails with what was not.
"""

import base64
import sys

from azure.cosmos import CosmosClient, exceptions

EVENTS = 30


def main(endpoint: str, key_file: str) -> None:
    with open(key_file, encoding="utf-8") as file:
        key = file.read()

    container = CosmosClient(endpoint, key).get_database_client("streaming").get_container_client("rawdata")
    paths = container.read()["partitionKey"]["paths"]
    assert paths == ["/deviceId"], paths

    for n in range(EVENTS):
        device = f"device-{n}"
        event = {"id": f"event-{n}", "eventId": f"event-{n}", "deviceId": device, "value": n / 10}
        container.upsert_item(event)
        container.upsert_item(event)
        read = container.read_item(f"event-{n}", partition_key=device)
        assert read["value"] == n / 10, read

    batch = [("upsert", ({"id": f"b{n}", "eventId": f"b{n}", "deviceId": "device-0"},)) for n in range(10)]
    results = container.execute_item_batch(batch, partition_key="device-0")
    assert [result["statusCode"] for result in results] == [201] * 10, results

    ids = set(container.query_items("SELECT VALUE c.id FROM c", enable_cross_partition_query=True, max_item_count=3))
    expected = {f"event-{n}" for n in range(EVENTS)} | {f"b{n}" for n in range(10)}
    assert ids == expected, ids ^ expected
    counted = list(container.query_items("SELECT VALUE COUNT(1) FROM c", enable_cross_partition_query=True))
    assert counted == [EVENTS + 10], counted
    top = "SELECT TOP 2 VALUE c['value'] FROM c WHERE IS_NUMBER(c['value']) ORDER BY c['value'] DESC"
    assert list(container.query_items(top, enable_cross_partition_query=True)) == [2.9, 2.8]
    mine = "SELECT * FROM c WHERE c.id = @id"
    found = list(container.query_items(mine, parameters=[{"name": "@id", "value": "event-7"}], partition_key="device-7"))
    assert len(found) == 1, found

    container.delete_item("event-7", partition_key="device-7")
    try:
        container.read_item("event-7", partition_key="device-7")
        raise AssertionError("a deleted document can still be read")
    except exceptions.CosmosResourceNotFoundError:
        pass

    try:
        CosmosClient(endpoint, base64.b64encode(b"not the key of this sandbox").decode())
        raise AssertionError("a wrong key was let in")
    except exceptions.CosmosHttpResponseError as error:
        assert error.status_code == 401, error

    print("OK")


if __name__ == "__main__":
    main(*sys.argv[1:])
