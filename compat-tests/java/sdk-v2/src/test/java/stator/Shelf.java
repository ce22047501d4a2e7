package stator;

import java.util.List;
import java.util.Map;
import java.util.UUID;
import software.amazon.awssdk.enhanced.dynamodb.DynamoDbTable;
import software.amazon.awssdk.enhanced.dynamodb.Key;
import software.amazon.awssdk.enhanced.dynamodb.TableSchema;
import software.amazon.awssdk.enhanced.dynamodb.model.CreateTableEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.EnhancedGlobalSecondaryIndex;
import software.amazon.awssdk.enhanced.dynamodb.model.WriteBatch;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.ProjectionType;
import software.amazon.awssdk.services.dynamodb.model.StreamSpecification;
import software.amazon.awssdk.services.dynamodb.model.StreamViewType;

/** The table of the story. Closing a shelf deletes its table. */
final class Shelf implements AutoCloseable {
    static final TableSchema<Book> SCHEMA = TableSchema.fromBean(Book.class);

    final String name = "shelf." + UUID.randomUUID();
    final DynamoDbTable<Book> table = Server.ENHANCED.table(name, SCHEMA);

    /** Makes a shelf with these books on it. */
    Shelf(List<Book> standing) {
        table.createTable(definition());
        Server.CLIENT.waiter().waitUntilTableExists(request -> request.tableName(name));
        if (!standing.isEmpty()) {
            WriteBatch.Builder<Book> batch = WriteBatch.builder(Book.class).mappedTableResource(table);
            standing.forEach(batch::addPutItem);
            Server.ENHANCED.batchWriteItem(request -> request.writeBatches(batch.build()));
        }
    }

    /** What CreateTable needs beyond what the bean says. */
    static CreateTableEnhancedRequest definition() {
        return CreateTableEnhancedRequest.builder()
                .globalSecondaryIndices(
                        EnhancedGlobalSecondaryIndex.builder()
                                .indexName("by-genre")
                                .projection(projection -> projection.projectionType(ProjectionType.ALL))
                                .build())
                .streamSpecification(
                        StreamSpecification.builder()
                                .streamEnabled(true)
                                .streamViewType(StreamViewType.NEW_AND_OLD_IMAGES)
                                .build())
                .build();
    }

    static Key key(String author, int year) {
        return Key.builder().partitionValue(author).sortValue(year).build();
    }

    static Map<String, AttributeValue> lowKey(String author, int year) {
        return Map.of("author", AttributeValue.fromS(author), "year", AttributeValue.fromN("" + year));
    }

    /** A book as it is now, or null. */
    Book read(String author, int year) {
        return table.getItem(request -> request.key(key(author, year)).consistentRead(true));
    }

    @Override
    public void close() {
        table.deleteTable();
    }
}
