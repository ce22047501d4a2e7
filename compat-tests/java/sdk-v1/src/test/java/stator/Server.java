package stator;

import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDB;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBClientBuilder;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBStreams;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBStreamsClientBuilder;
import com.amazonaws.waiters.FixedDelayStrategy;
import com.amazonaws.waiters.MaxAttemptsRetryStrategy;
import com.amazonaws.waiters.PollingStrategy;
import java.time.Duration;
import java.util.function.Predicate;
import java.util.function.Supplier;

/**
 * The server under test, as the environment names it. The key pair comes from the usual variables; nothing but the endpoints
 * is ever called.
 */
final class Server {
    /** How long anything that happens by itself may take. */
    static final Duration PATIENCE = Duration.ofSeconds(20);

    static final AmazonDynamoDB CLIENT =
            AmazonDynamoDBClientBuilder.standard().withEndpointConfiguration(endpoint("STATOR_ENDPOINT")).build();
    static final AmazonDynamoDBStreams STREAMS =
            AmazonDynamoDBStreamsClientBuilder.standard()
                    .withEndpointConfiguration(endpoint("STATOR_ENDPOINT"))
                    .build();

    private Server() {}

    /** One of the server's endpoints. */
    static EndpointConfiguration endpoint(String variable) {
        return new EndpointConfiguration(needed(variable), needed("AWS_REGION"));
    }

    private static String needed(String variable) {
        String value = System.getenv(variable);
        if (value == null) {
            throw new IllegalStateException(variable + " is not set: compat-tests/README.md says how to run this");
        }
        return value;
    }

    /** How waiters ask: once a second. */
    static PollingStrategy polling() {
        return new PollingStrategy(
                new MaxAttemptsRetryStrategy((int) PATIENCE.toSeconds()), new FixedDelayStrategy(1));
    }

    /** Looks until what is seen is what is expected, or the time is up, and returns what was seen last. */
    static <T> T eventually(Supplier<T> look, Predicate<T> isExpected) {
        long start = System.nanoTime();
        while (true) {
            T seen = look.get();
            if (isExpected.test(seen) || System.nanoTime() - start > PATIENCE.toNanos()) {
                return seen;
            }
        }
    }
}
