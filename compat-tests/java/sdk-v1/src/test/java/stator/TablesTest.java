package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.services.dynamodbv2.model.DescribeTableRequest;
import com.amazonaws.services.dynamodbv2.model.ListTablesRequest;
import com.amazonaws.services.dynamodbv2.model.ListTablesResult;
import com.amazonaws.services.dynamodbv2.model.ResourceInUseException;
import com.amazonaws.services.dynamodbv2.model.ResourceNotFoundException;
import com.amazonaws.services.dynamodbv2.model.TableDescription;
import com.amazonaws.services.dynamodbv2.util.TableUtils;
import com.amazonaws.waiters.WaiterParameters;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import org.junit.jupiter.api.Test;

/** The life of a table: made, waited for, described, listed, deleted. */
class TablesTest {
    @Test
    void aTableIsMadeWaitedForDescribedAndDeleted() throws InterruptedException {
        String name = "shelf." + UUID.randomUUID();
        Server.CLIENT.createTable(Shelf.definition(name));
        assertThrows(ResourceInUseException.class, () -> Server.CLIENT.createTable(Shelf.definition(name)));
        TableUtils.waitUntilActive(Server.CLIENT, name, (int) Server.PATIENCE.toMillis(), 100);

        TableDescription described = Server.CLIENT.describeTable(name).getTable();
        assertEquals("ACTIVE", described.getTableStatus());
        assertEquals(Shelf.definition(name).getKeySchema(), described.getKeySchema());
        assertEquals("PAY_PER_REQUEST", described.getBillingModeSummary().getBillingMode());
        assertEquals("by-genre", described.getGlobalSecondaryIndexes().get(0).getIndexName());
        Duration age = Duration.between(described.getCreationDateTime().toInstant(), Instant.now()).abs();
        assertTrue(age.compareTo(Duration.ofMinutes(1)) < 0, "made " + age + " ago");
        assertTrue(described.getLatestStreamArn().startsWith(described.getTableArn() + "/stream/"));

        Server.CLIENT.deleteTable(name);
        Server.CLIENT
                .waiters()
                .tableNotExists()
                .run(
                        new WaiterParameters<>(new DescribeTableRequest(name))
                                .withPollingStrategy(Server.polling()));
        assertThrows(ResourceNotFoundException.class, () -> Server.CLIENT.describeTable(name));
    }

    @Test
    void tablesAreListedPageByPage() {
        try (Shelf one = new Shelf(List.of());
                Shelf two = new Shelf(List.of());
                Shelf three = new Shelf(List.of())) {
            Set<String> listed = new HashSet<>();
            ListTablesRequest request = new ListTablesRequest().withLimit(2);
            do {
                ListTablesResult page = Server.CLIENT.listTables(request);
                assertTrue(page.getTableNames().size() <= 2);
                page.getTableNames().forEach(name -> assertTrue(listed.add(name), name + " is listed twice"));
                request.setExclusiveStartTableName(page.getLastEvaluatedTableName());
            } while (request.getExclusiveStartTableName() != null);
            assertTrue(listed.containsAll(List.of(one.name, two.name, three.name)), listed::toString);
        }
    }
}
