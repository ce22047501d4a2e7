package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.math.BigDecimal;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.enhanced.dynamodb.AttributeConverterProvider;
import software.amazon.awssdk.enhanced.dynamodb.AttributeValueType;
import software.amazon.awssdk.enhanced.dynamodb.DynamoDbTable;
import software.amazon.awssdk.enhanced.dynamodb.Expression;
import software.amazon.awssdk.enhanced.dynamodb.TableMetadata;
import software.amazon.awssdk.enhanced.dynamodb.TableSchema;
import software.amazon.awssdk.enhanced.dynamodb.document.EnhancedDocument;
import software.amazon.awssdk.enhanced.dynamodb.model.IgnoreNullsMode;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.ConditionalCheckFailedException;
import software.amazon.awssdk.services.dynamodb.model.ReturnValue;
import software.amazon.awssdk.services.dynamodb.model.ReturnValuesOnConditionCheckFailure;

/** One item: every type of value, conditions, updates. */
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
        Map<String, AttributeValue> item = new HashMap<>(Shelf.lowKey("types", 0));
        item.put("text", AttributeValue.fromS("żółw 🐢"));
        item.put("empty", AttributeValue.fromS(""));
        item.put("long", AttributeValue.fromN("12345678901234567890123456789012345678"));
        item.put("tiny", AttributeValue.fromN("-0.000001"));
        item.put("bytes", AttributeValue.fromB(bytes(0, 1, 254, 255)));
        item.put("yes", AttributeValue.fromBool(true));
        item.put("nothing", AttributeValue.fromNul(true));
        item.put(
                "list",
                AttributeValue.fromL(
                        List.of(AttributeValue.fromS("a"), AttributeValue.fromN("1"), AttributeValue.fromL(List.of()))));
        AttributeValue deep = AttributeValue.fromM(Map.of("deep", AttributeValue.fromBool(false)));
        item.put("map", AttributeValue.fromM(Map.of("inner", deep)));
        item.put("strings", AttributeValue.fromSs(List.of("a", "b")));
        item.put("numbers", AttributeValue.fromNs(List.of("1", "2.5")));
        item.put("binaries", AttributeValue.fromBs(List.of(bytes(1), bytes(2))));
        Server.CLIENT.putItem(request -> request.tableName(shelf.name).item(item));
        Map<String, AttributeValue> found =
                Server.CLIENT
                        .getItem(request -> request.tableName(shelf.name).key(Shelf.lowKey("types", 0)))
                        .item();
        assertEquals(new HashSet<>(item.get("strings").ss()), new HashSet<>(found.get("strings").ss()));
        assertEquals(new HashSet<>(item.get("numbers").ns()), new HashSet<>(found.get("numbers").ns()));
        assertEquals(new HashSet<>(item.get("binaries").bs()), new HashSet<>(found.get("binaries").bs()));
        Set<String> sets = Set.of("strings", "numbers", "binaries");
        assertEquals(without(sets, item), without(sets, found));
    }

    @Test
    void aDocumentNeedsNoBean() {
        DynamoDbTable<EnhancedDocument> documents =
                Server.ENHANCED.table(
                        shelf.name,
                        TableSchema.documentSchemaBuilder()
                                .addIndexPartitionKey(TableMetadata.primaryIndexName(), "author", AttributeValueType.S)
                                .addIndexSortKey(TableMetadata.primaryIndexName(), "year", AttributeValueType.N)
                                .attributeConverterProviders(AttributeConverterProvider.defaultProvider())
                                .build());
        EnhancedDocument put =
                EnhancedDocument.builder()
                        .attributeConverterProviders(AttributeConverterProvider.defaultProvider())
                        .putString("author", "document")
                        .putNumber("year", 1)
                        .putNumber("price", new BigDecimal("98765432109876543210.5"))
                        .putStringSet("tags", Set.of("x"))
                        .putNull("nothing")
                        .putJson("nested", "{\"on\": [true, \"é\"]}")
                        .build();
        documents.putItem(put);
        EnhancedDocument found = documents.getItem(Shelf.key("document", 1));
        assertEquals(put.toMap(), found.toMap());
        assertEquals(new BigDecimal("98765432109876543210.5"), found.getNumber("price").bigDecimalValue());
    }

    @Test
    void aBookThatIsThereIsNotPutAgain() {
        Book again = new Book("Lem", 1961, "Solaris", "sf", 99);
        Expression isNew = Expression.builder().expression("attribute_not_exists(author)").build();
        var failed =
                assertThrows(
                        ConditionalCheckFailedException.class,
                        () ->
                                shelf.table.putItem(
                                        request ->
                                                request.item(again)
                                                        .conditionExpression(isNew)
                                                        .returnValuesOnConditionCheckFailure(
                                                                ReturnValuesOnConditionCheckFailure.ALL_OLD)));
        assertEquals("The conditional request failed", failed.awsErrorDetails().errorMessage());
        assertEquals(Book.BOOKS.get(0), Shelf.SCHEMA.mapToItem(failed.item()));
        assertEquals(Book.BOOKS.get(0), shelf.read("Lem", 1961));
    }

    @Test
    void aBookIsLentWhileThereAreCopies() {
        AttributeValue ann = AttributeValue.fromS("ann");
        for (List<AttributeValue> readers : List.of(List.of(ann), List.of(ann, ann))) {
            var expected =
                    Map.of(
                            "copies", AttributeValue.fromN("" + (2 - readers.size())),
                            "readers", AttributeValue.fromL(readers));
            assertEquals(expected, lend("Le Guin", 1969));
        }
        assertThrows(ConditionalCheckFailedException.class, () -> lend("Le Guin", 1969));
    }

    private static Map<String, AttributeValue> lend(String author, int year) {
        String lend = "SET copies = copies - :one, readers = list_append(if_not_exists(readers, :none), :who)";
        return Server.CLIENT
                .updateItem(
                        request ->
                                request.tableName(shelf.name)
                                        .key(Shelf.lowKey(author, year))
                                        .updateExpression(lend)
                                        .conditionExpression("copies > :zero")
                                        .expressionAttributeValues(
                                                Map.of(
                                                        ":one", AttributeValue.fromN("1"),
                                                        ":zero", AttributeValue.fromN("0"),
                                                        ":none", AttributeValue.fromL(List.of()),
                                                        ":who", AttributeValue.fromL(List.of(AttributeValue.fromS("ann")))))
                                        .returnValues(ReturnValue.UPDATED_NEW))
                .attributes();
    }

    @Test
    void anUpdateAddsDeletesAndRemoves() {
        update(
                "ADD loans :two, tags :tags SET #place = :map",
                Map.of(
                        ":two", AttributeValue.fromN("2"),
                        ":tags", AttributeValue.fromSs(List.of("old", "blue")),
                        ":map", place(Map.of("row", AttributeValue.fromN("4")), "1")));
        Map<String, AttributeValue> found =
                update(
                        "ADD loans :one DELETE tags :old SET #place.box.n = :nine REMOVE #place.#row",
                        Map.of(
                                ":one", AttributeValue.fromN("1"),
                                ":old", AttributeValue.fromSs(List.of("old")),
                                ":nine", AttributeValue.fromN("9")));
        Map<String, AttributeValue> expected = new HashMap<>(Shelf.lowKey("update", 7));
        expected.put("loans", AttributeValue.fromN("3"));
        expected.put("tags", AttributeValue.fromSs(List.of("blue")));
        expected.put("place", place(Map.of(), "9"));
        assertEquals(expected, found);
    }

    private static AttributeValue place(Map<String, AttributeValue> more, String n) {
        Map<String, AttributeValue> place = new HashMap<>(more);
        place.put("box", AttributeValue.fromM(Map.of("n", AttributeValue.fromN(n))));
        return AttributeValue.fromM(place);
    }

    private static Map<String, AttributeValue> update(String expression, Map<String, AttributeValue> values) {
        Map<String, String> names =
                expression.contains("#row") ? Map.of("#place", "place", "#row", "row") : Map.of("#place", "place");
        return Server.CLIENT
                .updateItem(
                        request ->
                                request.tableName(shelf.name)
                                        .key(Shelf.lowKey("update", 7))
                                        .updateExpression(expression)
                                        .expressionAttributeNames(names)
                                        .expressionAttributeValues(values)
                                        .returnValues(ReturnValue.ALL_NEW))
                .attributes();
    }

    @Test
    void aMappedUpdateLeavesWhatIsNotGiven() {
        Book book = new Book("mapped", 1, "A Title", "none", 1);
        shelf.table.putItem(book);
        Book change = new Book("mapped", 1, null, null, 7);
        Book updated = shelf.table.updateItem(request -> request.item(change).ignoreNullsMode(IgnoreNullsMode.SCALAR_ONLY));
        assertEquals(new Book("mapped", 1, "A Title", "none", 7), updated);
    }

    @Test
    void aDeletedBookIsGivenBackOnceMore() {
        Book book = new Book("gone", 1, "Ephemera", "none", 1);
        shelf.table.putItem(book);
        assertEquals(book, shelf.table.deleteItem(Shelf.key("gone", 1)));
        assertNull(shelf.read("gone", 1));
        assertNull(shelf.table.deleteItem(Shelf.key("gone", 1)));
    }

    private static SdkBytes bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int index = 0; index < values.length; index++) {
            bytes[index] = (byte) values[index];
        }
        return SdkBytes.fromByteArray(bytes);
    }

    private static Map<String, AttributeValue> without(Set<String> names, Map<String, AttributeValue> item) {
        Map<String, AttributeValue> rest = new HashMap<>(item);
        rest.keySet().removeAll(names);
        return rest;
    }
}
