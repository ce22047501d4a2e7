package shelf

import (
	"math/big"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// records reads all shards of a stream from the oldest record on, until there are as many as expected.
func records(t *testing.T, client *dynamodbstreams.Client, stream *string, expected int) []streamtypes.Record {
	t.Helper()
	described, err := client.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: stream})
	if err != nil {
		t.Fatal(err)
	}
	same(t, described.StreamDescription.StreamViewType, streamtypes.StreamViewTypeNewAndOldImages)
	var iterators []*string
	for _, shard := range described.StreamDescription.Shards {
		got, err := client.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
			StreamArn: stream, ShardId: shard.ShardId,
			ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		iterators = append(iterators, got.ShardIterator)
	}
	var found []streamtypes.Record
	for deadline := time.Now().Add(patience); len(found) < expected && time.Now().Before(deadline); {
		for shard, iterator := range iterators {
			if iterator == nil {
				continue
			}
			page, err := client.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: iterator})
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, page.Records...)
			iterators[shard] = page.NextShardIterator
		}
	}
	return found
}

func TestWhatHappensToABookIsInTheStreamWithItsImages(t *testing.T) {
	client := connect(t)
	streams := dynamodbstreams.NewFromConfig(settings(t, "STATOR_ENDPOINT"))
	shelf := makeShelf(t, client)
	described, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &shelf})
	if err != nil {
		t.Fatal(err)
	}
	stream := described.Table.LatestStreamArn
	listed, err := streams.ListStreams(t.Context(), &dynamodbstreams.ListStreamsInput{TableName: &shelf})
	if err != nil {
		t.Fatal(err)
	}
	same(t, len(listed.Streams), 1)
	same(t, *listed.Streams[0].StreamArn, *stream)

	put := Book{Author: "Woolf", Year: 1928, Title: "Orlando"}
	changed := put
	changed.Copies = 2
	_, err = client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &shelf, Item: item(t, put)})
	if err != nil {
		t.Fatal(err)
	}
	built, err := expression.NewBuilder().
		WithUpdate(expression.Set(expression.Name("copies"), expression.Value(changed.Copies))).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &shelf, Key: key("Woolf", 1928), UpdateExpression: built.Update(),
		ExpressionAttributeNames: built.Names(), ExpressionAttributeValues: built.Values(),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: &shelf, Key: key("Woolf", 1928),
	}); err != nil {
		t.Fatal(err)
	}

	found := records(t, streams, stream, 3)
	type seen struct {
		Event    streamtypes.OperationType
		Old, New Book
	}
	var story []seen
	last := new(big.Int)
	for _, record := range found {
		event := seen{Event: record.EventName}
		if err := attributevalue.UnmarshalMap(image(t, record.Dynamodb.OldImage), &event.Old); err != nil {
			t.Fatal(err)
		}
		if err := attributevalue.UnmarshalMap(image(t, record.Dynamodb.NewImage), &event.New); err != nil {
			t.Fatal(err)
		}
		story = append(story, event)
		same(t, image(t, record.Dynamodb.Keys), key("Woolf", 1928))
		same(t, aws.ToString(record.EventSource), "aws:dynamodb")
		number, isNumber := new(big.Int).SetString(*record.Dynamodb.SequenceNumber, 10)
		if !isNumber || number.Cmp(last) <= 0 {
			t.Errorf("the sequence number %s after %s", *record.Dynamodb.SequenceNumber, last)
		}
		last = number
	}
	same(t, story, []seen{{"INSERT", Book{}, put}, {"MODIFY", put, changed}, {"REMOVE", changed, Book{}}})
}

// image makes attribute values of tables of those of streams.
func image(t *testing.T, values map[string]streamtypes.AttributeValue) map[string]types.AttributeValue {
	t.Helper()
	converted, err := attributevalue.FromDynamoDBStreamsMap(values)
	if err != nil {
		t.Fatal(err)
	}
	return converted
}
