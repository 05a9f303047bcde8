"""Prints every document of a container, one JSON line each, through Microsoft's own SDK.

What is stored is judged by a client that shares no code with the service.

    python read_all.py ENDPOINT KEY_FILE DATABASE CONTAINER
"""

import json
import sys
from pathlib import Path

from azure.cosmos import CosmosClient


def main() -> None:
    endpoint, key_file, database, container = sys.argv[1:]
    client = CosmosClient(endpoint, Path(key_file).read_text().strip(), connection_verify=False)
    documents = client.get_database_client(database).get_container_client(container)
    for document in documents.query_items("SELECT * FROM c", enable_cross_partition_query=True):
        json.dump(document, sys.stdout)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
