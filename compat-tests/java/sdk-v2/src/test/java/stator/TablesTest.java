package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.enhanced.dynamodb.DynamoDbTable;
import software.amazon.awssdk.services.dynamodb.model.BillingMode;
import software.amazon.awssdk.services.dynamodb.model.KeySchemaElement;
import software.amazon.awssdk.services.dynamodb.model.KeyType;
import software.amazon.awssdk.services.dynamodb.model.ResourceInUseException;
import software.amazon.awssdk.services.dynamodb.model.ResourceNotFoundException;
import software.amazon.awssdk.services.dynamodb.model.TableDescription;
import software.amazon.awssdk.services.dynamodb.model.TableStatus;
import software.amazon.awssdk.services.dynamodb.model.TimeToLiveStatus;

/** The life of a table: made, waited for, described, listed, deleted. */
class TablesTest {
    @Test
    void aTableIsMadeWaitedForDescribedAndDeleted() {
        String name = "shelf." + UUID.randomUUID();
        DynamoDbTable<Book> table = Server.ENHANCED.table(name, Shelf.SCHEMA);
        table.createTable(Shelf.definition());
        assertThrows(ResourceInUseException.class, () -> table.createTable(Shelf.definition()));
        Server.CLIENT.waiter().waitUntilTableExists(request -> request.tableName(name));

        TableDescription described = table.describeTable().table();
        assertEquals(TableStatus.ACTIVE, described.tableStatus());
        assertEquals(List.of(key("author", KeyType.HASH), key("year", KeyType.RANGE)), described.keySchema());
        assertEquals(BillingMode.PAY_PER_REQUEST, described.billingModeSummary().billingMode());
        assertEquals("by-genre", described.globalSecondaryIndexes().get(0).indexName());
        Duration age = Duration.between(described.creationDateTime(), Instant.now()).abs();
        assertTrue(age.compareTo(Duration.ofMinutes(1)) < 0, "made " + age + " ago");
        assertTrue(described.latestStreamArn().startsWith(described.tableArn() + "/stream/"));

        table.deleteTable();
        Server.CLIENT.waiter().waitUntilTableNotExists(request -> request.tableName(name));
        assertThrows(ResourceNotFoundException.class, table::describeTable);
    }

    @Test
    void tablesAreListedPageByPage() {
        try (Shelf one = new Shelf(List.of());
                Shelf two = new Shelf(List.of());
                Shelf three = new Shelf(List.of())) {
            Set<String> listed = new HashSet<>();
            Server.CLIENT.listTablesPaginator(request -> request.limit(2)).stream()
                    .peek(page -> assertTrue(page.tableNames().size() <= 2))
                    .flatMap(page -> page.tableNames().stream())
                    .forEach(name -> assertTrue(listed.add(name), name + " is listed twice"));
            assertTrue(listed.containsAll(List.of(one.name, two.name, three.name)), listed::toString);
        }
    }

    @Test
    void aTableKeepsItsTimeToLive() {
        try (Shelf shelf = new Shelf(List.of())) {
            Server.CLIENT.updateTimeToLive(
                    request ->
                            request.tableName(shelf.name)
                                    .timeToLiveSpecification(
                                            setting -> setting.attributeName("lent_until").enabled(true)));
            var described =
                    Server.CLIENT
                            .describeTimeToLive(request -> request.tableName(shelf.name))
                            .timeToLiveDescription();
            assertEquals("lent_until", described.attributeName());
            Set<TimeToLiveStatus> on = Set.of(TimeToLiveStatus.ENABLED, TimeToLiveStatus.ENABLING);
            assertTrue(on.contains(described.timeToLiveStatus()), described::toString);
        }
    }

    private static KeySchemaElement key(String attribute, KeyType type) {
        return KeySchemaElement.builder().attributeName(attribute).keyType(type).build();
    }
}
