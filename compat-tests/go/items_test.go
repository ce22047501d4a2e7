package shelf

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Everything has a field of every type that an attribute may have.
type Everything struct {
	Author   string                `dynamodbav:"author"`
	Year     int                   `dynamodbav:"year"`
	Text     string                `dynamodbav:"text"`
	Empty    string                `dynamodbav:"empty"`
	Long     attributevalue.Number `dynamodbav:"long"`
	Tiny     float64               `dynamodbav:"tiny"`
	Bytes    []byte                `dynamodbav:"bytes"`
	Yes      bool                  `dynamodbav:"yes"`
	Nothing  *string               `dynamodbav:"nothing"`
	List     []any                 `dynamodbav:"list"`
	Map      map[string]Inner      `dynamodbav:"map"`
	Strings  []string              `dynamodbav:"strings,stringset"`
	Numbers  []float64             `dynamodbav:"numbers,numberset"`
	Binaries [][]byte              `dynamodbav:"binaries,binaryset"`
	When     time.Time             `dynamodbav:"when,unixtime"`
}

// Inner is nested.
type Inner struct {
	Deep []bool `dynamodbav:"deep"`
}

func TestEveryTypeComesBackAsItWasPut(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client)
	put := Everything{
		Author: "types", Text: "żółw 🐢", Long: "12345678901234567890123456789012345678", Tiny: -0.000001,
		Bytes: []byte{0, 1, 254, 255}, Yes: true, List: []any{"a", 1.0, []any{}},
		Map: map[string]Inner{"inner": {Deep: []bool{false, true}}}, Strings: []string{"a", "b"},
		Numbers: []float64{1, 2.5}, Binaries: [][]byte{{1}, {2}}, When: time.Unix(1_700_000_000, 0),
	}
	sent := item(t, put)
	for name, kind := range map[string]types.AttributeValue{
		"nothing": &types.AttributeValueMemberNULL{}, "strings": &types.AttributeValueMemberSS{},
		"numbers": &types.AttributeValueMemberNS{}, "binaries": &types.AttributeValueMemberBS{},
		"list": &types.AttributeValueMemberL{}, "map": &types.AttributeValueMemberM{},
	} {
		if !sameType(sent[name], kind) {
			t.Errorf("%s is sent as %T", name, sent[name])
		}
	}
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &shelf, Item: sent}); err != nil {
		t.Fatal(err)
	}
	got, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &shelf, Key: key("types", 0)})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range got.Item {
		if !sameType(value, sent[name]) {
			t.Errorf("%s went as %T and came as %T", name, sent[name], value)
		}
	}
	var found Everything
	if err := attributevalue.UnmarshalMap(got.Item, &found); err != nil {
		t.Fatal(err)
	}
	slices.Sort(found.Strings)
	slices.Sort(found.Numbers)
	slices.SortFunc(found.Binaries, bytes.Compare)
	same(t, found, put)
}

func TestABookThatIsThereIsNotPutAgain(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	condition, err := expression.NewBuilder().
		WithCondition(expression.Name("author").AttributeNotExists()).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	again := books[0]
	again.Copies = 99
	_, err = client.PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: &shelf, Item: item(t, again), ConditionExpression: condition.Condition(),
		ExpressionAttributeNames:            condition.Names(),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	failed := fails[*types.ConditionalCheckFailedException](t, err)
	same(t, failed.ErrorMessage(), "The conditional request failed")
	same(t, failed.Item, item(t, books[0]))
	same(t, read(t, client, shelf, again.Author, again.Year), books[0])
}

func TestABookIsLentWhileThereAreCopies(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	readers := expression.ListAppend(
		expression.IfNotExists(expression.Name("readers"), expression.Value([]string{})),
		expression.Value([]string{"ann"}),
	)
	lend, err := expression.NewBuilder().
		WithUpdate(expression.
			Set(expression.Name("copies"), expression.Minus(expression.Name("copies"), expression.Value(1))).
			Set(expression.Name("readers"), readers)).
		WithCondition(expression.Name("copies").GreaterThan(expression.Value(0))).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	update := &dynamodb.UpdateItemInput{
		TableName: &shelf, Key: key("Le Guin", 1969), UpdateExpression: lend.Update(),
		ConditionExpression: lend.Condition(), ExpressionAttributeNames: lend.Names(),
		ExpressionAttributeValues: lend.Values(), ReturnValues: types.ReturnValueUpdatedNew,
	}
	type lent struct {
		Copies  int      `dynamodbav:"copies"`
		Readers []string `dynamodbav:"readers"`
	}
	for _, expected := range []lent{{1, []string{"ann"}}, {0, []string{"ann", "ann"}}} {
		updated, err := client.UpdateItem(t.Context(), update)
		if err != nil {
			t.Fatal(err)
		}
		same(t, updated.Attributes, item(t, expected))
	}
	_, err = client.UpdateItem(t.Context(), update)
	fails[*types.ConditionalCheckFailedException](t, err)
}

func TestAnUpdateAddsDeletesAndRemoves(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client)
	update := func(update expression.UpdateBuilder) map[string]types.AttributeValue {
		t.Helper()
		built, err := expression.NewBuilder().WithUpdate(update).Build()
		if err != nil {
			t.Fatal(err)
		}
		updated, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
			TableName: &shelf, Key: key("update", 7), UpdateExpression: built.Update(),
			ExpressionAttributeNames: built.Names(), ExpressionAttributeValues: built.Values(),
			ReturnValues: types.ReturnValueAllNew,
		})
		if err != nil {
			t.Fatal(err)
		}
		return updated.Attributes
	}
	tags := func(tags ...string) expression.ValueBuilder {
		return expression.Value(&types.AttributeValueMemberSS{Value: tags})
	}
	update(expression.
		Add(expression.Name("loans"), expression.Value(2)).
		Add(expression.Name("tags"), tags("old", "blue")).
		Set(expression.Name("place"), expression.Value(map[string]any{"row": 4, "box": map[string]int{"n": 1}})))
	found := update(expression.
		Add(expression.Name("loans"), expression.Value(1)).
		Delete(expression.Name("tags"), tags("old")).
		Set(expression.Name("place.box.n"), expression.Value(9)).
		Remove(expression.Name("place.row")))
	expected := item(t, map[string]any{"loans": 3, "place": map[string]any{"box": map[string]int{"n": 9}}})
	expected["tags"] = &types.AttributeValueMemberSS{Value: []string{"blue"}}
	for name, value := range key("update", 7) {
		expected[name] = value
	}
	same(t, found, expected)
}

func TestADeletedBookIsGivenBackOnceMore(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client, books...)
	away := &dynamodb.DeleteItemInput{
		TableName: &shelf, Key: key("Lem", 1961), ReturnValues: types.ReturnValueAllOld,
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}
	deleted, err := client.DeleteItem(t.Context(), away)
	if err != nil {
		t.Fatal(err)
	}
	same(t, deleted.Attributes, item(t, books[0]))
	same(t, aws.ToString(deleted.ConsumedCapacity.TableName), shelf)
	same(t, read(t, client, shelf, "Lem", 1961), Book{})
}
