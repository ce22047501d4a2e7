package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBTransactionWriteExpression;
import com.amazonaws.services.dynamodbv2.datamodeling.TransactionLoadRequest;
import com.amazonaws.services.dynamodbv2.datamodeling.TransactionWriteRequest;
import com.amazonaws.services.dynamodbv2.model.AttributeValue;
import com.amazonaws.services.dynamodbv2.model.BatchExecuteStatementRequest;
import com.amazonaws.services.dynamodbv2.model.BatchStatementRequest;
import com.amazonaws.services.dynamodbv2.model.CancellationReason;
import com.amazonaws.services.dynamodbv2.model.DuplicateItemException;
import com.amazonaws.services.dynamodbv2.model.ExecuteStatementRequest;
import com.amazonaws.services.dynamodbv2.model.ExecuteStatementResult;
import com.amazonaws.services.dynamodbv2.model.IdempotentParameterMismatchException;
import com.amazonaws.services.dynamodbv2.model.TransactionCanceledException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** All or nothing: transactions of requests, and statements of PartiQL. */
class TransactionsTest {
    private Shelf shelf;

    @BeforeEach
    void make() {
        shelf = new Shelf(Book.BOOKS);
    }

    @AfterEach
    void close() {
        shelf.close();
    }

    private static Book changed(Book book, int by) {
        return new Book(book.getAuthor(), book.getYear(), book.getTitle(), book.getGenre(), book.getCopies() + by);
    }

    private static DynamoDBTransactionWriteExpression asBefore(Book book, int by) {
        return new DynamoDBTransactionWriteExpression()
                .withConditionExpression("copies = :before AND copies >= :least")
                .withExpressionAttributeValues(
                        Map.of(
                                ":before", new AttributeValue().withN("" + book.getCopies()),
                                ":least", new AttributeValue().withN("" + Math.max(0, -by))));
    }

    private void move(Book from, Book to, String token) {
        shelf.mapper.transactionWrite(
                new TransactionWriteRequest()
                        .addUpdate(changed(from, -1), asBefore(from, -1))
                        .addUpdate(changed(to, 1), asBefore(to, 1))
                        .withIdempotencyToken(token));
    }

    @Test
    void aTransactionHappensOnceForItsToken() {
        Book from = Book.BOOKS.get(8);
        Book to = Book.BOOKS.get(9);
        String token = UUID.randomUUID().toString();
        move(from, to, token);
        // The condition would fail if it happened once more.
        move(from, to, token);
        assertEquals(5, shelf.read("Christie", 1934).getCopies());
        assertEquals(3, shelf.read("Christie", 1939).getCopies());
        assertThrows(IdempotentParameterMismatchException.class, () -> move(to, from, token));
    }

    @Test
    void aTransactionThatCannotBeIsNotAtAllAndSaysWhy() {
        Book empty = Book.BOOKS.get(7);
        Book other = Book.BOOKS.get(5);
        var canceled = assertThrows(TransactionCanceledException.class, () -> move(empty, other, null));
        assertEquals(
                List.of("ConditionalCheckFailed", "None"),
                canceled.getCancellationReasons().stream().map(CancellationReason::getCode).toList());
        assertEquals(empty, shelf.read("Le Guin", 1974));
        assertEquals(other, shelf.read("Le Guin", 1968));
    }

    @Test
    void aTransactionReadsAllAtOneMoment() {
        List<Object> found =
                shelf.mapper.transactionLoad(
                        new TransactionLoadRequest()
                                .addLoad(new Book("Lem", 1961, null, null, 0))
                                .addLoad(new Book("nobody", 1, null, null, 0))
                                .addLoad(new Book("Lem", 1964, null, null, 0)));
        assertEquals(Arrays.asList(Book.BOOKS.get(0), null, Book.BOOKS.get(1)), found);
    }

    private ExecuteStatementRequest statement(String statement, Object... parameters) {
        ExecuteStatementRequest request = new ExecuteStatementRequest().withStatement(statement.formatted(shelf.name));
        return request.withParameters(values(parameters));
    }

    private static List<AttributeValue> values(Object... values) {
        return Stream.of(values)
                .map(v -> v instanceof Integer n ? new AttributeValue().withN("" + n) : new AttributeValue("" + v))
                .toList();
    }

    @Test
    void statementsWriteReadAndGoThroughPages() {
        for (int year = 1; year <= 5; year++) {
            ExecuteStatementRequest insert =
                    statement("INSERT INTO \"%s\" VALUE {'author': ?, 'year': ?, 'copies': ?}", "statement", year, 1);
            Server.CLIENT.executeStatement(insert);
            assertThrows(DuplicateItemException.class, () -> Server.CLIENT.executeStatement(insert));
        }
        Server.CLIENT.executeStatement(
                statement("UPDATE \"%s\" SET copies = copies + ? WHERE author = ? AND \"year\" = ?", 4, "statement", 3));
        Server.CLIENT.executeStatement(
                statement("DELETE FROM \"%s\" WHERE author = ? AND \"year\" = ?", "statement", 5));
        ExecuteStatementRequest select =
                statement("SELECT \"year\", copies FROM \"%s\" WHERE author = ? ORDER BY \"year\" DESC", "statement")
                        .withLimit(3);
        List<String> found = new ArrayList<>();
        int pages = 0;
        do {
            ExecuteStatementResult page = Server.CLIENT.executeStatement(select);
            page.getItems().forEach(item -> found.add(item.get("year").getN() + ": " + item.get("copies").getN()));
            select.setNextToken(page.getNextToken());
            pages++;
        } while (select.getNextToken() != null);
        assertEquals(List.of("4: 1", "3: 5", "2: 1", "1: 1"), found);
        assertEquals(2, pages);
    }

    @Test
    void statementsGoInBatches() {
        String title = "SELECT title FROM \"%s\" WHERE author = ? AND \"year\" = ?".formatted(shelf.name);
        String missing = "SELECT * FROM \"no.such.shelf\" WHERE author = 'x' AND \"year\" = 1";
        var batch =
                Server.CLIENT
                        .batchExecuteStatement(
                                new BatchExecuteStatementRequest()
                                        .withStatements(
                                                new BatchStatementRequest()
                                                        .withStatement(title)
                                                        .withParameters(values("Lem", 1961)),
                                                new BatchStatementRequest().withStatement(missing)))
                        .getResponses();
        assertEquals(Map.of("title", new AttributeValue("Solaris")), batch.get(0).getItem());
        assertNull(batch.get(0).getError());
        assertEquals("ResourceNotFound", batch.get(1).getError().getCode());
    }
}
