import com.azure.cosmos.CosmosAsyncContainer;
import com.azure.cosmos.CosmosClientBuilder;
import com.azure.cosmos.models.CosmosBulkExecutionOptions;
import com.azure.cosmos.models.CosmosBulkExecutionThresholdsState;
import com.azure.cosmos.models.CosmosBulkItemResponse;
import com.azure.cosmos.models.CosmosBulkOperationResponse;
import com.azure.cosmos.models.CosmosBulkOperations;
import com.azure.cosmos.models.CosmosItemOperation;
import com.azure.cosmos.models.PartitionKey;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.spark.sql.ForeachWriter;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.StructField;
import reactor.core.publisher.Sinks;

/**
 * Upserts the rows of a task through the bulk executor of Microsoft's Java SDK.
 *
 * <p>A stand-in for Microsoft's Cosmos DB connector for Spark, with its defaults where they matter: one
 * client and one state of the bulk thresholds a JVM, so many upserts under way a task. It leaves out
 * what the connector does besides: nothing is tried again beyond what the SDK does, and the first upsert
 * that fails ends the query.
 */
final class BulkUpserts extends ForeachWriter<Row> {
    /** The connector's bulk.maxPendingOperations: 167 partitions, 1,024 items for each, over 16 cores. */
    private static final int UNDER_WAY = 1024 * 167 / 16;

    private static final int SECONDS_FOR_THE_REST = 120;

    private final String idField;
    private final String partitionKeyField;

    // Of one task, on the executor.
    private transient Sinks.Many<CosmosItemOperation> operations;
    private transient Semaphore places;
    private transient CountDownLatch completed;
    private transient AtomicReference<Throwable> failure;

    BulkUpserts(String idField, String partitionKeyField) {
        this.idField = idField;
        this.partitionKeyField = partitionKeyField;
    }

    /** What a JVM has one of, made when its first task begins. */
    private static final class Shared {
        static final CosmosBulkExecutionThresholdsState THRESHOLDS = new CosmosBulkExecutionThresholdsState();
        static final CosmosAsyncContainer CONTAINER = new CosmosClientBuilder()
                .endpoint(System.getenv("COSMOS_ENDPOINT"))
                .key(System.getenv("COSMOS_KEY"))
                .gatewayMode()
                .contentResponseOnWriteEnabled(false)
                .buildAsyncClient()
                .getDatabase("streaming")
                .getContainer("rawdata");
    }

    @Override
    public boolean open(long partition, long epoch) {
        operations = Sinks.many().unicast().onBackpressureBuffer();
        places = new Semaphore(UNDER_WAY);
        completed = new CountDownLatch(1);
        failure = new AtomicReference<>();
        Shared.CONTAINER
                .executeBulkOperations(operations.asFlux(), new CosmosBulkExecutionOptions(Shared.THRESHOLDS))
                .subscribe(this::answered, this::broken, completed::countDown);
        return true;
    }

    @Override
    public void process(Row row) {
        throwFailure();
        ObjectNode document = document(row);
        if (!document.path(idField).isTextual() || !document.path(partitionKeyField).isTextual()) {
            // What is no event of the schema has null columns.
            throw new IllegalArgumentException("no " + idField + " or no " + partitionKeyField + " in " + document);
        }
        places.acquireUninterruptibly();
        PartitionKey key = new PartitionKey(document.get(partitionKeyField).textValue());
        operations.emitNext(
                CosmosBulkOperations.getUpsertItemOperation(document, key), Sinks.EmitFailureHandler.FAIL_FAST);
    }

    @Override
    public void close(Throwable error) {
        operations.tryEmitComplete();
        if (error != null) {
            return;
        }
        try {
            if (!completed.await(SECONDS_FOR_THE_REST, TimeUnit.SECONDS)) {
                throw new IllegalStateException("upserts without an answer for " + SECONDS_FOR_THE_REST + " s");
            }
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
        throwFailure();
    }

    private void answered(CosmosBulkOperationResponse<Object> answer) {
        CosmosBulkItemResponse item = answer.getResponse();
        if (answer.getException() != null) {
            failure.compareAndSet(null, answer.getException());
        } else if (item == null || !item.isSuccessStatusCode()) {
            Object status = item == null ? "none" : item.getStatusCode();
            failure.compareAndSet(null, new IllegalStateException("an upsert was answered with status " + status));
        }
        places.release();
    }

    private void broken(Throwable error) {
        failure.compareAndSet(null, error);
        completed.countDown();
        // Whoever waits for a place is to see the failure.
        places.release(UNDER_WAY);
    }

    private void throwFailure() {
        if (failure.get() != null) {
            throw new IllegalStateException("an upsert failed", failure.get());
        }
    }

    private static ObjectNode document(Row row) {
        ObjectNode document = JsonNodeFactory.instance.objectNode();
        StructField[] fields = row.schema().fields();
        for (int i = 0; i < fields.length; i++) {
            String name = fields[i].name();
            Object value = row.get(i);
            if (value == null) {
                document.putNull(name);
            } else if (value instanceof String) {
                document.put(name, (String) value);
            } else if (value instanceof Double) {
                document.put(name, (Double) value);
            } else if (value instanceof Long) {
                document.put(name, (Long) value);
            } else if (value instanceof Row) {
                document.set(name, document((Row) value));
            } else {
                throw new IllegalArgumentException(name + " is a " + value.getClass());
            }
        }
        return document;
    }
}
