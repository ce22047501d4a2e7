package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.ClientConfiguration;
import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.handlers.HandlerBeforeAttemptContext;
import com.amazonaws.handlers.RequestHandler2;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDB;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBClientBuilder;
import com.amazonaws.services.dynamodbv2.model.AmazonDynamoDBException;
import com.amazonaws.services.dynamodbv2.model.AttributeValue;
import com.amazonaws.services.dynamodbv2.model.ConditionalCheckFailedException;
import com.amazonaws.services.dynamodbv2.model.ResourceNotFoundException;
import com.amazonaws.services.dynamodbv2.model.TransactWriteItem;
import com.amazonaws.services.dynamodbv2.model.TransactWriteItemsRequest;
import com.amazonaws.services.dynamodbv2.model.Update;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

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
        var missing =
                assertThrows(
                        ResourceNotFoundException.class,
                        () -> Shelf.mapper("no.such.shelf").load(Book.class, "x", 1));
        assertEquals("Requested resource not found", missing.getErrorMessage());
        assertEquals(400, missing.getStatusCode());
        assertTrue(missing.getRequestId().matches("[A-Z0-9]{52}"), missing.getRequestId());
    }

    @Test
    void aKeyThatIsNotTheTables() {
        Map<String, AttributeValue> wrong =
                Map.of("author", new AttributeValue("x"), "year", new AttributeValue("not a number"));
        var refused =
                assertThrows(AmazonDynamoDBException.class, () -> Server.CLIENT.getItem(shelf.name, wrong));
        assertEquals("ValidationException", refused.getErrorCode());
        assertEquals("The provided key element does not match the schema", refused.getErrorMessage());
    }

    @Test
    void aWrongSecretAndAKeyPairThatNobodyHas() {
        assertEquals("InvalidSignatureException", refusal(System.getenv("AWS_ACCESS_KEY_ID")));
        assertEquals("UnrecognizedClientException", refusal("AKIAIOSFODNN7EXAMPLE"));
    }

    private static String refusal(String accessKey) {
        AmazonDynamoDB client =
                AmazonDynamoDBClientBuilder.standard()
                        .withEndpointConfiguration(Server.endpoint("STATOR_ENDPOINT"))
                        .withCredentials(
                                new AWSStaticCredentialsProvider(new BasicAWSCredentials(accessKey, "wrong")))
                        // It takes a wrong signature for a wrong clock, and tries again and again.
                        .withClientConfiguration(new ClientConfiguration().withMaxErrorRetry(0))
                        .build();
        try {
            return assertThrows(AmazonDynamoDBException.class, client::listTables).getErrorCode();
        } finally {
            client.shutdown();
        }
    }

    @Test
    void twoWhoHaveReadTheSameCannotBothWrite() {
        Card card = new Card();
        card.setAuthor("card");
        card.setYear(1);
        shelf.mapper.save(card);
        Card mine = shelf.mapper.load(Card.class, "card", 1);
        Card yours = shelf.mapper.load(Card.class, "card", 1);
        mine.setReader("ann");
        shelf.mapper.save(mine);
        yours.setReader("bob");
        assertThrows(ConditionalCheckFailedException.class, () -> shelf.mapper.save(yours));
        Card found = shelf.mapper.load(Card.class, "card", 1);
        assertEquals("ann", found.getReader());
        assertEquals(2, found.getVersion());
    }

    /** Counts what is sent, each try of a request on its own. */
    private static final class Tries extends RequestHandler2 {
        final AtomicInteger count = new AtomicInteger();

        @Override
        public void beforeAttempt(HandlerBeforeAttemptContext context) {
            count.incrementAndGet();
        }
    }

    @Test
    void aLostAnswerIsAskedForAgainAndTheTransactionHappensOnce() {
        Tries tries = new Tries();
        shelf.mapper.save(new Book("retry", 1, "Again", "none", 0));
        Update update =
                new Update()
                        .withTableName(shelf.name)
                        .withKey(Shelf.key("retry", 1))
                        .withUpdateExpression("ADD copies :one")
                        .withExpressionAttributeValues(Map.of(":one", new AttributeValue().withN("1")));
        AmazonDynamoDB retrying =
                AmazonDynamoDBClientBuilder.standard()
                        .withEndpointConfiguration(Server.endpoint("STATOR_LOSSY_ENDPOINT"))
                        .withRequestHandlers(tries)
                        .build();
        try {
            for (int round = 1; round <= 3; round++) {
                retrying.transactWriteItems(
                        new TransactWriteItemsRequest().withTransactItems(new TransactWriteItem().withUpdate(update)));
                assertEquals(2 * round, tries.count.get());
                assertEquals(round, shelf.read("retry", 1).getCopies());
            }
        } finally {
            retrying.shutdown();
        }
    }
}
