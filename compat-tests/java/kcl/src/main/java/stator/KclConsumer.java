package stator;

import com.amazonaws.services.dynamodbv2.streamsadapter.AmazonDynamoDBStreamsAdapterClient;
import com.amazonaws.services.dynamodbv2.streamsadapter.StreamsSchedulerFactory;
import com.amazonaws.services.dynamodbv2.streamsadapter.adapter.DynamoDBStreamsClientRecord;
import com.amazonaws.services.dynamodbv2.streamsadapter.model.DynamoDBStreamsProcessRecordsInput;
import com.amazonaws.services.dynamodbv2.streamsadapter.polling.DynamoDBStreamsPollingConfig;
import com.amazonaws.services.dynamodbv2.streamsadapter.processor.DynamoDBStreamsShardRecordProcessor;
import java.net.URI;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.Record;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.KinesisClientLibDependencyException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.exceptions.ThrottlingException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.StreamTracker;

/**
 * Reads the stream of a table with the Kinesis Client Library, and prints what happens, one line each:
 *
 * <pre>
 * begin SHARD
 * record SHARD SEQUENCE-NUMBER EVENT KEYS IMAGE
 * lost SHARD
 * end SHARD
 * </pre>
 *
 * KEYS and IMAGE, which is the new one, are name=value,name=value in the order of the names; an image that the stream does
 * not have is "-". It ends when it has seen so many records, or after the given time. The key pair and the region are those of the
 * environment; nothing but the endpoint is ever called.
 */
public final class KclConsumer {
    private static final int CHECKPOINT_TRIES = 10;

    private final CountDownLatch done = new CountDownLatch(1);
    private final AtomicLong left;

    private KclConsumer(long count) {
        left = new AtomicLong(count);
    }

    /** Arguments: ENDPOINT TABLE LEASE-TABLE WORKER COUNT SECONDS. */
    public static void main(String[] arguments) {
        if (arguments.length != 6) {
            System.err.println("usage: KclConsumer ENDPOINT TABLE LEASE-TABLE WORKER COUNT SECONDS");
            System.exit(2);
        }
        int status = 1;
        try {
            KclConsumer consumer = new KclConsumer(Long.parseLong(arguments[4]));
            boolean enough = consumer.run(
                    URI.create(arguments[0]), arguments[1], arguments[2], arguments[3], Long.parseLong(arguments[5]));
            status = enough ? 0 : 1;
        } catch (Exception error) {
            error.printStackTrace();
        }
        // The library's threads are not all daemons.
        System.exit(status);
    }

    private boolean run(URI endpoint, String table, String leaseTable, String worker, long seconds)
            throws Exception {
        Region region = Region.of(System.getenv().getOrDefault("AWS_REGION", "us-east-1"));
        AwsCredentialsProvider credentials = DefaultCredentialsProvider.builder().build();
        DynamoDbAsyncClient dynamo = DynamoDbAsyncClient.builder()
                .endpointOverride(endpoint).region(region).credentialsProvider(credentials).build();
        DynamoDbStreamsClient streams = DynamoDbStreamsClient.builder()
                .endpointOverride(endpoint).region(region).credentialsProvider(credentials).build();
        // Named by the library's constructor; with NullMetricsFactory nothing is sent to it.
        CloudWatchAsyncClient watch = CloudWatchAsyncClient.builder()
                .endpointOverride(endpoint).region(region).credentialsProvider(credentials).build();
        String arn = dynamo.describeTable(request -> request.tableName(table)).get().table().latestStreamArn();
        AmazonDynamoDBStreamsAdapterClient adapter = new AmazonDynamoDBStreamsAdapterClient(streams, region);

        StreamTracker tracker = StreamsSchedulerFactory.createSingleStreamTracker(
                arn, InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON));
        ConfigsBuilder configs = new ConfigsBuilder(
                tracker, leaseTable, adapter, dynamo, watch, worker, Processor::new);
        DynamoDBStreamsPollingConfig polling = new DynamoDBStreamsPollingConfig(arn, adapter);
        polling.idleTimeBetweenReadsInMillis(250);
        Scheduler scheduler = StreamsSchedulerFactory.createScheduler(
                configs.checkpointConfig(),
                configs.coordinatorConfig()
                        .parentShardPollIntervalMillis(250)
                        .shardConsumerDispatchPollIntervalMillis(100),
                configs.leaseManagementConfig().failoverTimeMillis(2_000).shardSyncIntervalMillis(1_000),
                configs.lifecycleConfig(),
                configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                configs.processorConfig(),
                configs.retrievalConfig().retrievalSpecificConfig(polling),
                adapter);
        Thread thread = new Thread(scheduler, "scheduler");
        thread.setDaemon(true);
        thread.start();
        boolean enough = done.await(seconds, TimeUnit.SECONDS);
        scheduler.startGracefulShutdown().get(30, TimeUnit.SECONDS);
        return enough;
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static String shown(Map<String, AttributeValue> keys) {
        return new TreeMap<>(keys).entrySet().stream()
                .map(entry -> entry.getKey() + "=" + text(entry.getValue()))
                .collect(Collectors.joining(","));
    }

    private static String image(Map<String, AttributeValue> image) {
        return image.isEmpty() ? "-" : shown(image);
    }

    private static String text(AttributeValue value) {
        return value.n() != null ? value.n() : String.valueOf(value.s());
    }

    /** What is done with the records of one shard. */
    private final class Processor implements DynamoDBStreamsShardRecordProcessor {
        private String shard = "";

        @Override
        public void initialize(InitializationInput input) {
            shard = input.shardId();
            say("begin " + shard);
        }

        @Override
        public void processRecords(DynamoDBStreamsProcessRecordsInput input) {
            for (DynamoDBStreamsClientRecord client : input.records()) {
                Record record = client.getRecord();
                say(String.join(" ", "record", shard, record.dynamodb().sequenceNumber(),
                        record.eventNameAsString(), shown(record.dynamodb().keys()),
                        image(record.dynamodb().newImage())));
            }
            // Before the records count as seen, so that another worker does not get them again.
            checkpoint(input.checkpointer());
            if (left.addAndGet(-input.records().size()) <= 0) {
                done.countDown();
            }
        }

        @Override
        public void leaseLost(LeaseLostInput input) {
            say("lost " + shard);
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            checkpoint(input.checkpointer());
            say("end " + shard);
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            checkpoint(input.checkpointer());
        }

        private void checkpoint(RecordProcessorCheckpointer checkpointer) {
            for (int tries = 1; ; tries++) {
                try {
                    checkpointer.checkpoint();
                    return;
                } catch (KinesisClientLibDependencyException | ThrottlingException error) {
                    // The table was out of reach for longer than the SDK tries.
                    if (tries == CHECKPOINT_TRIES) {
                        throw new IllegalStateException("no checkpoint in " + shard, error);
                    }
                } catch (InvalidStateException | ShutdownException error) {
                    throw new IllegalStateException("no checkpoint in " + shard, error);
                }
            }
        }
    }
}
