package stator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.services.dynamodbv2.model.DescribeStreamRequest;
import com.amazonaws.services.dynamodbv2.model.GetRecordsRequest;
import com.amazonaws.services.dynamodbv2.model.GetRecordsResult;
import com.amazonaws.services.dynamodbv2.model.GetShardIteratorRequest;
import com.amazonaws.services.dynamodbv2.model.ListStreamsRequest;
import com.amazonaws.services.dynamodbv2.model.Record;
import com.amazonaws.services.dynamodbv2.model.Shard;
import com.amazonaws.services.dynamodbv2.model.ShardIteratorType;
import com.amazonaws.services.dynamodbv2.model.Stream;
import com.amazonaws.services.dynamodbv2.model.StreamDescription;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The stream of a table: what happened to its items, in order. */
class StreamsTest {
    /** The records of all shards from the oldest on, until there are as many as expected. */
    private static List<Record> read(String stream, int expected) {
        StreamDescription described =
                Server.STREAMS
                        .describeStream(new DescribeStreamRequest().withStreamArn(stream))
                        .getStreamDescription();
        assertEquals("NEW_AND_OLD_IMAGES", described.getStreamViewType());
        Map<String, String> iterators = new HashMap<>();
        for (Shard shard : described.getShards()) {
            var from =
                    new GetShardIteratorRequest()
                            .withStreamArn(stream)
                            .withShardId(shard.getShardId())
                            .withShardIteratorType(ShardIteratorType.TRIM_HORIZON);
            iterators.put(shard.getShardId(), Server.STREAMS.getShardIterator(from).getShardIterator());
        }
        List<Record> records = new ArrayList<>();
        return Server.eventually(
                () -> {
                    iterators.replaceAll(
                            (shard, iterator) -> {
                                if (iterator == null) {
                                    return null;
                                }
                                GetRecordsResult page =
                                        Server.STREAMS.getRecords(new GetRecordsRequest().withShardIterator(iterator));
                                records.addAll(page.getRecords());
                                return page.getNextShardIterator();
                            });
                    return records;
                },
                found -> found.size() >= expected);
    }

    @Test
    void whatHappensToABookIsInTheStreamWithItsImages() {
        try (Shelf shelf = new Shelf(List.of())) {
            String stream = Server.CLIENT.describeTable(shelf.name).getTable().getLatestStreamArn();
            var listed = Server.STREAMS.listStreams(new ListStreamsRequest().withTableName(shelf.name)).getStreams();
            assertEquals(List.of(stream), listed.stream().map(Stream::getStreamArn).toList());

            Book put = new Book("Woolf", 1928, "Orlando", "novel", 0);
            Book changed = new Book("Woolf", 1928, "Orlando", "novel", 2);
            shelf.mapper.save(put);
            shelf.mapper.save(changed);
            shelf.mapper.delete(changed);

            List<Record> records = read(stream, 3);
            assertEquals(List.of("INSERT", "MODIFY", "REMOVE"), records.stream().map(Record::getEventName).toList());
            var books = shelf.mapper.getTableModel(Book.class);
            var before = books.convert(put);
            var after = books.convert(changed);
            assertEquals(
                    Arrays.asList(null, before, after), records.stream().map(r -> r.getDynamodb().getOldImage()).toList());
            assertEquals(
                    Arrays.asList(before, after, null), records.stream().map(r -> r.getDynamodb().getNewImage()).toList());
            BigInteger last = BigInteger.ZERO;
            for (Record record : records) {
                assertEquals(Shelf.key("Woolf", 1928), record.getDynamodb().getKeys());
                assertEquals("aws:dynamodb", record.getEventSource());
                BigInteger number = new BigInteger(record.getDynamodb().getSequenceNumber());
                assertTrue(number.compareTo(last) > 0, number + " after " + last);
                last = number;
            }
        }
    }
}
