"""Holds what is stored against what was sent: a reader of Kafka and of Cosmos DB that shares no code
with the service.

    python compare.py BOOTSTRAP TOPIC ENDPOINT KEY_FILE DATABASE CONTAINER

Of every (deviceId, eventId) the record with the highest offset has to be stored, once, field for field:
unknown fields kept, numbers equal as doubles, createdAt as text with milliseconds in UTC, id, enqueuedAt
and processedAt added, and nothing else. Prints one JSON object; the examples are the first ten.
"""

import json
import re
import sys
from datetime import datetime, timezone
from pathlib import Path

from azure.cosmos import CosmosClient
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

SYSTEM = {"_rid", "_self", "_etag", "_ts", "_attachments"}
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def sent(bootstrap: str, topic: str):
    """The newest record of every document: its event and its timestamp; and how many records there are."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "compare",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    partitions = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    newest, records, unread = {}, 0, set(partitions)
    while unread:
        for message in consumer.consume(5000, timeout=1):
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
                continue
            records += 1
            # Kafka keeps the records of a key in one partition: the last one read is the newest.
            event = json.loads(message.value())
            newest[event["deviceId"], event["eventId"]] = (event, message.timestamp()[1])
    consumer.close()
    return newest, records


def stored(endpoint: str, key_file: str, database: str, container: str):
    client = CosmosClient(endpoint, Path(key_file).read_text().strip(), connection_verify=False)
    documents = client.get_database_client(database).get_container_client(container)
    # Large pages, because the sandbox goes through all documents for each of them.
    return documents.query_items("SELECT * FROM c", enable_cross_partition_query=True, max_item_count=50_000)


def expected(event: dict, millis: int) -> dict:
    created = datetime.fromisoformat(event["createdAt"]).astimezone(timezone.utc)
    enqueued = datetime.fromtimestamp(millis // 1000, timezone.utc).replace(microsecond=millis % 1000 * 1000)
    return event | {"id": event["eventId"], "createdAt": stamp(created), "enqueuedAt": stamp(enqueued)}


def same(one, other) -> bool:
    numbers = (int, float)
    if isinstance(one, numbers) and isinstance(other, numbers) and not isinstance(one, bool):
        return not isinstance(other, bool) and float(one) == float(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def as_sent(document: dict, event: dict, millis: int) -> bool:
    document = {name: value for name, value in document.items() if name not in SYSTEM}
    processed = document.pop("processedAt", "")
    return (
        isinstance(processed, str)
        and STAMP.fullmatch(processed) is not None
        and same(document, expected(event, millis))
    )


def main() -> None:
    bootstrap, topic, endpoint, key_file, database, container = sys.argv[1:]
    newest, records = sent(bootstrap, topic)
    missing = dict(newest)
    documents, doubled, extra, different = 0, [], [], []
    for document in stored(endpoint, key_file, database, container):
        documents += 1
        name = (document.get("deviceId"), document.get("eventId"))
        if name not in newest:
            extra.append(name)
        elif name not in missing:
            doubled.append(name)
        elif not as_sent(document, *missing.pop(name)):
            different.append({"stored": document, "sent": newest[name][0]})
    found = {"missing": list(missing), "doubled": doubled, "extra": extra, "different": different}
    summary = {"records": records, "events": len(newest), "documents": documents}
    summary |= {what: len(cases) for what, cases in found.items()}
    summary["examples"] = {what: cases[:10] for what, cases in found.items() if cases}
    json.dump(summary, sys.stdout)


if __name__ == "__main__":
    main()
