package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.enhanced.dynamodb.Expression;
import software.amazon.awssdk.enhanced.dynamodb.model.TransactUpdateItemEnhancedRequest;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.BatchStatementErrorCodeEnum;
import software.amazon.awssdk.services.dynamodb.model.BatchStatementRequest;
import software.amazon.awssdk.services.dynamodb.model.CancellationReason;
import software.amazon.awssdk.services.dynamodb.model.ConditionalCheckFailedException;
import software.amazon.awssdk.services.dynamodb.model.DuplicateItemException;
import software.amazon.awssdk.services.dynamodb.model.ExecuteStatementResponse;
import software.amazon.awssdk.services.dynamodb.model.IdempotentParameterMismatchException;
import software.amazon.awssdk.services.dynamodb.model.ParameterizedStatement;
import software.amazon.awssdk.services.dynamodb.model.TransactionCanceledException;

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

    private static TransactUpdateItemEnhancedRequest<Book> copies(Book book, int by) {
        Book changed =
                new Book(book.getAuthor(), book.getYear(), book.getTitle(), book.getGenre(), book.getCopies() + by);
        Expression asBefore =
                Expression.builder()
                        .expression("copies = :before AND copies >= :least")
                        .putExpressionValue(":before", AttributeValue.fromN("" + book.getCopies()))
                        .putExpressionValue(":least", AttributeValue.fromN("" + Math.max(0, -by)))
                        .build();
        return TransactUpdateItemEnhancedRequest.builder(Book.class)
                .item(changed)
                .conditionExpression(asBefore)
                .build();
    }

    private void move(Book from, Book to, String token) {
        Server.ENHANCED.transactWriteItems(
                request ->
                        request.addUpdateItem(shelf.table, copies(from, -1))
                                .addUpdateItem(shelf.table, copies(to, 1))
                                .clientRequestToken(token));
    }

    private static List<String> codes(TransactionCanceledException canceled) {
        return canceled.cancellationReasons().stream().map(CancellationReason::code).toList();
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
        assertEquals(List.of("ConditionalCheckFailed", "None"), codes(canceled));
        assertEquals(empty, shelf.read("Le Guin", 1974));
        assertEquals(other, shelf.read("Le Guin", 1968));
    }

    @Test
    void aTransactionReadsAllAtOneMoment() {
        var found =
                Server.ENHANCED.transactGetItems(
                        request ->
                                request.addGetItem(shelf.table, Shelf.key("Lem", 1961))
                                        .addGetItem(shelf.table, Shelf.key("nobody", 1))
                                        .addGetItem(shelf.table, Shelf.key("Lem", 1964)));
        assertEquals(Book.BOOKS.get(0), found.get(0).getItem(shelf.table));
        assertNull(found.get(1).getItem(shelf.table));
        assertEquals(Book.BOOKS.get(1), found.get(2).getItem(shelf.table));
    }

    private ExecuteStatementResponse run(String statement, Object... parameters) {
        return Server.CLIENT.executeStatement(
                request -> request.statement(statement.formatted(shelf.name)).parameters(values(parameters)));
    }

    private static List<AttributeValue> values(Object... values) {
        return Stream.of(values)
                .map(value -> value instanceof Integer n ? AttributeValue.fromN("" + n) : AttributeValue.fromS("" + value))
                .toList();
    }

    @Test
    void statementsWriteReadAndGoThroughPages() {
        String insert = "INSERT INTO \"%s\" VALUE {'author': ?, 'year': ?, 'copies': ?}";
        for (int year = 1; year <= 5; year++) {
            int now = year;
            run(insert, "statement", now, 1);
            assertThrows(DuplicateItemException.class, () -> run(insert, "statement", now, 1));
        }
        String update = "UPDATE \"%s\" SET copies = copies + ? WHERE author = ? AND \"year\" = ? RETURNING ALL NEW *";
        Map<String, AttributeValue> updated = run(update, 4, "statement", 3).items().get(0);
        assertEquals(new Book("statement", 3, null, null, 5), Shelf.SCHEMA.mapToItem(updated));
        run("DELETE FROM \"%s\" WHERE author = ? AND \"year\" = ?", "statement", 5);
        String never = "UPDATE \"%s\" SET copies = 1 WHERE author = ? AND \"year\" = ? AND copies > 100";
        assertThrows(ConditionalCheckFailedException.class, () -> run(never, "statement", 1));

        String select =
                "SELECT \"year\", copies FROM \"%s\" WHERE author = ? ORDER BY \"year\" DESC".formatted(shelf.name);
        List<String> found = new ArrayList<>();
        String token = null;
        int pages = 0;
        do {
            String next = token;
            ExecuteStatementResponse page =
                    Server.CLIENT.executeStatement(
                            request ->
                                    request.statement(select).parameters(values("statement")).limit(3).nextToken(next));
            page.items().forEach(item -> found.add(item.get("year").n() + ": " + item.get("copies").n()));
            token = page.nextToken();
            pages++;
        } while (token != null);
        assertEquals(List.of("4: 1", "3: 5", "2: 1", "1: 1"), found);
        assertEquals(2, pages);
    }

    @Test
    void statementsGoInBatchesAndInTransactions() {
        String title = "SELECT title FROM \"%s\" WHERE author = ? AND \"year\" = ?".formatted(shelf.name);
        String missing = "SELECT * FROM \"no.such.shelf\" WHERE author = 'x' AND \"year\" = 1";
        var batch =
                Server.CLIENT
                        .batchExecuteStatement(
                                request ->
                                        request.statements(
                                                BatchStatementRequest.builder()
                                                        .statement(title)
                                                        .parameters(values("Lem", 1961))
                                                        .build(),
                                                BatchStatementRequest.builder().statement(missing).build()))
                        .responses();
        assertEquals(Map.of("title", AttributeValue.fromS("Solaris")), batch.get(0).item());
        assertEquals(BatchStatementErrorCodeEnum.RESOURCE_NOT_FOUND, batch.get(1).error().code());

        together(1, 2);
        var canceled = assertThrows(TransactionCanceledException.class, () -> together(3, 2));
        assertEquals(List.of("None", "DuplicateItem"), codes(canceled));
        assertNull(shelf.read("together", 3));
        assertNotNull(shelf.read("together", 2));
    }

    private void together(int... years) {
        String insert = "INSERT INTO \"%s\" VALUE {'author': ?, 'year': ?}".formatted(shelf.name);
        List<ParameterizedStatement> statements = new ArrayList<>();
        for (int year : years) {
            statements.add(
                    ParameterizedStatement.builder().statement(insert).parameters(values("together", year)).build());
        }
        Server.CLIENT.executeTransaction(request -> request.transactStatements(statements));
    }
}
