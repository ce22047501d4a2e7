// Package shelf tells a story of books to a running server with the AWS SDK for Go v2: each test is a part of it. Here are
// the server, its clients, the table of the story and what stands on it at first.
package shelf

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// patience is how long anything that happens by itself may take.
const patience = 20 * time.Second

// Book is an item of the story.
type Book struct {
	Author string `dynamodbav:"author"`
	Year   int    `dynamodbav:"year"`
	Title  string `dynamodbav:"title,omitempty"`
	Genre  string `dynamodbav:"genre,omitempty"`
	Copies int    `dynamodbav:"copies"`
}

var books = []Book{
	{"Lem", 1961, "Solaris", "sf", 3},
	{"Lem", 1964, "The Invincible", "sf", 1},
	{"Lem", 1965, "The Cyberiad", "satire", 2},
	{"Lem", 1968, "His Master's Voice", "sf", 1},
	{"Lem", 1971, "The Futurological Congress", "satire", 4},
	{"Le Guin", 1968, "A Wizard of Earthsea", "fantasy", 5},
	{"Le Guin", 1969, "The Left Hand of Darkness", "sf", 2},
	{"Le Guin", 1974, "The Dispossessed", "sf", 0},
	{"Christie", 1934, "Murder on the Orient Express", "crime", 6},
	{"Christie", 1939, "And Then There Were None", "crime", 2},
}

// where returns the books for which it holds, in the order of their years.
func where(holds func(Book) bool) []Book {
	found := slices.DeleteFunc(slices.Clone(books), func(book Book) bool { return !holds(book) })
	slices.SortFunc(found, func(one, other Book) int { return one.Year - other.Year })
	return found
}

// settings finds the server at the endpoint that a variable of the environment names; the region and the key pair come from
// the usual variables.
func settings(t *testing.T, variable string) aws.Config {
	t.Helper()
	endpoint := os.Getenv(variable)
	if endpoint == "" {
		t.Fatalf("%s is not set: compat-tests/README.md says how to run this", variable)
	}
	loaded, err := config.LoadDefaultConfig(t.Context(), config.WithBaseEndpoint(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// connect returns a client of the server under test.
func connect(t *testing.T) *dynamodb.Client {
	t.Helper()
	return dynamodb.NewFromConfig(settings(t, "STATOR_ENDPOINT"))
}

// unusedName returns the name of a table that no other test uses.
func unusedName() string {
	return "shelf." + rand.Text()
}

// definition is what CreateTable needs to make a shelf.
func definition(name string) *dynamodb.CreateTableInput {
	key := func(partition, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{
			{AttributeName: &partition, KeyType: types.KeyTypeHash},
			{AttributeName: &sort, KeyType: types.KeyTypeRange},
		}
	}
	return &dynamodb.CreateTableInput{
		TableName:   &name,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("author"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("year"), AttributeType: types.ScalarAttributeTypeN},
			{AttributeName: aws.String("genre"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: key("author", "year"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName:  aws.String("by-genre"),
			KeySchema:  key("genre", "year"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}},
		StreamSpecification: &types.StreamSpecification{
			StreamEnabled:  aws.Bool(true),
			StreamViewType: types.StreamViewTypeNewAndOldImages,
		},
	}
}

// makeShelf makes a shelf with these books on it, which goes away after the test, and returns its name.
func makeShelf(t *testing.T, client *dynamodb.Client, standing ...Book) string {
	t.Helper()
	name := unusedName()
	if _, err := client.CreateTable(t.Context(), definition(name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name})
		if err != nil {
			t.Error(err)
		}
	})
	waitUntilThere(t, client, name)
	var writes []types.WriteRequest
	for _, book := range standing {
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: item(t, book)}})
	}
	if writes != nil {
		batchWrite(t, client, name, writes)
	}
	return name
}

func waitUntilThere(t *testing.T, client *dynamodb.Client, name string) {
	t.Helper()
	waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	})
	if err := waiter.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, patience); err != nil {
		t.Fatal(err)
	}
}

// batchWrite writes at most 25 items, all of them.
func batchWrite(t *testing.T, client *dynamodb.Client, name string, writes []types.WriteRequest) {
	t.Helper()
	written, err := client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{
		RequestItems: map[string][]types.WriteRequest{name: writes},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(written.UnprocessedItems) != 0 {
		t.Fatalf("left over: %v", written.UnprocessedItems)
	}
}

// item makes attribute values of a Go value.
func item(t *testing.T, value any) map[string]types.AttributeValue {
	t.Helper()
	item, err := attributevalue.MarshalMap(value)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// values makes Go values of items.
func values[T any](t *testing.T, items []map[string]types.AttributeValue) []T {
	t.Helper()
	var found []T
	if err := attributevalue.UnmarshalListOfMaps(items, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// key is the primary key of a book.
func key(author string, year int) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"author": &types.AttributeValueMemberS{Value: author},
		"year":   &types.AttributeValueMemberN{Value: fmt.Sprint(year)},
	}
}

// read gets one book; it is zero when it is not there.
func read(t *testing.T, client *dynamodb.Client, shelf, author string, year int) Book {
	t.Helper()
	got, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &shelf, Key: key(author, year), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	var book Book
	if err := attributevalue.UnmarshalMap(got.Item, &book); err != nil {
		t.Fatal(err)
	}
	return book
}

// list makes attribute values of Go values.
func list(t *testing.T, given ...any) []types.AttributeValue {
	t.Helper()
	list, err := attributevalue.MarshalList(given)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
