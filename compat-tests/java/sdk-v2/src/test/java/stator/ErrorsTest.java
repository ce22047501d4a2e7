package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.enhanced.dynamodb.DynamoDbTable;
import software.amazon.awssdk.enhanced.dynamodb.TableSchema;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.ConditionalCheckFailedException;
import software.amazon.awssdk.services.dynamodb.model.DynamoDbException;
import software.amazon.awssdk.services.dynamodb.model.ResourceNotFoundException;
import software.amazon.awssdk.services.dynamodb.model.TransactWriteItem;
import software.amazon.awssdk.services.dynamodb.model.Update;

/** What goes wrong has a type, and what was lost on the way is sent again and happens once. */
class ErrorsTest {
    private static Shelf shelf;

    @BeforeAll
    static void make() {
        shelf = new Shelf(List.of());
    }

    @AfterAll
    static void close() {
        shelf.close();
    }

    @Test
    void aTableThatIsNotThere() {
        DynamoDbTable<Book> table = Server.ENHANCED.table("no.such.shelf", Shelf.SCHEMA);
        var missing = assertThrows(ResourceNotFoundException.class, () -> table.getItem(Shelf.key("x", 1)));
        assertEquals("Requested resource not found", missing.awsErrorDetails().errorMessage());
        assertEquals(400, missing.statusCode());
        assertEquals(1, missing.numAttempts());
        assertTrue(missing.requestId().matches("[A-Z0-9]{52}"), missing.requestId());
    }

    @Test
    void aKeyThatIsNotTheTables() {
        Map<String, AttributeValue> wrong =
                Map.of("author", AttributeValue.fromS("x"), "year", AttributeValue.fromS("not a number"));
        var refused =
                assertThrows(
                        DynamoDbException.class,
                        () -> Server.CLIENT.getItem(request -> request.tableName(shelf.name).key(wrong)));
        assertEquals("ValidationException", refused.awsErrorDetails().errorCode());
        assertEquals(
                "The provided key element does not match the schema", refused.awsErrorDetails().errorMessage());
    }

    @Test
    void aWrongSecretAndAKeyPairThatNobodyHas() {
        String known = System.getenv("AWS_ACCESS_KEY_ID");
        assertEquals("InvalidSignatureException", refusal(known));
        assertEquals("UnrecognizedClientException", refusal("AKIAIOSFODNN7EXAMPLE"));
    }

    private static String refusal(String accessKey) {
        var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create(accessKey, "wrong"));
        try (DynamoDbClient client =
                DynamoDbClient.builder()
                        .endpointOverride(Server.endpoint("STATOR_ENDPOINT"))
                        .credentialsProvider(credentials)
                        .build()) {
            return assertThrows(DynamoDbException.class, client::listTables).awsErrorDetails().errorCode();
        }
    }

    @Test
    void twoWhoHaveReadTheSameCannotBothWrite() {
        DynamoDbTable<Card> cards = Server.ENHANCED.table(shelf.name, TableSchema.fromBean(Card.class));
        Card card = new Card();
        card.setAuthor("card");
        card.setYear(1);
        cards.putItem(card);
        Card mine = cards.getItem(Shelf.key("card", 1));
        Card yours = cards.getItem(Shelf.key("card", 1));
        mine.setReader("ann");
        cards.updateItem(mine);
        yours.setReader("bob");
        assertThrows(ConditionalCheckFailedException.class, () -> cards.updateItem(yours));
        Card found = cards.getItem(request -> request.key(Shelf.key("card", 1)).consistentRead(true));
        assertEquals("ann", found.getReader());
        assertEquals(yours.getVersion() + 1, found.getVersion());
    }

    /** Counts what is sent, each try of a request on its own. */
    private static final class Tries implements ExecutionInterceptor {
        final AtomicInteger count = new AtomicInteger();

        @Override
        public void beforeTransmission(Context.BeforeTransmission context, ExecutionAttributes attributes) {
            count.incrementAndGet();
        }
    }

    @Test
    void aLostAnswerIsAskedForAgainAndTheTransactionHappensOnce() {
        Tries tries = new Tries();
        shelf.table.putItem(new Book("retry", 1, "Again", "none", 0));
        Update update =
                Update.builder()
                        .tableName(shelf.name)
                        .key(Shelf.lowKey("retry", 1))
                        .updateExpression("ADD copies :one")
                        .expressionAttributeValues(Map.of(":one", AttributeValue.fromN("1")))
                        .build();
        try (DynamoDbClient retrying =
                DynamoDbClient.builder()
                        .endpointOverride(Server.endpoint("STATOR_LOSSY_ENDPOINT"))
                        .overrideConfiguration(configuration -> configuration.addExecutionInterceptor(tries))
                        .build()) {
            for (int round = 1; round <= 3; round++) {
                retrying.transactWriteItems(
                        request -> request.transactItems(TransactWriteItem.builder().update(update).build()));
                assertEquals(2 * round, tries.count.get());
                assertEquals(round, shelf.read("retry", 1).getCopies());
            }
        }
    }
}
