package stator;

import java.net.URI;
import java.time.Duration;
import java.util.function.Predicate;
import java.util.function.Supplier;
import software.amazon.awssdk.enhanced.dynamodb.DynamoDbEnhancedClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;

/**
 * The server under test, as the environment names it. The region and the key pair come from the usual variables; nothing but
 * the endpoints is ever called.
 */
final class Server {
    /** How long anything that happens by itself may take. */
    static final Duration PATIENCE = Duration.ofSeconds(20);

    static final DynamoDbClient CLIENT =
            DynamoDbClient.builder().endpointOverride(endpoint("STATOR_ENDPOINT")).build();
    static final DynamoDbEnhancedClient ENHANCED =
            DynamoDbEnhancedClient.builder().dynamoDbClient(CLIENT).build();
    static final DynamoDbStreamsClient STREAMS =
            DynamoDbStreamsClient.builder().endpointOverride(endpoint("STATOR_ENDPOINT")).build();

    private Server() {}

    /** One of the server's endpoints. */
    static URI endpoint(String variable) {
        String endpoint = System.getenv(variable);
        if (endpoint == null) {
            throw new IllegalStateException(variable + " is not set: compat-tests/README.md says how to run this");
        }
        return URI.create(endpoint);
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
