package shelf

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

var lem = where(func(book Book) bool { return book.Author == "Lem" })

// byAuthor is a query of the books of an author.
func byAuthor(t *testing.T, shelf, author string) *dynamodb.QueryInput {
	t.Helper()
	built, err := expression.NewBuilder().
		WithKeyCondition(expression.Key("author").Equal(expression.Value(author))).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	return &dynamodb.QueryInput{
		TableName: &shelf, KeyConditionExpression: built.KeyCondition(),
		ExpressionAttributeNames: built.Names(), ExpressionAttributeValues: built.Values(),
	}
}

func TestAnAuthorsBooksComeInTheOrderOfTheirYears(t *testing.T) {
	client := connect(t)
	query := byAuthor(t, makeShelf(t, client, books...), "Lem")
	forward, err := client.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	same(t, values[Book](t, forward.Items), lem)
	same(t, int(forward.Count), len(lem))
	query.ScanIndexForward = aws.Bool(false)
	back, err := client.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	found := values[Book](t, back.Items)
	slices.Reverse(found)
	same(t, found, lem)
}

func TestYearsAreARangeAndAFilterLeavesOut(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	years := expression.Key("year").Between(expression.Value(1961), expression.Value(1968))
	built, err := expression.NewBuilder().
		WithKeyCondition(expression.Key("author").Equal(expression.Value("Lem")).And(years)).
		WithFilter(expression.And(
			expression.Name("genre").NotEqual(expression.Value("satire")),
			expression.Or(
				expression.Name("copies").GreaterThan(expression.Value(1)),
				expression.Name("title").Contains("Invinc"),
			),
		)).
		WithProjection(expression.NamesList(expression.Name("title"), expression.Name("year"))).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Query(t.Context(), &dynamodb.QueryInput{
		TableName: &shelf, KeyConditionExpression: built.KeyCondition(), FilterExpression: built.Filter(),
		ProjectionExpression: built.Projection(), ExpressionAttributeNames: built.Names(),
		ExpressionAttributeValues: built.Values(),
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, values[map[string]any](t, answer.Items), []map[string]any{
		{"title": "Solaris", "year": 1961.0}, {"title": "The Invincible", "year": 1964.0},
	})
	same(t, []int32{answer.Count, answer.ScannedCount}, []int32{2, 4})
}

func TestAPaginatorGoesThroughAllPages(t *testing.T) {
	client := connect(t)
	query := byAuthor(t, makeShelf(t, client, books...), "Lem")
	query.Limit = aws.Int32(2)
	var found []Book
	var lengths []int
	for pages := dynamodb.NewQueryPaginator(client, query); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, len(page.Items))
		found = append(found, values[Book](t, page.Items)...)
	}
	same(t, found, lem)
	same(t, lengths, []int{2, 2, 1})
}

func TestSegmentsShareATableAmongThem(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	const segments = 3
	var all sync.WaitGroup
	var found [segments][]map[string]types.AttributeValue
	for segment := range segments {
		all.Go(func() {
			pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{
				TableName: &shelf, Segment: aws.Int32(int32(segment)), TotalSegments: aws.Int32(segments),
				Limit: aws.Int32(1),
			})
			for pages.HasMorePages() {
				page, err := pages.NextPage(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				found[segment] = append(found[segment], page.Items...)
			}
		})
	}
	all.Wait()
	scanned := values[Book](t, slices.Concat(found[:]...))
	byTitle := func(one, other Book) int { return strings.Compare(one.Title, other.Title) }
	slices.SortFunc(scanned, byTitle)
	same(t, scanned, slices.SortedFunc(slices.Values(books), byTitle))
	counted, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &shelf, Select: types.SelectCount})
	if err != nil {
		t.Fatal(err)
	}
	same(t, int(counted.Count), len(books))
	same(t, len(counted.Items), 0)
}

func TestTheIndexHasTheBooksOfAGenre(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	built, err := expression.NewBuilder().
		WithKeyCondition(expression.KeyEqual(expression.Key("genre"), expression.Value("sf"))).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	expected := where(func(book Book) bool { return book.Genre == "sf" })
	for deadline := time.Now().Add(patience); ; {
		answer, err := client.Query(t.Context(), &dynamodb.QueryInput{
			TableName: &shelf, IndexName: aws.String("by-genre"), KeyConditionExpression: built.KeyCondition(),
			ExpressionAttributeNames: built.Names(), ExpressionAttributeValues: built.Values(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.Items) == len(expected) || time.Now().After(deadline) {
			same(t, values[Book](t, answer.Items), expected)
			return
		}
	}
}

func TestBatchesWriteReadAndDelete(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client)
	var many []Book
	var puts, deletes []types.WriteRequest
	var keys []map[string]types.AttributeValue
	for year := range 30 {
		keys = append(keys, key("batch", year))
		if year < 25 {
			many = append(many, Book{Author: "batch", Year: year, Title: fmt.Sprint("No. ", year)})
			puts = append(puts, types.WriteRequest{PutRequest: &types.PutRequest{Item: item(t, many[year])}})
		}
		if year < 20 {
			deletes = append(deletes, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: keys[year]}})
		}
	}
	readAll := func() []Book {
		t.Helper()
		answer, err := client.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{
				shelf: {Keys: keys, ConsistentRead: aws.Bool(true)},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, len(answer.UnprocessedKeys), 0)
		found := values[Book](t, answer.Responses[shelf])
		slices.SortFunc(found, func(one, other Book) int { return one.Year - other.Year })
		return found
	}
	batchWrite(t, client, shelf, puts)
	same(t, readAll(), many)
	batchWrite(t, client, shelf, deletes)
	same(t, readAll(), many[20:])
}
