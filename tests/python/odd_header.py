"""Sends records that have a header whose name is not UTF-8, which no client for a language of strings can.

It goes to the functions of librdkafka, inside Confluent's client for Python.

    python odd_header.py BOOTSTRAP TOPIC PARTITION VALUE...
"""

import ctypes
import sys
from pathlib import Path

import confluent_kafka

# Of rd_kafka_vtype_t and of rdkafka.h.
END, TOPIC, PARTITION, VALUE, MSGFLAGS, HEADER = 0, 1, 3, 4, 7, 9
PRODUCER, COPY = 0, 2


def main() -> None:
    bootstrap, topic, partition, *values = (argument.encode() for argument in sys.argv[1:])
    site = Path(confluent_kafka.__file__).parent.parent
    kafka = ctypes.CDLL(str(next(site.glob("confluent_kafka.libs/librdkafka*"))))
    kafka.rd_kafka_conf_new.restype = kafka.rd_kafka_new.restype = ctypes.c_void_p
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(kafka.rd_kafka_conf_new())
    kafka.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap, error, 512)
    producer = ctypes.c_void_p(kafka.rd_kafka_new(PRODUCER, conf, error, 512))
    for value in values:
        odd = (ctypes.c_int(HEADER), b"odd\xff", b"gone", ctypes.c_ssize_t(4))
        good = (ctypes.c_int(HEADER), b"good", b"kept", ctypes.c_ssize_t(4))
        failed = kafka.rd_kafka_producev(
            producer, ctypes.c_int(TOPIC), topic, ctypes.c_int(PARTITION), ctypes.c_int32(int(partition)),
            ctypes.c_int(VALUE), value, ctypes.c_size_t(len(value)), ctypes.c_int(MSGFLAGS), ctypes.c_int(COPY),
            *odd, *good, ctypes.c_int(END),
        )
        assert not failed, failed
    assert not kafka.rd_kafka_flush(producer, 30_000)


if __name__ == "__main__":
    main()
