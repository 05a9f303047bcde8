import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.date_format;
import static org.apache.spark.sql.functions.decode;
import static org.apache.spark.sql.functions.from_json;
import static org.apache.spark.sql.functions.lit;

import java.sql.Timestamp;
import java.time.Instant;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.DataStreamReader;
import org.apache.spark.sql.streaming.Trigger;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;

/**
 * The job that streamproc replaces, in open-source Spark: the query of the sample Streaming at Scale
 * (its notebook kafka-to-cosmosdb) over what a Kafka topic holds now, into Azure Cosmos DB.
 *
 * <p>The sample writes by a Cosmos DB connector for Spark. Here {@link BulkUpserts} stands in for it.
 *
 * <pre>
 * COSMOS_ENDPOINT=... COSMOS_KEY=... java @jvm.options -cp ... Job
 *     BOOTSTRAP_SERVERS TOPIC CHECKPOINT_DIRECTORY [MAX_OFFSETS_PER_TRIGGER]
 * </pre>
 */
final class Job {
    public static void main(String[] arguments) throws Exception {
        // What concerns the process is set outside, by Spark's own system properties (jvm.options).
        SparkSession spark = SparkSession.builder()
                .appName("kafka-to-cosmosdb")
                // date_format writes in the session's time zone.
                .config("spark.sql.session.timeZone", "UTC")
                .getOrCreate();
        DataStreamReader kafka = spark.readStream()
                .format("kafka")
                .option("kafka.bootstrap.servers", arguments[0])
                .option("subscribe", arguments[1])
                .option("startingOffsets", "earliest");
        if (arguments.length > 3) {
            kafka = kafka.option("maxOffsetsPerTrigger", arguments[3]);
        }
        documents(kafka.load())
                .writeStream()
                .foreach(new BulkUpserts("id", "deviceId"))
                .outputMode("append")
                .option("checkpointLocation", arguments[2])
                // The sample runs without end; micro-batches are the same ones until the backlog is read.
                .trigger(Trigger.AvailableNow())
                .start()
                .awaitTermination();
        spark.stop();
    }

    /** From Kafka's records to the documents: the sample's columns, in its way. */
    private static Dataset<Row> documents(Dataset<Row> records) {
        Dataset<Row> documents = records
                .select(from_json(decode(col("value"), "UTF-8"), event()).as("event"), col("timestamp"))
                .select(col("event.*"), col("timestamp").as("enqueuedAt"))
                // The sample's processedAt too is the time at which the query was made, in every event.
                .withColumn("processedAt", lit(Timestamp.from(Instant.now())))
                .withColumn("id", col("eventId"));
        for (StructField field : documents.schema().fields()) {
            if (field.dataType().equals(DataTypes.TimestampType)) {
                documents = documents.withColumn(
                        field.name(), date_format(col(field.name()), "yyyy-MM-dd'T'HH:mm:ss.SSSX"));
            }
        }
        return documents;
    }

    private static StructType event() {
        StructType complexData = new StructType();
        for (int i = 0; i <= 22; i++) {
            complexData = complexData.add("moreData" + i, DataTypes.DoubleType, false);
        }
        return new StructType()
                .add("eventId", DataTypes.StringType, false)
                .add("complexData", complexData)
                .add("value", DataTypes.DoubleType, false)
                .add("type", DataTypes.StringType, false)
                .add("deviceId", DataTypes.StringType, false)
                .add("deviceSequenceNumber", DataTypes.LongType, false)
                .add("createdAt", DataTypes.TimestampType, false);
    }

    private Job() {}
}
