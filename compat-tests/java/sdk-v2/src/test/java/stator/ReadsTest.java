package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.enhanced.dynamodb.Expression;
import software.amazon.awssdk.enhanced.dynamodb.model.Page;
import software.amazon.awssdk.enhanced.dynamodb.model.PageIterable;
import software.amazon.awssdk.enhanced.dynamodb.model.QueryConditional;
import software.amazon.awssdk.enhanced.dynamodb.model.ReadBatch;
import software.amazon.awssdk.enhanced.dynamodb.model.WriteBatch;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.Select;

/** Many items: queries, filters, pages, segments, the index, batches. */
class ReadsTest {
    private static final List<Book> LEM =
            Book.BOOKS.stream().filter(book -> book.getAuthor().equals("Lem")).toList();
    private static final QueryConditional BY_LEM =
            QueryConditional.keyEqualTo(key -> key.partitionValue("Lem"));

    private static Shelf shelf;

    @BeforeAll
    static void make() {
        shelf = new Shelf(Book.BOOKS);
    }

    @AfterAll
    static void close() {
        shelf.close();
    }

    private static List<Book> all(PageIterable<Book> pages) {
        return pages.items().stream().toList();
    }

    @Test
    void anAuthorsBooksComeInTheOrderOfTheirYears() {
        assertEquals(LEM, all(shelf.table.query(BY_LEM)));
        List<Book> back =
                new ArrayList<>(
                        all(shelf.table.query(request -> request.queryConditional(BY_LEM).scanIndexForward(false))));
        Collections.reverse(back);
        assertEquals(LEM, back);
    }

    @Test
    void yearsAreARangeAndAFilterLeavesOut() {
        QueryConditional years =
                QueryConditional.sortBetween(Shelf.key("Lem", 1961), Shelf.key("Lem", 1968));
        Expression filter =
                Expression.builder()
                        .expression("genre <> :genre AND (copies > :one OR contains(title, :part))")
                        .putExpressionValue(":genre", AttributeValue.fromS("satire"))
                        .putExpressionValue(":one", AttributeValue.fromN("1"))
                        .putExpressionValue(":part", AttributeValue.fromS("Invinc"))
                        .build();
        List<Page<Book>> pages =
                shelf.table
                        .query(
                                request ->
                                        request.queryConditional(years)
                                                .filterExpression(filter)
                                                .attributesToProject("title", "year"))
                        .stream()
                        .toList();
        List<Book> expected =
                List.of(new Book(null, 1961, "Solaris", null, 0), new Book(null, 1964, "The Invincible", null, 0));
        assertEquals(expected, pages.get(0).items());
        assertEquals(List.of(2, 4), List.of(pages.get(0).count(), pages.get(0).scannedCount()));
    }

    @Test
    void aPaginatorGoesThroughAllPages() {
        PageIterable<Book> pages = shelf.table.query(request -> request.queryConditional(BY_LEM).limit(2));
        assertEquals(List.of(2, 2, 1), pages.stream().map(page -> page.items().size()).toList());
        assertEquals(LEM, all(pages));
        // The client's own paginator, below the mapper.
        var low =
                Server.CLIENT.queryPaginator(
                        request ->
                                request.tableName(shelf.name)
                                        .limit(3)
                                        .keyConditionExpression("author = :author")
                                        .expressionAttributeValues(Map.of(":author", AttributeValue.fromS("Lem"))));
        assertEquals(LEM, low.items().stream().map(Shelf.SCHEMA::mapToItem).toList());
    }

    @Test
    void segmentsShareATableAmongThem() {
        List<Book> found =
                IntStream.range(0, 3)
                        .parallel()
                        .mapToObj(
                                segment ->
                                        all(
                                                shelf.table.scan(
                                                        request -> request.segment(segment).totalSegments(3).limit(1))))
                        .flatMap(List::stream)
                        .sorted(Comparator.comparing(Book::getTitle))
                        .toList();
        assertEquals(Book.BOOKS.stream().sorted(Comparator.comparing(Book::getTitle)).toList(), found);
        var counted = Server.CLIENT.scan(request -> request.tableName(shelf.name).select(Select.COUNT));
        assertEquals(Book.BOOKS.size(), counted.count());
        assertEquals(List.of(), counted.items());
    }

    @Test
    void theIndexHasTheBooksOfAGenre() {
        List<Book> expected =
                Book.BOOKS.stream()
                        .filter(book -> book.getGenre().equals("sf"))
                        .sorted(Comparator.comparing(Book::getYear))
                        .toList();
        QueryConditional sf = QueryConditional.keyEqualTo(key -> key.partitionValue("sf"));
        List<Book> found =
                Server.eventually(
                        () ->
                                shelf.table.index("by-genre").query(sf).stream()
                                        .flatMap(page -> page.items().stream())
                                        .toList(),
                        books -> books.size() == expected.size());
        assertEquals(expected, found);
    }

    @Test
    void batchesWriteReadAndDelete() {
        try (Shelf empty = new Shelf(List.of())) {
            List<Book> many =
                    IntStream.range(0, 25).mapToObj(year -> new Book("batch", year, "No. " + year, "none", year)).toList();
            WriteBatch.Builder<Book> puts = WriteBatch.builder(Book.class).mappedTableResource(empty.table);
            many.forEach(puts::addPutItem);
            var written = Server.ENHANCED.batchWriteItem(request -> request.writeBatches(puts.build()));
            assertTrue(written.unprocessedPutItemsForTable(empty.table).isEmpty());
            assertEquals(many, batch(empty));
            WriteBatch.Builder<Book> deletes = WriteBatch.builder(Book.class).mappedTableResource(empty.table);
            many.subList(0, 20).forEach(deletes::addDeleteItem);
            Server.ENHANCED.batchWriteItem(request -> request.writeBatches(deletes.build()));
            assertEquals(many.subList(20, 25), batch(empty));
        }
    }

    /** The books of a batch of 30 keys, of which not all are there. */
    private static List<Book> batch(Shelf shelf) {
        ReadBatch.Builder<Book> reads = ReadBatch.builder(Book.class).mappedTableResource(shelf.table);
        IntStream.range(0, 30)
                .forEach(year -> reads.addGetItem(get -> get.key(Shelf.key("batch", year)).consistentRead(true)));
        var pages = Server.ENHANCED.batchGetItem(request -> request.readBatches(reads.build()));
        assertEquals(
                Set.of(true), Set.copyOf(pages.stream().map(page -> page.unprocessedKeysForTable(shelf.table).isEmpty()).toList()));
        return pages.resultsForTable(shelf.table).stream().sorted(Comparator.comparing(Book::getYear)).toList();
    }
}
