package stator;

import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBMapper;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBMapperConfig;
import com.amazonaws.services.dynamodbv2.model.AttributeValue;
import com.amazonaws.services.dynamodbv2.model.BillingMode;
import com.amazonaws.services.dynamodbv2.model.CreateTableRequest;
import com.amazonaws.services.dynamodbv2.model.DescribeTableRequest;
import com.amazonaws.services.dynamodbv2.model.Projection;
import com.amazonaws.services.dynamodbv2.model.ProjectionType;
import com.amazonaws.services.dynamodbv2.model.StreamSpecification;
import com.amazonaws.services.dynamodbv2.model.StreamViewType;
import com.amazonaws.waiters.WaiterParameters;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** The table of the story. Closing a shelf deletes its table. */
final class Shelf implements AutoCloseable {
    final String name = "shelf." + UUID.randomUUID();
    final DynamoDBMapper mapper = mapper(name);

    /** Makes a shelf with these books on it. */
    Shelf(List<Book> standing) {
        Server.CLIENT.createTable(definition(name));
        Server.CLIENT
                .waiters()
                .tableExists()
                .run(
                        new WaiterParameters<>(new DescribeTableRequest(name))
                                .withPollingStrategy(Server.polling()));
        if (!standing.isEmpty()) {
            List<DynamoDBMapper.FailedBatch> failed = mapper.batchSave(standing);
            if (!failed.isEmpty()) {
                throw new IllegalStateException("not all books stand on the shelf", failed.get(0).getException());
            }
        }
    }

    /** A mapper that reads what was written before. */
    static DynamoDBMapper mapper(String name) {
        return new DynamoDBMapper(
                Server.CLIENT,
                DynamoDBMapperConfig.builder()
                        .withTableNameOverride(DynamoDBMapperConfig.TableNameOverride.withTableNameReplacement(name))
                        .withConsistentReads(DynamoDBMapperConfig.ConsistentReads.CONSISTENT)
                        .withSaveBehavior(DynamoDBMapperConfig.SaveBehavior.UPDATE)
                        .build());
    }

    /** What CreateTable needs: what the mapper makes of the class, and what the class does not say. */
    static CreateTableRequest definition(String name) {
        CreateTableRequest request =
                mapper(name)
                        .generateCreateTableRequest(Book.class)
                        .withBillingMode(BillingMode.PAY_PER_REQUEST)
                        .withStreamSpecification(
                                new StreamSpecification()
                                        .withStreamEnabled(true)
                                        .withStreamViewType(StreamViewType.NEW_AND_OLD_IMAGES));
        request.getGlobalSecondaryIndexes()
                .forEach(index -> index.setProjection(new Projection().withProjectionType(ProjectionType.ALL)));
        return request;
    }

    static Map<String, AttributeValue> key(String author, int year) {
        return Map.of("author", new AttributeValue(author), "year", new AttributeValue().withN("" + year));
    }

    /** A book as it is now, or null. */
    Book read(String author, int year) {
        return mapper.load(Book.class, author, year);
    }

    @Override
    public void close() {
        Server.CLIENT.deleteTable(name);
    }
}
