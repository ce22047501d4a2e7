package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.GetRecordsResponse;
import software.amazon.awssdk.services.dynamodb.model.OperationType;
import software.amazon.awssdk.services.dynamodb.model.Record;
import software.amazon.awssdk.services.dynamodb.model.Shard;
import software.amazon.awssdk.services.dynamodb.model.ShardIteratorType;
import software.amazon.awssdk.services.dynamodb.model.Stream;
import software.amazon.awssdk.services.dynamodb.model.StreamDescription;
import software.amazon.awssdk.services.dynamodb.model.StreamViewType;

/** The stream of a table: what happened to its items, in order. */
class StreamsTest {
    /** The records of all shards from the oldest on, until there are as many as expected. */
    private static List<Record> read(String stream, int expected) {
        StreamDescription described =
                Server.STREAMS.describeStream(request -> request.streamArn(stream)).streamDescription();
        assertEquals(StreamViewType.NEW_AND_OLD_IMAGES, described.streamViewType());
        Map<String, String> iterators = new HashMap<>();
        for (Shard shard : described.shards()) {
            String first =
                    Server.STREAMS
                            .getShardIterator(
                                    request ->
                                            request.streamArn(stream)
                                                    .shardId(shard.shardId())
                                                    .shardIteratorType(ShardIteratorType.TRIM_HORIZON))
                            .shardIterator();
            iterators.put(shard.shardId(), first);
        }
        List<Record> records = new ArrayList<>();
        return Server.eventually(
                () -> {
                    iterators.replaceAll(
                            (shard, iterator) -> {
                                if (iterator == null) {
                                    return null;
                                }
                                GetRecordsResponse page =
                                        Server.STREAMS.getRecords(request -> request.shardIterator(iterator));
                                records.addAll(page.records());
                                return page.nextShardIterator();
                            });
                    return records;
                },
                found -> found.size() >= expected);
    }

    @Test
    void whatHappensToABookIsInTheStreamWithItsImages() {
        try (Shelf shelf = new Shelf(List.of())) {
            String stream = shelf.table.describeTable().table().latestStreamArn();
            List<Stream> listed = Server.STREAMS.listStreams(request -> request.tableName(shelf.name)).streams();
            assertEquals(List.of(stream), listed.stream().map(Stream::streamArn).toList());

            Book put = new Book("Woolf", 1928, "Orlando", "novel", 0);
            Book changed = new Book("Woolf", 1928, "Orlando", "novel", 2);
            shelf.table.putItem(put);
            shelf.table.updateItem(changed);
            shelf.table.deleteItem(Shelf.key("Woolf", 1928));

            List<Record> records = read(stream, 3);
            assertEquals(
                    List.of(OperationType.INSERT, OperationType.MODIFY, OperationType.REMOVE),
                    records.stream().map(Record::eventName).toList());
            Map<String, AttributeValue> before = Shelf.SCHEMA.itemToMap(put, true);
            Map<String, AttributeValue> after = Shelf.SCHEMA.itemToMap(changed, true);
            assertEquals(List.of(Map.of(), before, after), records.stream().map(r -> r.dynamodb().oldImage()).toList());
            assertEquals(List.of(before, after, Map.of()), records.stream().map(r -> r.dynamodb().newImage()).toList());
            BigInteger last = BigInteger.ZERO;
            for (Record record : records) {
                assertEquals(Shelf.lowKey("Woolf", 1928), record.dynamodb().keys());
                assertEquals("aws:dynamodb", record.eventSource());
                BigInteger number = new BigInteger(record.dynamodb().sequenceNumber());
                assertTrue(number.compareTo(last) > 0, number + " after " + last);
                last = number;
            }
        }
    }
}
