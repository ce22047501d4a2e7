package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBQueryExpression;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBScanExpression;
import com.amazonaws.services.dynamodbv2.datamodeling.QueryResultPage;
import com.amazonaws.services.dynamodbv2.model.AttributeValue;
import com.amazonaws.services.dynamodbv2.model.ComparisonOperator;
import com.amazonaws.services.dynamodbv2.model.Condition;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Many items: queries, filters, pages, segments, the index, batches. */
class ReadsTest {
    private static final List<Book> LEM =
            Book.BOOKS.stream().filter(book -> book.getAuthor().equals("Lem")).toList();

    private static Shelf shelf;

    @BeforeAll
    static void make() {
        shelf = new Shelf(Book.BOOKS);
    }

    @AfterAll
    static void close() {
        shelf.close();
    }

    private static DynamoDBQueryExpression<Book> byLem() {
        return new DynamoDBQueryExpression<Book>().withHashKeyValues(new Book("Lem", 0, null, null, 0));
    }

    @Test
    void anAuthorsBooksComeInTheOrderOfTheirYears() {
        assertEquals(LEM, List.copyOf(shelf.mapper.query(Book.class, byLem())));
        List<Book> back = new ArrayList<>(shelf.mapper.query(Book.class, byLem().withScanIndexForward(false)));
        Collections.reverse(back);
        assertEquals(LEM, back);
        assertEquals(LEM.size(), shelf.mapper.count(Book.class, byLem()));
    }

    @Test
    void yearsAreARangeAndAFilterLeavesOut() {
        Condition years =
                new Condition()
                        .withComparisonOperator(ComparisonOperator.BETWEEN)
                        .withAttributeValueList(new AttributeValue().withN("1961"), new AttributeValue().withN("1968"));
        QueryResultPage<Book> page =
                shelf.mapper.queryPage(
                        Book.class,
                        byLem().withRangeKeyCondition("year", years)
                                .withFilterExpression("genre <> :genre AND (copies > :one OR contains(title, :part))")
                                .withExpressionAttributeValues(
                                        Map.of(
                                                ":genre", new AttributeValue("satire"),
                                                ":one", new AttributeValue().withN("1"),
                                                ":part", new AttributeValue("Invinc"))));
        assertEquals(LEM.subList(0, 2), page.getResults());
        assertEquals(List.of(2, 4), List.of(page.getCount(), page.getScannedCount()));
    }

    @Test
    void aPaginatedListGoesThroughAllPages() {
        assertEquals(LEM, List.copyOf(shelf.mapper.query(Book.class, byLem().withLimit(2))));
        List<Integer> lengths = new ArrayList<>();
        DynamoDBQueryExpression<Book> query = byLem().withLimit(2);
        do {
            QueryResultPage<Book> page = shelf.mapper.queryPage(Book.class, query);
            lengths.add(page.getResults().size());
            query.setExclusiveStartKey(page.getLastEvaluatedKey());
        } while (query.getExclusiveStartKey() != null);
        assertEquals(List.of(2, 2, 1), lengths);
    }

    @Test
    void segmentsShareATableAmongThem() {
        Comparator<Book> byTitle = Comparator.comparing(Book::getTitle);
        List<Book> found = new ArrayList<>(shelf.mapper.parallelScan(Book.class, new DynamoDBScanExpression().withLimit(1), 3));
        found.sort(byTitle);
        assertEquals(Book.BOOKS.stream().sorted(byTitle).toList(), found);
        assertEquals(Book.BOOKS.size(), shelf.mapper.count(Book.class, new DynamoDBScanExpression()));
    }

    @Test
    void theIndexHasTheBooksOfAGenre() {
        List<Book> expected =
                Book.BOOKS.stream()
                        .filter(book -> book.getGenre().equals("sf"))
                        .sorted(Comparator.comparing(Book::getYear))
                        .toList();
        DynamoDBQueryExpression<Book> query =
                new DynamoDBQueryExpression<Book>()
                        .withIndexName("by-genre")
                        .withConsistentRead(false)
                        .withHashKeyValues(new Book(null, 0, null, "sf", 0));
        List<Book> found =
                Server.eventually(
                        () -> List.copyOf(shelf.mapper.query(Book.class, query)),
                        books -> books.size() == expected.size());
        assertEquals(expected, found);
    }

    @Test
    void batchesWriteReadAndDelete() {
        // More than one request of each kind takes.
        List<Book> many =
                IntStream.range(0, 120).mapToObj(year -> new Book("batch", year, "No. " + year, "none", year)).toList();
        assertTrue(shelf.mapper.batchSave(many).isEmpty());
        assertEquals(many, batch(many));
        assertTrue(shelf.mapper.batchDelete(many.subList(0, 60)).isEmpty());
        assertEquals(many.subList(60, 120), batch(many));
        assertTrue(shelf.mapper.batchDelete(many).isEmpty());
        assertEquals(List.of(), batch(many));
    }

    private static List<Book> batch(List<Book> keys) {
        return shelf.mapper.batchLoad(keys).getOrDefault(shelf.name, List.of()).stream()
                .map(Book.class::cast)
                .sorted(Comparator.comparing(Book::getYear))
                .toList();
    }
}
