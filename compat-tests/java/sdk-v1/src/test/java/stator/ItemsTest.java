package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBDeleteExpression;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBSaveExpression;
import com.amazonaws.services.dynamodbv2.document.DynamoDB;
import com.amazonaws.services.dynamodbv2.document.Item;
import com.amazonaws.services.dynamodbv2.document.Table;
import com.amazonaws.services.dynamodbv2.document.spec.UpdateItemSpec;
import com.amazonaws.services.dynamodbv2.document.utils.ValueMap;
import com.amazonaws.services.dynamodbv2.model.AttributeValue;
import com.amazonaws.services.dynamodbv2.model.ComparisonOperator;
import com.amazonaws.services.dynamodbv2.model.ConditionalCheckFailedException;
import com.amazonaws.services.dynamodbv2.model.ExpectedAttributeValue;
import com.amazonaws.services.dynamodbv2.model.ReturnValue;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** One item: every type of value, conditions, updates. The mapper speaks the API of before expressions. */
class ItemsTest {
    private static Shelf shelf;

    @BeforeAll
    static void make() {
        shelf = new Shelf(Book.BOOKS);
    }

    @AfterAll
    static void close() {
        shelf.close();
    }

    @Test
    void everyTypeComesBackAsItWasPut() {
        Everything put = new Everything();
        put.setAuthor("types");
        put.setYear(0);
        put.setNumber(new BigDecimal("12345678901234567890123456789012345678"));
        put.setBytes(ByteBuffer.wrap(new byte[] {0, 1, -2, -1}));
        put.setYes(true);
        put.setList(List.of("żółw 🐢", "a"));
        put.setMap(Map.of("inner", 1));
        put.setStrings(Set.of("a", "b"));
        put.setNumbers(Set.of(new BigDecimal("1"), new BigDecimal("2.5")));
        put.setBinaries(Set.of(ByteBuffer.wrap(new byte[] {1}), ByteBuffer.wrap(new byte[] {2})));
        shelf.mapper.save(put);
        Everything found = shelf.mapper.load(Everything.class, "types", 0);
        assertEquals(put.values(), found.values());
        Map<String, AttributeValue> raw =
                Server.CLIENT.getItem(shelf.name, Shelf.key("types", 0), true).getItem();
        assertEquals(true, raw.get("yes").getBOOL());
        assertEquals(2, raw.get("binaries").getBS().size());
        assertEquals(2, raw.get("numbers").getNS().size());
        assertEquals(2, raw.get("strings").getSS().size());
    }

    @Test
    void aBookThatIsThereIsNotPutAgain() {
        DynamoDBSaveExpression isNew =
                new DynamoDBSaveExpression().withExpectedEntry("author", new ExpectedAttributeValue(false));
        Book again = new Book("Lem", 1961, "Solaris", "sf", 99);
        var failed =
                assertThrows(ConditionalCheckFailedException.class, () -> shelf.mapper.save(again, isNew));
        assertEquals("The conditional request failed", failed.getErrorMessage());
        assertEquals(Book.BOOKS.get(0), shelf.read("Lem", 1961));
        Book other = new Book("new", 1, "A Title", "none", 1);
        shelf.mapper.save(other, isNew);
        assertEquals(other, shelf.read("new", 1));
    }

    @Test
    void aBookIsLentWhileThereAreCopies() {
        DynamoDBSaveExpression someLeft =
                new DynamoDBSaveExpression()
                        .withExpectedEntry(
                                "copies",
                                new ExpectedAttributeValue()
                                        .withComparisonOperator(ComparisonOperator.GT)
                                        .withAttributeValueList(new AttributeValue().withN("0")));
        Book book = shelf.read("Le Guin", 1969);
        for (int left = 1; left >= 0; left--) {
            book.setCopies(left);
            shelf.mapper.save(book, someLeft);
            assertEquals(left, shelf.read("Le Guin", 1969).getCopies());
        }
        book.setCopies(-1);
        assertThrows(ConditionalCheckFailedException.class, () -> shelf.mapper.save(book, someLeft));
        assertEquals(0, shelf.read("Le Guin", 1969).getCopies());
    }

    @Test
    void anUpdateAddsDeletesAndRemoves() {
        Table table = new DynamoDB(Server.CLIENT).getTable(shelf.name);
        Item item =
                new Item()
                        .withPrimaryKey("author", "update", "year", 7)
                        .withStringSet("tags", "old", "blue")
                        .withMap("place", Map.of("row", 4, "box", Map.of("n", 1)));
        table.putItem(item);
        UpdateItemSpec change =
                new UpdateItemSpec()
                        .withPrimaryKey("author", "update", "year", 7)
                        .withUpdateExpression("ADD loans :one DELETE tags :old SET #place.box.n = :nine REMOVE #place.#row")
                        .withNameMap(Map.of("#place", "place", "#row", "row"))
                        .withValueMap(
                                new ValueMap()
                                        .withInt(":one", 1)
                                        .withStringSet(":old", "old")
                                        .withInt(":nine", 9))
                        .withReturnValues(ReturnValue.ALL_NEW);
        Item found = table.updateItem(change).getItem();
        assertEquals(1, found.getInt("loans"));
        assertEquals(Set.of("blue"), found.getStringSet("tags"));
        assertEquals(Map.of("box", Map.of("n", new BigDecimal(9))), found.getMap("place"));
    }

    @Test
    void aDeletedBookIsGone() {
        Book book = new Book("gone", 1, "Ephemera", "none", 1);
        shelf.mapper.save(book);
        DynamoDBDeleteExpression ofTwoCopies =
                new DynamoDBDeleteExpression()
                        .withConditionExpression("copies = :two")
                        .withExpressionAttributeValues(Map.of(":two", new AttributeValue().withN("2")));
        assertThrows(ConditionalCheckFailedException.class, () -> shelf.mapper.delete(book, ofTwoCopies));
        assertEquals(book, shelf.read("gone", 1));
        shelf.mapper.delete(book);
        assertNull(shelf.read("gone", 1));
    }
}
